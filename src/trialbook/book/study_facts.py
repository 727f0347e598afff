"""Facts about all trials of a study, added up for whoever reports on it: no record a trial.

Like ``search_rows.py`` these are plain rows, a query each. What concerns the trials' results is
there; here is what became of attempts, which seeds and snapshots they name, and what was deleted.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import and_, case, func, null, select

from trialbook.book import rows, schema
from trialbook.book.book import Book
from trialbook.book.engine import is_sqlite
from trialbook.records.canonical import parsed
from trialbook.records.coordinates import Kind
from trialbook.records.coverage import Coverage
from trialbook.records.execution import EndReason, Seeds
from trialbook.records.returned import unusable_return
from trialbook.records.study import TrialState

_s, _t, _a, _n = schema.study.c, schema.trial.c, schema.attempt.c, schema.snapshot.c
_KIND = ',"kind":'
"""Behind the coverage in the canonical JSON of a snapshot; no text in it can hold these quotes."""
_UNEVENTFUL = (EndReason.COMPLETE, EndReason.PRUNED)


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What is left of a deleted trial.

    Args:
        number: Its number.
        state: Its state when it was deleted.
        record_digest: Digest of its record, ``None`` when it had not finished.
        deleted_s: When it was deleted, seconds since the epoch.
    """

    number: int
    state: TrialState
    record_digest: str | None
    deleted_s: float


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ended that came to no result.

    Args:
        trial: Number of its trial.
        state: The trial's state.
        counts: Whether it is the attempt that counts.
        reason: Why it ended; ``None`` for a FAIL trial that nobody executed under tracking.
        exception: Dotted type of the exception, ``None`` without one.
        message: The exception's text.
        signal: Name of the signal that killed the process.
        returned: What the objective returned that is no result, as in ``unusable_return``.
    """

    trial: int
    state: TrialState
    counts: bool
    reason: EndReason | None
    exception: str | None = None
    message: str | None = None
    signal: str | None = None
    returned: str = ""


@dataclass(frozen=True, slots=True)
class SeededTrials:
    """How many trials were seeded in one way.

    Args:
        study: The study's seed, as in ``Seeds``.
        decorator: The decorator's, likewise.
        set_globals: Which global generators were seeded.
        trials: How many trials.
    """

    study: int | None
    decorator: int | None
    set_globals: tuple[str, ...]
    trials: int


@dataclass(frozen=True, slots=True)
class SnapshotUse:
    """How many trials name one snapshot in the attempt that counts."""

    kind: Kind
    digest: str
    trials: int


@dataclass(frozen=True, slots=True)
class CoverageUse:
    """How many trials have one coverage of one coordinate in the attempt that counts."""

    kind: Kind
    coverage: Coverage
    trials: int


def tombstones(book: Book, study_id: int) -> tuple[Tombstone, ...]:
    """The deleted trials of a study, by number."""
    with book.reading() as connection:
        found = connection.execute(
            select(_t.number, _t.state, _t.record_digest, _t.deleted)
            .where(_t.study_id == study_id, _t.deleted.is_not(None))
            .order_by(_t.number)
        ).all()
    return tuple(
        Tombstone(r.number, rows.STATES[r.state], r.record_digest, r.deleted) for r in found
    )


def endings(book: Book, study_id: int) -> tuple[Ending, ...]:
    """The attempts of living trials that ended without a result, and FAIL trials without any."""
    failed = rows.STATES.index("FAIL")
    with book.reading() as connection:
        found = connection.execute(
            select(
                *(_t.number, _t.state, _a.number, _t.attempt),
                *(_a.end_reason, _a.outcome, _a.returned, _s.directions),
            )
            .select_from(schema.trial)
            .join(schema.study, _s.study_id == _t.study_id)
            .outerjoin(schema.attempt, _a.trial_id == _t.trial_id)
            .where(
                _t.study_id == study_id,
                _t.deleted.is_(None),
                case(
                    (_a.attempt_id.is_(None), _t.state == failed),
                    else_=and_(
                        _a.ended.is_not(None), _a.end_reason.not_in([str(r) for r in _UNEVENTFUL])
                    ),
                ),
            )
            .order_by(_t.number, _a.number)
        ).all()
    return tuple(_ending(row) for row in found)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """Of an outcome what says why."""

    reason: EndReason | None = None
    exception: str | None = None
    message: str | None = None
    signal: str | None = None


def _ending(row: Any) -> Ending:
    number, state, attempt, current, reason, outcome, text, directions = row
    with rows.readable(f"an attempt of trial {number}"):
        said = _Outcome() if outcome is None else msgspec.convert(parsed(outcome), _Outcome)
        end = None if reason is None else EndReason(reason)
        returned = None if text is None else parsed(text)
        return Ending(
            trial=number,
            state=rows.STATES[state],
            counts=attempt is None or attempt == current,
            reason=end,
            exception=said.exception,
            message=said.message,
            signal=said.signal,
            returned=unusable_return(end, said.reason, returned, len(json.loads(directions))),
        )


def seeded(book: Book, study_id: int) -> tuple[tuple[SeededTrials, ...], int]:
    """How the trials of a study were seeded, in the order in which they came.

    Returns:
        Ways of seeding, and how many different seeds the trials had.
    """
    with book.reading() as connection:
        texts = connection.scalars(
            select(_a.seeds)
            .join(schema.trial, and_(_t.trial_id == _a.trial_id, _t.attempt == _a.number))
            .where(_t.study_id == study_id, _t.deleted.is_(None), _a.seeds.is_not(None))
            .order_by(_t.number)
        ).all()
    ways: Counter[tuple[int | None, int | None, tuple[str, ...]]] = Counter()
    own = set()
    with rows.readable("the seeds of a trial"):
        for text in texts:
            seeds = msgspec.convert(parsed(text), Seeds)
            ways[seeds.study, seeds.decorator, seeds.set_globals] += 1
            own.add(seeds.trial)
    return tuple(SeededTrials(*way, trials) for way, trials in ways.items()), len(own)


def snapshot_uses(book: Book, study_id: int) -> tuple[SnapshotUse, ...]:
    """Which snapshots the trials of a study name, by kind, each kind's first one first.

    Those of the execution are left out: most trials have one of their own.
    """
    uses: list[SnapshotUse] = []
    with book.reading() as connection:
        for kind in Kind:
            if kind is Kind.EXECUTION:
                continue
            digest = schema.attempt.c[str(kind)]
            found = connection.execute(
                select(digest, func.count())
                .join(schema.trial, and_(_t.trial_id == _a.trial_id, _t.attempt == _a.number))
                .where(_t.study_id == study_id, _t.deleted.is_(None), digest.is_not(None))
                .group_by(digest)
                .order_by(func.min(_t.number), digest)
            )
            uses += [SnapshotUse(kind, name, count) for name, count in found]
    return tuple(uses)


def coverage_uses(book: Book, study_id: int) -> tuple[CoverageUse, ...]:
    """How complete the coordinates of a study's tracked trials are, by kind, the first one first.

    A coordinate without a snapshot, or whose snapshot is gone, is absent.
    """
    uses: list[CoverageUse] = []
    with book.reading() as connection:
        place = func.instr if is_sqlite(connection) else func.strpos
        end = place(_n.document, _KIND)
        text = case((end > 0, func.substr(_n.document, 1, end - 1)), else_=null())
        for kind in Kind:
            digest = schema.attempt.c[str(kind)]
            found = connection.execute(
                select(text, digest.is_(None), func.count())
                .select_from(schema.attempt)
                .join(schema.trial, and_(_t.trial_id == _a.trial_id, _t.attempt == _a.number))
                .outerjoin(schema.snapshot, _n.digest == digest)
                .where(_t.study_id == study_id, _t.deleted.is_(None), _a.seeds.is_not(None))
                .group_by(text, digest.is_(None))
                .order_by(func.min(_t.number))
            )
            uses += [CoverageUse(kind, _coverage(*row[:2]), row[2]) for row in found]
    return tuple(uses)


def _coverage(text: str | None, unnamed: bool) -> Coverage:
    if text is None:
        return Coverage.absent(
            "nothing was captured" if unnamed else "its snapshot is not in the book"
        )
    with rows.readable("the coverage of a snapshot"):
        return msgspec.convert(parsed((text + "}").encode())["coverage"], Coverage)
