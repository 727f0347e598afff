"""What any book and any launcher must pass, and for tests that break things.

``invariants`` looks whether a book is sound. ``trialbook.testing.contract.BookContract`` is a suite
for pytest, ``trialbook.testing.launching.LauncherContract`` another; only these modules and those
beside them import pytest.
"""

from __future__ import annotations

from pathlib import Path

from trialbook.book.book import Book
from trialbook.book.invariants import violated

__all__ = ["invariants"]


def invariants(
    storage: str | Path | Book, study: str | None = None, *, overdue_s: float | None = None
) -> list[str]:
    """What does not hold in a book, one sentence each; empty when the book is sound.

    Every trial has at most one result; every attempt of a finished trial has ended; the newest
    attempt is the one that counts; trials and finishes are numbered without a gap; nothing that
    has a digest has changed (``trialbook verify``).

    Args:
        storage: The book's storage, or an open book.
        study: Only this study; ``None`` for all.
        overdue_s: So many seconds after its lease a trial may still be RUNNING: the time from one
            reap to the next. ``None`` when nobody reaps.

    Raises:
        NotFoundError: There is no such study.
        BookError: The book cannot be opened.
    """
    if isinstance(storage, Book):
        return violated(storage, study, overdue_s=overdue_s)
    book = Book.open(storage, create=False, read_only=True)
    try:
        return violated(book, study, overdue_s=overdue_s)
    finally:
        book.close()
