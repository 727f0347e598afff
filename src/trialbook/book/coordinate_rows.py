"""Which code, data, configuration and environment the trials of a study name: digests alone.

One query for the whole study. A trial names what the attempt that counts was recorded with.
"""

from __future__ import annotations

from dataclasses import dataclass
from sys import intern

from sqlalchemy import and_, select

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
        found = connection.execute(
            select(_t.number, *(_a[str(kind)] for kind in _KINDS))
            .join(schema.attempt, and_(_a.trial_id == _t.trial_id, _a.number == _t.attempt))
            .where(_t.study_id == study_id, _t.deleted.is_(None), _a.seeds.is_not(None))
            .order_by(_t.number)
        )
        trials: dict[tuple[str | None, ...], list[int]] = {}
        for number, *digests in found:
            named = tuple(None if digest is None else intern(digest) for digest in digests)
            trials.setdefault(named, []).append(number)
    return tuple(
        NamedCoordinates(CoordinateDigests(*digests), tuple(numbers))
        for digests, numbers in trials.items()
    )
