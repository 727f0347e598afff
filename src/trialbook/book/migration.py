"""The tables' version: making them, checking them, bringing them up to date.

A new book is made from ``schema.py`` at once and stamped with the newest revision; Alembic, with a
version table of its own, is loaded only to change an older one. Its scripts are in ``migrations/``.
"""

from __future__ import annotations

import time
import uuid
from pathlib import Path

from sqlalchemy import Column, Connection, MetaData, String, Table, inspect, select

from trialbook.book import schema
from trialbook.errors import BookForeignError, BookNotFoundError, BookVersionError

REVISIONS = ("0001", "0002")
"""Every released revision, oldest first; the last one is what ``schema.py`` says."""

VERSION_TABLE = "tb_alembic_version"

_SHARED_WITH = ({"studies", "trials", "version_info"}, {"experiments", "runs", "metrics"})
"""Tables by which Optuna's and MLflow's databases are known: a book may share those."""

_version = Table(VERSION_TABLE, MetaData(), Column("version_num", String(32), primary_key=True))


def book_id(connection: Connection) -> str | None:
    """The identity of the book in a database, ``None`` when there is none.

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
        _refuse(found)
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


def _refuse(found: str | None) -> None:
    if found in REVISIONS:
        raise BookVersionError(
            f"the book's tables are of an older revision ({found})",
            hint="run 'trialbook storage upgrade'",
        )
    raise BookVersionError(
        f"the book's tables are of a revision that this program does not know ({found})",
        hint="install a newer trialbook",
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
    found = revision(connection)
    if found not in REVISIONS:
        _refuse(found)
    run_alembic(connection, target)


def run_alembic(connection: Connection, target: str) -> None:
    """Run the scripts in ``migrations/`` up to a revision, from whatever is there."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, target)
