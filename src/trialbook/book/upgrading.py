"""Bringing an older book up to date: a backup first, then its tables, all or nothing.

What changes between two revisions is in ``migrations/``. On SQLite the backup is made while the
book is locked, so that nothing is written between it and the change; files of blobs are left where
they are. A server's book is changed in one transaction, and backing it up is the server's matter.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, inspect

from trialbook.book import migration
from trialbook.book.engine import Engine, engine_of
from trialbook.book.location import book_url, redacted_url, refuse_network, sqlite_path
from trialbook.book.outlasting import Outage
from trialbook.book.translation import translating
from trialbook.errors import BookCorruptError, BookFullError, BookNotFoundError, BookReadOnlyError

MARGIN_BYTES = 16 * 1024 * 1024
"""Room that is left beside the backup and the log of the change."""

_LOCK_WAIT = "60s"


@dataclass(frozen=True, slots=True)
class UpgradePlan:
    """What an upgrade of a book would do.

    Args:
        url: The book, without a password.
        found: The revision of its tables.
        target: The revision that this program needs.
        steps: Each revision that it has to go through, oldest first, and what that one brings.
        backup: Where the backup would be; ``None`` on a server, or when nothing is to be done.
        needed_bytes: Free space that the upgrade of an SQLite book asks for.
        free_bytes: Free space that there is; 0 on a server, where it is not known.
    """

    url: str
    found: str
    target: str
    steps: tuple[tuple[str, str], ...]
    backup: Path | None = None
    needed_bytes: int = 0
    free_bytes: int = 0


def upgrade_plan(storage: str | Path | None = None) -> UpgradePlan:
    """What an upgrade of a book would do; nothing is changed.

    Args:
        storage: The book, as in ``book_url``.

    Raises:
        BookNotFoundError: There is no book.
        BookVersionError: Its tables are newer than this program.
    """
    location = book_url(storage)
    with _engine(location) as engine, engine.reading() as connection:
        return _plan(location, connection)


def upgrade_book(storage: str | Path | None = None) -> UpgradePlan:
    """Bring a book's tables to the revision that this program needs.

    Args:
        storage: The book, as in ``book_url``. Its workers should be stopped.

    Returns:
        What was done; ``backup`` is the file that was made.

    Raises:
        BookNotFoundError: There is no book.
        BookVersionError: Its tables are newer than this program.
        BookFullError: There is no room for the backup. Nothing was changed.
        BookCorruptError: The backup is not what the book is. Nothing was changed.
        BookBusyError: Somebody holds the book.
    """
    location = book_url(storage)
    with _engine(location) as engine:
        with engine.reading() as connection:
            plan = _plan(location, connection)
        if not plan.steps:
            return plan
        with engine.creating() as connection:
            plan = _plan(location, connection)  # another process may have been first
            path = sqlite_path(location)
            if not plan.steps:
                return plan
            if path is None:
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_LOCK_WAIT}'")
            else:
                _back_up(path, plan)
            migration.upgrade(connection)
    return plan


@contextmanager
def _engine(location: str) -> Iterator[Engine]:
    """An engine on a book that ``Book`` may refuse to open."""
    path = sqlite_path(location)
    if path is not None:
        refuse_network(path)
        if not path.is_file():
            raise BookNotFoundError("there is no book", where=str(path), hint=_NAME_ANOTHER)
    url = redacted_url(location)
    with translating(url):
        engine = engine_of(location, create=False, read_only=False, outage=Outage(url, 0.0))
        try:
            yield engine
        finally:
            engine.close()


_NAME_ANOTHER = "name the book with --storage"


def _plan(location: str, connection: Connection) -> UpgradePlan:
    url = redacted_url(location)
    if not inspect(connection).has_table(migration.VERSION_TABLE):
        raise BookNotFoundError("the database holds no book", where=url, hint=_NAME_ANOTHER)
    found = migration.known_revision(connection, url)
    steps = migration.steps_after(found)
    plan = UpgradePlan(url, found, migration.REVISIONS[-1], steps)
    path = sqlite_path(location)
    if path is None or not steps:
        return plan
    size = sum(p.stat().st_size for p in (path, Path(f"{path}-wal")) if p.exists())
    return UpgradePlan(
        url,
        found,
        plan.target,
        steps,
        backup=_unused(path, found),
        needed_bytes=2 * size + MARGIN_BYTES,  # the backup, and the log of what is changed
        free_bytes=shutil.disk_usage(path.parent).free,
    )


def _unused(path: Path, revision: str) -> Path:
    """A name for a backup that no file has yet."""
    plain = path.with_name(f"{path.name}.backup-{revision}")
    place, number = plain, 1
    while os.path.lexists(place):
        number += 1
        place = plain.with_name(f"{plain.name}-{number}")
    return place


def _back_up(path: Path, plan: UpgradePlan) -> None:
    """Copy an SQLite book through SQLite, and look at the copy; the book is locked meanwhile."""
    assert plan.backup is not None
    if plan.free_bytes < plan.needed_bytes:
        raise BookFullError(
            f"the upgrade needs {plan.needed_bytes / 1e6:,.1f} MB for a backup and its own log, "
            f"and {plan.free_bytes / 1e6:,.1f} MB are free",
            where=str(path.parent),
            hint="free some space, then run the same command again",
        )
    partial = plan.backup.with_name(plan.backup.name + ".partial")
    try:
        with (
            closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as book,
            closing(sqlite3.connect(partial)) as copy,
        ):
            book.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, whole by itself
            sound = copy.execute("PRAGMA integrity_check").fetchone()[0]
            if sound != "ok" or _contents(copy) != _contents(book):
                raise BookCorruptError(
                    "the backup is not what the book is, so nothing was upgraded",
                    where=str(path),
                    hint="run 'trialbook verify' with the trialbook that wrote the book",
                )
        _sync(partial)
        partial.rename(plan.backup)
        _sync(plan.backup.parent)
    except PermissionError as error:
        raise BookReadOnlyError(
            f"the backup cannot be written ({error.strerror})",
            where=str(plan.backup),
            hint="make the directory writable",
        ) from error
    finally:
        with suppress(FileNotFoundError):
            partial.unlink()


def _contents(database: sqlite3.Connection) -> list[tuple[str, int]]:
    """Each table and the number of its rows."""
    names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    return [
        (name, database.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0])  # noqa: S608
        for (name,) in names.fetchall()
    ]


def _sync(place: Path) -> None:
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
