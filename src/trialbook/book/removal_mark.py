"""The mark that changes whenever something is removed from a book.

Processes remember what is in the book. Whoever removes something changes the mark, and whoever
relies on a memory holds it against the mark in the same transaction.
"""

from __future__ import annotations

from sqlalchemy import Connection, Integer, String, cast, select, update

from trialbook.book import schema
from trialbook.book.statements import Statement

REMOVALS = "removals"
"""The key of a value in ``tb_book`` that changes whenever something is removed."""

_removals = Statement(select(schema.book.c.value).where(schema.book.c.key == REMOVALS))
_removed = Statement(
    update(schema.book)
    .where(schema.book.c.key == REMOVALS)
    .values(value=cast(cast(schema.book.c.value, Integer) + 1, String))
)


def note_removal(connection: Connection) -> None:
    """Tell every process that something was removed: what they remember may be gone.

    To be called in each transaction that deletes snapshots, blobs, trials or studies.
    """
    _removed.run(connection)


def removals(connection: Connection) -> str:
    """A text that changes whenever something is removed from the book."""
    row = _removals.row(connection)
    return "" if row is None else str(row[0])
