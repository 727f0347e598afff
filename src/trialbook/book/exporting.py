"""A study as one file: an SQLite book with every content in its rows, and nothing beside it.

The file is a book like another. It is made under a temporary name, brought out of SQLite's
write-ahead log, synced and put in its place at once.
"""

from __future__ import annotations

import dataclasses
import os
import secrets
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from sqlalchemy import update

from trialbook.book import schema
from trialbook.book.book import Book
from trialbook.book.brought_blobs import bring_into_rows
from trialbook.book.copying import StudyCopy, copy_study
from trialbook.book.location import blob_directory, book_url, lock_path
from trialbook.book.translation import translating
from trialbook.errors import BookBusyError, InvalidInputError

_LOGS = ("-wal", "-shm", "-journal")


def export_study(
    source: Book,
    study: str,
    file: Path,
    *,
    replace: bool = False,
    progress: Callable[[str], None] | None = None,
) -> StudyCopy:
    """Write a study with everything that is recorded of it into one file.

    Args:
        source: An open book; it may be read-only.
        study: The study's name.
        file: Where to.
        replace: Whether to replace a file that is there.
        progress: Called with what is done next.

    Raises:
        NotFoundError: There is no such study.
        InvalidInputError: A trial of it is RUNNING; or there is a file already, or one that is
            in use as a book.
        BookFullError: A content is too large for one file, or there is no room.
        BookReadOnlyError: The file cannot be written.
    """
    file = Path(os.path.abspath(file))  # noqa: PTH100 - must not resolve links
    if not file.parent.is_dir():
        raise InvalidInputError("the directory is not there", where=str(file.parent))
    _require_free(file, source, replace)
    draft = file.with_name(f"{file.name}.{secrets.token_hex(4)}.partial")
    try:
        book = Book.open(draft)
        try:
            done = copy_study(source, book, study, progress=progress, bringing=bring_into_rows)
            _forget_origin(book)
        finally:
            book.close()
        _make_whole(draft)
        _require_free(file, source, replace)
        draft.replace(file)
        _sync(file.parent)
    finally:
        for path in (draft, *(Path(f"{draft}{end}") for end in _LOGS), lock_path(draft)):
            with suppress(FileNotFoundError):
                path.unlink()
    return dataclasses.replace(done, url=book_url(file))


def _forget_origin(book: Book) -> None:
    """Leave out the proof that lets a study's code run unasked where it was created.

    A file is handed around. Whoever changed its code could send it back, and would be trusted.
    """
    with book.writing() as connection:
        connection.execute(update(schema.study).values(origin=None))


def _require_free(file: Path, source: Book, replace: bool) -> None:
    """Refuse a place where something lies that must stay."""
    beside = [Path(f"{file}{end}") for end in _LOGS]
    used = [path for path in (*beside, blob_directory(file)) if path.exists()]
    if used or (source.path is not None and file.exists() and file.samefile(source.path)):
        raise InvalidInputError(
            "the file is in use as a book" + (f": {used[0].name} lies beside it" if used else ""),
            where=str(file),
            hint="name another file",
        )
    if os.path.lexists(file) and not replace:
        raise InvalidInputError(
            "the file is there already", where=str(file), hint="add --force to replace it"
        )
    if file.is_dir():
        raise InvalidInputError("a directory is there", where=str(file), hint="name a file")


def _make_whole(draft: Path) -> None:
    """Leave SQLite's write-ahead log: such a file needs nothing beside it, not even to be read."""
    with translating(str(draft)), closing(sqlite3.connect(draft)) as book:
        mode = book.execute("PRAGMA journal_mode=DELETE").fetchone()[0]
        if mode != "delete":
            raise BookBusyError("the file is held by another process", where=str(draft))
    _sync(draft)


def _sync(place: Path) -> None:
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
