"""Blobs from one book into another, before the rows that name them.

A blob is its content's, so whatever comes of the rows later, those that have arrived need not
come again. Each is read through its digest on the way out and hashed again on the way in.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from trialbook.book import schema
from trialbook.book.blobs import BlobStore, Prepared, StaleError
from trialbook.book.book import Book
from trialbook.errors import BookCorruptError, BookFullError

TOGETHER_BYTES = 4 * 1024 * 1024
"""Contents that go into one transaction."""

_TOGETHER = 200
_STREAMED_BYTES = 1024 * 1024


class Bringing(Protocol):
    """How blobs come into a book."""

    def __call__(
        self, source: Book, target: Book, blobs: Mapping[str, int], brought: Callable[[int], None]
    ) -> None:
        """Bring blobs that the target does not have, each committed before the next are begun.

        Args:
            source: The book that has them.
            target: The book that is to have them.
            blobs: Digest to size in bytes.
            brought: Called with the number of bytes after each one.

        Raises:
            BookCorruptError: A content in the source is not what its digest says.
            BookError: The target cannot take one.
        """


def bring(
    source: Book, target: Book, blobs: Mapping[str, int], brought: Callable[[int], None]
) -> None:
    """Bring blobs to where the target keeps its own; see ``Bringing``."""
    of, to = BlobStore(source), BlobStore(target)
    waiting: list[Prepared] = []

    def name_them() -> None:
        while True:
            try:
                with target.writing() as connection:
                    to.name(connection, waiting)
            except StaleError:  # something else was removed meanwhile; these are new all the same
                waiting[:] = to.looked_at_again(waiting)
            else:
                break
        to.committed(waiting)
        waiting.clear()

    try:
        for digest, size in blobs.items():
            item = to.taken_in(of.chunks(digest), size)
            waiting.append(item)
            brought(size)
            if len(waiting) == _TOGETHER or sum(w.size_bytes for w in waiting) > TOGETHER_BYTES:
                name_them()
        if waiting:
            name_them()
    finally:
        to.discard(waiting)


def bring_into_rows(
    source: Book, target: Book, blobs: Mapping[str, int], brought: Callable[[int], None]
) -> None:
    """Bring blobs into the rows of an SQLite book, however large they are; see ``Bringing``."""
    of = BlobStore(source)
    for portion in _portions(blobs):
        with target.writing() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)
            limit = row_limit_bytes(driver)
            for digest, size in portion.items():
                if size > limit:
                    raise BookFullError(
                        f"a content has {size:,} bytes, and one SQLite file takes {limit:,} at "
                        "the most of each",
                        where=f"blob {digest}",
                        hint="'trialbook storage copy STUDY --to FILE' keeps large contents beside "
                        "the file",
                    )
                _stream(driver, digest, size, of.chunks(digest))
                brought(size)


def row_limit_bytes(driver: sqlite3.Connection) -> int:
    """How long a content in a row can be; the row holds some bytes beside it."""
    return driver.getlimit(sqlite3.SQLITE_LIMIT_LENGTH) - 1024


def _portions(blobs: Mapping[str, int]) -> Iterator[dict[str, int]]:
    together: dict[str, int] = {}
    total = 0
    for digest, size in blobs.items():
        if together and (total + size > TOGETHER_BYTES or len(together) == _TOGETHER):
            yield together
            together, total = {}, 0
        together[digest] = size
        total += size
    if together:
        yield together


def _stream(driver: sqlite3.Connection, digest: str, size: int, content: Iterator[bytes]) -> None:
    """Put a content into its row piece by piece."""
    if size <= _STREAMED_BYTES:
        row = {"digest": digest, "size": size, "content": b"".join(content)}
        driver.execute(f"{_INSERT} :content)", row)
        return
    row_id = driver.execute(f"{_INSERT} zeroblob(:size))", {"digest": digest, "size": size})
    written = 0
    assert row_id.lastrowid is not None
    with driver.blobopen(schema.blob.name, "content", row_id.lastrowid) as place:
        for chunk in content:
            written += len(chunk)
            if written > size:
                break
            place.write(chunk)
    if written != size:
        raise BookCorruptError(
            f"its row says {size} bytes, its content has {written} or more", where=f"blob {digest}"
        )


_INSERT = f"INSERT INTO {schema.blob.name} (digest, size, content) VALUES (:digest, :size,"  # noqa: S608
