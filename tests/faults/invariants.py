"""What must hold of a book after every fault, read from its tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import text

from trialbook.book.book import Book
from trialbook.book.verification import verify

_RUNNING, _COMPLETE = 0, 1


def broken(url: str, study: str | None = None) -> list[str]:
    """What does not hold of a book; each a sentence.

    At most one result a trial, which is that of its current attempt; nothing that is leased runs
    on when its lease is over; ``verify`` finds nothing.

    Args:
        url: The book.
        study: Only this study's trials are looked at; ``None`` for all.
    """
    book = Book.open(url, create=False)
    try:
        found = [f"{m.kind} {m.where}: {m.what}" for m in verify(book, study).mismatches]
        for row in _rows(book):
            if study in (None, row["name"]):
                found += _wrong(row)
    finally:
        book.close()
    return found


def _rows(book: Book) -> list[Mapping[str, Any]]:
    now = "julianday('now') * 86400.0 - 210866760000.0"
    if not book.url.startswith("sqlite"):
        now = "extract(epoch from clock_timestamp())"
    with book.reading() as connection:
        return list(
            connection.execute(
                text(
                    f"""
                    SELECT s.name, t.number, t.state, t.attempt, t.finish_seq, t.record_digest,
                      (SELECT count(*) FROM tb_trial_value v WHERE v.trial_id = t.trial_id)
                        AS "values",
                      (SELECT count(*) FROM tb_attempt a WHERE a.trial_id = t.trial_id
                        AND a.end_reason IN ('complete', 'pruned')) AS results,
                      (SELECT a.end_reason FROM tb_attempt a WHERE a.trial_id = t.trial_id
                        AND a.number = t.attempt) AS reason,
                      (SELECT count(*) FROM tb_attempt a WHERE a.trial_id = t.trial_id
                        AND a.ended IS NULL AND a.lease < {now}) AS overdue,
                      (SELECT count(*) FROM tb_attempt a WHERE a.trial_id = t.trial_id
                        AND a.ended IS NULL AND a.number <> t.attempt) AS open_before
                    FROM tb_trial t JOIN tb_study s ON s.study_id = t.study_id
                    """
                )
            ).mappings()
        )


def _wrong(row: Mapping[str, Any]) -> list[str]:
    where = f"{row['name']}/{row['number']}"
    finished = row["finish_seq"] is not None
    checks = {
        "has more than one value": row["values"] > 1,
        "has more than one attempt with a result": row["results"] > 1,
        "is COMPLETE without a value": row["state"] == _COMPLETE and row["values"] != 1,
        "is finished and has no digest": finished and row["record_digest"] is None,
        "is finished and its attempt goes on": finished and row["attempt"] and not row["reason"],
        "is RUNNING though its lease is over": row["state"] == _RUNNING and row["overdue"],
        "is RUNNING though its attempt has ended": row["state"] == _RUNNING and row["reason"],
        "has an earlier attempt that never ended": row["open_before"],
    }
    return [f"{where} {what}" for what, holds in checks.items() if holds]
