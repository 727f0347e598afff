"""Which code, data, configuration and environment the trials of a study name: digests alone.

One query for the whole study. A trial names what the attempt that counts was recorded with.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from sys import intern
from typing import Any

from sqlalchemy import Connection, Select, and_, select

from trialbook.book import schema
from trialbook.book.book import Book
from trialbook.records.coordinates import CoordinateDigests, Kind

_t, _a = schema.trial.c, schema.attempt.c
_KINDS = (Kind.CODE, Kind.DATA, Kind.CONFIG, Kind.ENVIRONMENT)


@dataclass(frozen=True, slots=True)
class NamedCoordinates:
    """What trials of a study name, those that name the same together.

    Args:
        digests: Without that of the execution: most trials have one of their own.
        trials: Their numbers, ascending.
    """

    digests: CoordinateDigests
    trials: tuple[int, ...]


def named_coordinates(book: Book, study_id: int) -> tuple[NamedCoordinates, ...]:
    """What the tracked, living trials of a study name, in the order of their first trials."""
    with book.reading() as connection:
        return named_in(connection, study_id)


def named_in(connection: Connection, study_id: int) -> tuple[NamedCoordinates, ...]:
    """The same in a transaction that reads more."""
    trials: dict[CoordinateDigests, list[int]] = {}
    for number, *digests in connection.execute(_tracked(study_id)):
        trials.setdefault(_named(digests), []).append(number)
    return tuple(NamedCoordinates(digests, tuple(numbers)) for digests, numbers in trials.items())


def named_by_one(
    book: Book, study_id: int, number: int | None = None
) -> tuple[int, CoordinateDigests] | None:
    """A tracked, living trial of a study and what it names; ``None`` when there is none.

    Args:
        book: An open book.
        study_id: The study.
        number: Which trial; ``None`` for the first that was tracked.
    """
    rows = _tracked(study_id).limit(1)
    if number is not None:
        rows = rows.where(_t.number == number)
    with book.reading() as connection:
        row = connection.execute(rows).first()
    return None if row is None else (row[0], _named(row[1:]))


def _tracked(study_id: int) -> Select[Any]:
    return (
        select(_t.number, *(_a[str(kind)] for kind in _KINDS))
        .join(schema.attempt, and_(_a.trial_id == _t.trial_id, _a.number == _t.attempt))
        .where(_t.study_id == study_id, _t.deleted.is_(None), _a.seeds.is_not(None))
        .order_by(_t.number)
    )


def _named(digests: Iterable[str | None]) -> CoordinateDigests:
    return CoordinateDigests(*(None if digest is None else intern(digest) for digest in digests))
