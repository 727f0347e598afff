"""Showings of test metrics, kept as system attributes of their study so that they move with it.

One attribute a showing: showings are added by many at once, and never changed. The seal does not
cover them: they say who looked, not what came out.
"""

from __future__ import annotations

import json

import msgspec
from sqlalchemy import select

from trialbook.book import schema
from trialbook.book.book import Book
from trialbook.book.rows import readable
from trialbook.book.statements import insert_if_absent
from trialbook.records.showings import SHOWING_KEY, Showing

_a = schema.study_attr.c
_SCOPE = "system"
_insert = insert_if_absent(schema.study_attr)


def add_showing(book: Book, study_id: int, showing: Showing, key: str) -> None:
    """Keep a showing, durably; one whose key is there already is the same showing.

    Args:
        book: A book that can be written.
        study_id: The study whose test metrics were shown.
        showing: What was shown.
        key: What makes it one, at most 64 characters.

    Raises:
        BookReadOnlyError: The book cannot be written.
    """
    document = {"by": showing.by, "trials": list(showing.trials), "at": showing.at_s}
    with book.writing(durable=True) as connection:
        _insert.run(
            connection,
            study_id=study_id,
            scope=_SCOPE,
            key=SHOWING_KEY + key,
            value=json.dumps(document, separators=(",", ":")),
        )


def showings(book: Book, study_id: int) -> tuple[Showing, ...]:
    """Every showing of a study's test metrics, the oldest first.

    Raises:
        BookCorruptError: One cannot be read.
    """
    with book.reading() as connection:
        found = connection.execute(
            select(_a.key, _a.value).where(
                _a.study_id == study_id,
                _a.scope == _SCOPE,
                _a.key.startswith(SHOWING_KEY, autoescape=True),
            )
        ).all()
    kept = []
    for key, value in found:
        with readable(f"the attribute {key!r} of a study"):
            document = json.loads(value)
            kept.append(
                Showing(
                    msgspec.convert(document["by"], str),
                    tuple(msgspec.convert(document["trials"], list[int])),
                    msgspec.convert(document["at"], float),
                )
            )
    return tuple(sorted(kept, key=lambda showing: (showing.at_s, showing.by, showing.trials)))
