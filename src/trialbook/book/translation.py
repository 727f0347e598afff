"""Errors of the databases into Trialbook's own: what happened, where, and the next step."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy.exc

from trialbook.errors import (
    BookBusyError,
    BookCorruptError,
    BookError,
    BookFullError,
    BookReadOnlyError,
)

_VERIFY = "run 'trialbook verify' on a copy, or restore the file from a backup"

_SQLITE: dict[int, tuple[type[BookError], str, str]] = {
    sqlite3.SQLITE_BUSY: (
        BookBusyError,
        "another process held the book for too long",
        "look for a stopped process that has the book open, then try again",
    ),
    sqlite3.SQLITE_LOCKED: (
        BookBusyError,
        "another process held the book for too long",
        "look for a stopped process that has the book open, then try again",
    ),
    sqlite3.SQLITE_FULL: (
        BookFullError,
        "no space is left for the book",
        "free some space, then run the same command again; what is committed is safe",
    ),
    sqlite3.SQLITE_IOERR: (
        BookFullError,
        "the disk refused a write or a read of the book",
        "look for a full disk, a quota or a failing device, then run the same command again",
    ),
    sqlite3.SQLITE_READONLY: (
        BookReadOnlyError,
        "the book cannot be written",
        "make its file and directory writable, or copy it with --storage elsewhere",
    ),
    sqlite3.SQLITE_PERM: (
        BookReadOnlyError,
        "the book cannot be opened",
        "look at the permissions of the file and its directory",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        BookReadOnlyError,
        "the book cannot be opened",
        "look at the permissions of the file and its directory",
    ),
    sqlite3.SQLITE_NOTADB: (BookCorruptError, "the file is not a database", _VERIFY),
    sqlite3.SQLITE_CORRUPT: (BookCorruptError, "the book's file is damaged", _VERIFY),
}


def translated(error: BaseException, where: str) -> BookError | None:
    """The error of the tree that this database error means, ``None`` when it is none.

    Args:
        error: What SQLAlchemy or a driver raised.
        where: The book's URL without its password.
    """
    if isinstance(error, sqlalchemy.exc.DBAPIError) and error.orig is not None:
        error = error.orig
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None)
        entry = _SQLITE.get(code & 0xFF) if code is not None else None
    elif hasattr(error, "sqlstate") and hasattr(error, "diag"):  # psycopg.Error
        from trialbook.book.postgres_errors import meaning

        entry = meaning(error.sqlstate if error.sqlstate or _may_be_gone(error) else "")
    elif isinstance(error, sqlalchemy.exc.SQLAlchemyError):
        entry = None
    else:
        return None
    first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if entry is None:
        return BookError(f"the database refused: {first_line}", where=where)
    kind, what, hint = entry
    return kind(f"{what} ({first_line})", where=where, hint=hint)


def _may_be_gone(error: BaseException) -> bool:
    """Whether a driver's error without the server's code can mean that the server is gone."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return bool(kinds & {"OperationalError", "InterfaceError"})


@contextmanager
def translating(where: str) -> Iterator[None]:
    """Raise database errors of the block as errors of the tree."""
    try:
        yield
    except Exception as error:
        meant = translated(error, where)
        if meant is None:
            raise
        raise meant from error


def is_duplicate(error: BaseException) -> bool:
    """Whether a database error says that a unique key exists already."""
    if isinstance(error, BookError):
        error = error.__cause__ or error
    if isinstance(error, sqlalchemy.exc.DBAPIError) and error.orig is not None:
        error = error.orig
    if isinstance(error, sqlite3.IntegrityError):
        return "UNIQUE" in str(error)
    return getattr(error, "sqlstate", None) == "23505"
