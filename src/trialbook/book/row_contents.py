"""Reading contents that lie in rows, the longer ones piece by piece.

A driver holds a value several times over while it hands it out, a server's as text. So a long one
is asked for in slices, each in a read transaction of its own: none outlives a call.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from sqlalchemy import Connection, bindparam, case, func, or_, select

from trialbook.book import schema
from trialbook.book.book import Book
from trialbook.book.statements import Statement
from trialbook.errors import NotFoundError

WHOLE_BYTES = 1024 * 1024
"""Contents up to this length are read with their row."""

_SQLITE_SLICE_BYTES = 16 * 1024 * 1024  # each walks along the value from its beginning
_SERVER_SLICE_BYTES = 4 * 1024 * 1024

_b = schema.blob.c
_length = func.coalesce(func.length(_b.content), 0)
_is_short = or_(_b.location.is_not(None), _length <= WHOLE_BYTES)
find = Statement(
    select(_b.size, case((_is_short, _b.content), else_=None), _b.location).where(
        _b.digest == bindparam("digest")
    )
)
"""Size, content and location of a digest; no content when it is to be read in slices."""

_slice = Statement(
    select(func.substr(_b.content, bindparam("start"), bindparam("count"))).where(
        _b.digest == bindparam("digest")
    )
)


def sliced(book: Book, digest: str) -> Iterator[bytes]:
    """The content of a row, piece by piece.

    Raises:
        NotFoundError: The row is gone.
    """
    read = _sqlite_slice if book.path is not None else _server_slice
    start = 0
    while True:
        with book.reading() as connection:
            piece, last = read(connection, digest, start)
        yield piece
        if last:
            return
        start += len(piece)


def _server_slice(connection: Connection, digest: str, start: int) -> tuple[bytes, bool]:
    row = _slice.row(connection, digest=digest, start=start + 1, count=_SERVER_SLICE_BYTES)
    if row is None or row[0] is None:
        raise _gone(digest)
    piece = bytes(row[0])
    return piece, len(piece) < _SERVER_SLICE_BYTES


def _sqlite_slice(connection: Connection, digest: str, start: int) -> tuple[bytes, bool]:
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    row = driver.execute("SELECT rowid FROM tb_blob WHERE digest = ?", (digest,)).fetchone()
    if row is None:
        raise _gone(digest)
    with driver.blobopen("tb_blob", "content", row[0], readonly=True) as value:
        value.seek(start)
        piece = value.read(_SQLITE_SLICE_BYTES)
        return piece, start + len(piece) >= len(value)


def _gone(digest: str) -> NotFoundError:
    return NotFoundError(f"the blob {digest} is not in the book")
