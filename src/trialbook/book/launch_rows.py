"""How the trials of a study were launched: kept apart in which way, run by which program.

Of the execution's snapshots, of which nearly every trial has its own, only that is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, and_, select

from trialbook.book import schema
from trialbook.book.book import Book
from trialbook.records.execution import Isolation
from trialbook.records.programs import BriefLaunch, Program, brief_launch

_t, _a, _n = schema.trial.c, schema.attempt.c, schema.snapshot.c
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Launched:
    """Trials that were launched in one way.

    Args:
        isolation: How they were kept apart.
        program: What they were run by.
        trials: Their numbers, ascending.
    """

    isolation: Isolation
    program: Program
    trials: tuple[int, ...]


def launched(book: Book, study_id: int, number: int | None = None) -> tuple[Launched, ...]:
    """How the tracked, living trials of a study were launched, in the order of their first trials.

    What counts is the attempt that counts. A trial whose snapshot is gone or damaged is in none.

    Args:
        book: An open book.
        study_id: The study.
        number: The only trial to look at; ``None`` for all.
    """
    trials: dict[tuple[Isolation, Program], list[int]] = {}
    with book.reading() as connection:
        for found, launch in _launches(connection, study_id, number):
            way = launch.isolation, launch.program
            trials.setdefault(way, []).append(found)
    return tuple(Launched(*way, tuple(numbers)) for way, numbers in trials.items())


def _launches(
    connection: Connection, study_id: int, number: int | None
) -> Iterator[tuple[int, BriefLaunch]]:
    named = (
        select(_t.number, _a.execution)
        .join(schema.attempt, and_(_a.trial_id == _t.trial_id, _a.number == _t.attempt))
        .where(_t.study_id == study_id, _t.deleted.is_(None), _a.execution.is_not(None))
        .order_by(_t.number)
    )
    if number is not None:
        named = named.where(_t.number == number)
    rows = connection.execute(named).all()
    for start in range(0, len(rows), _CHUNK):
        chunk = rows[start : start + _CHUNK]
        digests = {digest for _, digest in chunk}
        found = select(_n.digest, _n.document).where(_n.digest.in_(digests))
        launches = {digest: brief_launch(text) for digest, text in connection.execute(found)}
        for trial, digest in chunk:
            launch = launches.get(digest)
            if launch is not None:
                yield trial, launch
