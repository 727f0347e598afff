"""Keeping the verdicts of reruns."""

from __future__ import annotations

import time

from sqlalchemy import insert, select

from trialbook.book import schema
from trialbook.book.book import Book
from trialbook.book.texts import tagged_text
from trialbook.errors import NotFoundError
from trialbook.records.verdict import RerunReport


def add_rerun(book: Book, attempt_id: int, report: RerunReport, host: str) -> None:
    """Keep what a rerun said, beside the attempt that it was held against.

    Args:
        book: A book that is open for writing.
        attempt_id: The recorded attempt.
        report: What the rerun said.
        host: Name of the machine on which it ran.

    Raises:
        NotFoundError: The attempt is not in the book (its trial was deleted meanwhile).
        InvalidInputError: The report holds values that are no JSON.
    """
    text = tagged_text(report)
    with book.writing(durable=True) as connection:
        there = connection.scalar(
            select(schema.attempt.c.attempt_id).where(schema.attempt.c.attempt_id == attempt_id)
        )
        if there is None:
            raise NotFoundError(
                f"the attempt that {report.reference} was rerun from is not in the book any more"
            )
        connection.execute(
            insert(schema.rerun).values(
                attempt_id=attempt_id,
                at=time.time(),
                host=host,
                verdict=str(report.verdict),
                report=text,
            )
        )
