"""Choosing a book's artifact location and trying it out, for commands.

What the setting looks like is in ``artifact_setting.py``; who uses it is ``blobs.py``.
"""

from __future__ import annotations

from sqlalchemy import func, select

from trialbook.book import schema
from trialbook.book.artifact_setting import (
    Elsewhere,
    Setting,
    locations,
    setting_of,
    write_setting,
)
from trialbook.book.blob_places import place_at, tried_out
from trialbook.book.book import Book
from trialbook.book.place_patience import Patience

_PATIENCE_S = 10.0


def artifact_location(book: Book) -> Setting:
    """Where new contents of a book go that are too large for an ordinary row."""
    with book.reading() as connection:
        return locations(connection, on_sqlite=book.path is not None).setting


def set_artifact_location(book: Book, text: str) -> Setting:
    """Say where new contents go from now on; those that are there stay where they are.

    A location at a URL is tried out first: a small object is written, read and removed.

    Args:
        book: A book that is open for writing.
        text: ``beside``, ``database``, ``database:LIMIT``, a directory or a URL.

    Raises:
        InvalidInputError: It is none of these, or holds credentials.
        ArtifactLocationError: It cannot be written; the book is as it was.
        MissingPackageError: That needs a package that is not installed.
    """
    setting = setting_of(text, on_sqlite=book.path is not None)
    if isinstance(setting, Elsewhere):
        place = place_at(setting.url, book.book_id)
        patience = Patience(_PATIENCE_S, lambda: book.outage.given_up)
        patience.ask(place, "the location cannot be made", place.make)
        patience.ask(place, "the location cannot be written", lambda: tried_out(place))
    with book.writing(durable=True) as connection:
        write_setting(connection, setting, on_sqlite=book.path is not None)
    return setting


def try_artifact_location(book: Book) -> Setting:
    """Try the location that a book has: a small object is written, read and removed there.

    Raises:
        ArtifactLocationError: It cannot be written.
        MissingPackageError: That needs a package that is not installed.
    """
    setting = artifact_location(book)
    if isinstance(setting, Elsewhere):
        place = place_at(setting.url, book.book_id)
        patience = Patience(0.0, lambda: True)
        patience.ask(place, "the location cannot be written", lambda: tried_out(place))
    return setting


def contents_outside(book: Book) -> int:
    """Number of contents that lie outside the database, wherever."""
    with book.reading() as connection:
        count = connection.scalar(select(func.count()).where(schema.blob.c.location.is_not(None)))
        return int(count or 0)
