"""A book's locations at URLs, opened when something needs them.

The row of a blob names its location as ``NUMBER:KEY``: ``NUMBER`` is one of the URLs that the book
has had (``artifact_setting.py``), ``KEY`` the object or directory there (``blob_parts.py``).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection

from trialbook.book.artifact_setting import Elsewhere, Locations, locations
from trialbook.book.blob_parts import Uploaded, downloaded, keys_of, uploaded
from trialbook.book.blob_places import Place, place_at
from trialbook.book.book import Book
from trialbook.book.place_patience import Patience
from trialbook.errors import BookCorruptError


@dataclass(frozen=True, slots=True)
class Spot:
    """Where one content lies: a place, how long to wait for it, and the key there."""

    place: Place
    patience: Patience
    key: str

    def chunks(self, size_bytes: int, listed: bytes | None) -> Iterator[bytes]:
        """The content; see ``downloaded``."""
        return downloaded(self.place, self.patience, self.key, size_bytes, listed)

    def is_whole(self, listed: bytes | None) -> bool:
        """Whether every object of the content is there."""

        def look() -> bool:
            return all(self.place.size(key) is not None for key in keys_of(self.key, listed))

        return self.patience.ask(self.place, "a content cannot be read", look)

    def remove(self) -> None:
        """Remove the content, trying once.

        Raises:
            ArtifactLocationError: It cannot be done now.
        """

        def act() -> None:
            if self.key.endswith("/"):
                self.place.remove_all(self.key.rstrip("/"))
            else:
                self.place.remove([self.key])

        self.patience.ask(self.place, "a content cannot be removed", act, longest_s=0.0)


class BookLocations:
    """The locations of a book. Threads may share it.

    Args:
        book: An open book.
        patience_s: How long to wait for a location that cannot be reached.
    """

    def __init__(self, book: Book, patience_s: float) -> None:
        self._book = book
        self._patience_s = patience_s
        self._known: dict[int, tuple[Place, Patience]] = {}
        self._lock = threading.Lock()

    def after_fork(self) -> None:
        """In a forked child: the lock may have been held by a thread that is not here."""
        self._lock = threading.Lock()

    def said(self, connection: Connection) -> Locations:
        """What the book says of its larger contents."""
        return locations(connection, on_sqlite=self._book.path is not None)

    def at(self, number: int, url: str) -> tuple[Place, Patience]:
        """A location of the book."""
        with self._lock:
            if number not in self._known:
                outage = self._book.outage
                self._known[number] = (
                    place_at(url, self._book.book_id),
                    Patience(self._patience_s, lambda: outage.given_up),
                )
            return self._known[number]

    def upload(
        self, to: Elsewhere, chunks: Iterator[bytes], longest_s: float | None
    ) -> tuple[Uploaded, str]:
        """Bring a content there; what was brought, and its location for the row."""
        assert to.number is not None
        put = uploaded(*self.at(to.number, to.url), chunks, longest_s=longest_s)
        return put, f"{to.number}:{put.key}"

    def spot(self, location: str) -> Spot | None:
        """Where a content lies, given what its row says; ``None`` for a file beside the book.

        Raises:
            BookCorruptError: The book does not know that location.
        """
        number, colon, key = location.partition(":")
        if not colon:
            return None
        with self._book.reading() as connection:
            urls = self.said(connection).urls
        if int(number) not in urls:
            raise BookCorruptError(
                f"the book does not say where its artifact location {number} is",
                where=self._book.url,
            )
        return Spot(*self.at(int(number), urls[int(number)]), key)
