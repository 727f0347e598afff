"""The tables' version: making them, checking them, bringing them up to date.

A new book is made from ``schema.py`` at once and stamped with the newest revision; Alembic, with a
version table of its own, is loaded only to change an older one. Its scripts are in ``migrations/``.
"""

from __future__ import annotations

import shlex
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Column, Connection, MetaData, String, Table, inspect, select

from trialbook.book import schema
from trialbook.errors import BookForeignError, BookNotFoundError, BookVersionError

if TYPE_CHECKING:
    from alembic.config import Config

REVISIONS = ("0001", "0002", "0003")
"""Every released revision, oldest first; the last one is what ``schema.py`` says."""

VERSION_TABLE = "tb_alembic_version"

_SHARED_WITH = ({"studies", "trials", "version_info"}, {"experiments", "runs", "metrics"})
"""Tables by which Optuna's and MLflow's databases are known: a book may share those."""

_version = Table(VERSION_TABLE, MetaData(), Column("version_num", String(32), primary_key=True))


def book_id(connection: Connection, where: str | None = None) -> str | None:
    """The identity of the book in a database, ``None`` when there is none.

    Args:
        connection: An open transaction.
        where: The book's URL without its password, for errors.

    Raises:
        BookVersionError: Its tables are of a revision that this program cannot use.
        BookForeignError: There are tables of its names that are no book's.
    """
    names = set(inspect(connection).get_table_names())
    if schema.book.name not in names and VERSION_TABLE not in names:
        taken = sorted(names & set(schema.metadata.tables))
        if taken:
            raise BookForeignError(
                f"the database has a table {taken[0]!r} that is not a book's",
                hint="name another database with --storage",
            )
        return None
    found = revision(connection) if VERSION_TABLE in names else None
    if found != REVISIONS[-1]:
        raise _refused(found, where)
    identity = connection.execute(
        select(schema.book.c.value).where(schema.book.c.key == "book_id")
    ).scalar_one_or_none()
    if identity is None:
        raise BookForeignError(
            "the database has a book's tables but no book's identity",
            hint="name another database with --storage",
        )
    return str(identity)


def revision(connection: Connection) -> str | None:
    """The revision of the tables, ``None`` when it is not written down."""
    found = connection.execute(select(_version.c.version_num)).scalar_one_or_none()
    return None if found is None else str(found)


def known_revision(connection: Connection, where: str | None = None) -> str:
    """The revision of the tables, older or current.

    Raises:
        BookVersionError: It is not one that this program knows.
    """
    found = revision(connection)
    if found is None or found not in REVISIONS:
        raise _unknown(found, where)
    return found


def _refused(found: str | None, where: str | None) -> BookVersionError:
    if found is None or found not in REVISIONS:
        return _unknown(found, where)
    place = "" if where is None else f" {shlex.quote(where)}"
    return BookVersionError(
        f"the book's tables are of revision {found}, and this program needs {REVISIONS[-1]}",
        where=where,
        hint=f"stop its workers, then run: trialbook storage upgrade{place}",
    )


def _unknown(found: str | None, where: str | None) -> BookVersionError:
    return BookVersionError(
        f"the book's tables are of a revision that this program does not know ({found}): "
        "a newer trialbook has made or upgraded it",
        where=where,
        hint="run 'pip install --upgrade trialbook'",
    )


def refuse_foreign(connection: Connection) -> None:
    """Refuse to make a book in a database that holds something else.

    Raises:
        BookForeignError: An SQLite file with tables that are neither Optuna's nor MLflow's.
    """
    names = set(inspect(connection).get_table_names())
    shared = any(known <= names for known in _SHARED_WITH)
    if connection.dialect.name == "sqlite" and names and not shared:
        raise BookForeignError(
            f"the database holds something else (a table {min(names)!r}), no book",
            hint="name another file with --storage",
        )


def make_tables(connection: Connection) -> str:
    """Make the tables in a database that has none, and give the book its identity."""
    refuse_foreign(connection)
    schema.metadata.create_all(connection, checkfirst=False)
    _version.create(connection)
    connection.execute(_version.insert().values(version_num=REVISIONS[-1]))
    identity = uuid.uuid4().hex
    connection.execute(
        schema.book.insert(),
        [
            {"key": "book_id", "value": identity},
            {"key": "created", "value": repr(time.time())},
            {"key": "removals", "value": "0"},
        ],
    )
    return identity


def upgrade(connection: Connection, target: str = "head") -> None:
    """Bring older tables to a revision, inside the caller's transaction.

    Raises:
        BookNotFoundError: The database holds no book.
        BookVersionError: The tables are of a revision that this program does not know.
    """
    if not inspect(connection).has_table(VERSION_TABLE):
        raise BookNotFoundError("the database holds no book")
    known_revision(connection)
    run_alembic(connection, target)


def run_alembic(connection: Connection, target: str) -> None:
    """Run the scripts in ``migrations/`` up to a revision, from whatever is there."""
    from alembic import command

    config = _alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, target)


def steps_after(found: str) -> tuple[tuple[str, str], ...]:
    """The revisions that come after one, oldest first, each with what it brings."""
    if found == REVISIONS[-1]:
        return ()
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(_alembic_config())
    return tuple(
        (name, scripts.get_revision(name).doc.rstrip("."))
        for name in REVISIONS[REVISIONS.index(found) + 1 :]
    )


def _alembic_config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config
