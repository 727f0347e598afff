"""What goes on in a study now: workers, what they hold, what waits to be tried again.

One read transaction and a handful of queries, none of them a query a trial. Every age is measured
against one reading of the database's clock. Times that a worker wrote (when an attempt began and
ended) are those of its own clock.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, and_, case, func, or_, select

from trialbook.book import gathering, rows, schema
from trialbook.book.book import Book
from trialbook.book.claims import taken
from trialbook.book.clock import database_time
from trialbook.book.leases import worker_record
from trialbook.book.marks import MarkedTrial, marked_trials
from trialbook.book.reading import study_row
from trialbook.records.canonical import parsed
from trialbook.records.execution import EndReason, OutcomeState
from trialbook.records.retries import QUARANTINED, Ending
from trialbook.records.study import StudyRecord
from trialbook.records.workers import WorkerRecord

RECENT_S = 600.0
"""What counts as recent, for the throughput of a study."""

_t, _a, _w = schema.trial.c, schema.attempt.c, schema.worker.c
_FINISHED = [rows.STATES.index(state) for state in ("COMPLETE", "PRUNED", "FAIL")]
_RUNNING, _WAITING = rows.STATES.index("RUNNING"), rows.STATES.index("WAITING")
_FAIL = rows.STATES.index("FAIL")
_of_trial = _t.trial_id == _a.trial_id
_finishing = and_(_t.state.in_(_FINISHED), _a.number == _t.attempt, _a.ended.is_not(None))
_by_its_worker = and_(
    _finishing,
    _a.end_reason.not_in(
        [
            str(reason)
            for reason in (
                EndReason.LOST,
                EndReason.PREEMPTED,
                EndReason.ABANDONED,
                EndReason.FENCED,
            )
        ]
    ),
)


@dataclass(frozen=True, slots=True)
class WorkerActivity:
    """A worker, and the trials of the study that it finished.

    Args:
        worker: The worker.
        finished: How many.
        first_started_s: When it began its first trial of the study, ``None`` before that.
        last_ended_s: When its last one ended, likewise.
    """

    worker: WorkerRecord
    finished: int
    first_started_s: float | None
    last_ended_s: float | None


@dataclass(frozen=True, slots=True)
class RunningTrial:
    """A trial that is RUNNING.

    Args:
        number: Its number.
        attempt: Number of its attempt, 0 when nobody has begun one.
        worker_id: Who holds it, ``None`` without a lease.
        lease_s: When its lease ends, ``None`` without one.
        started_s: When the attempt began, ``None`` without one.
    """

    number: int
    attempt: int
    worker_id: str | None
    lease_s: float | None
    started_s: float | None


@dataclass(frozen=True, slots=True)
class WaitingTrial:
    """A trial that was given back.

    Args:
        number: Its number.
        attempt: Number of its next attempt.
        not_before_s: When it may start, ``None`` for at once.
        endings: How its attempts ended, oldest first.
        last: What is known of the last one's end, ``None`` when nothing is.
    """

    number: int
    attempt: int
    not_before_s: float | None
    endings: tuple[Ending, ...]
    last: OutcomeState | None


@dataclass(frozen=True, slots=True)
class StudyActivity:
    """What goes on in a study.

    Args:
        study: The study.
        now_s: The database's clock.
        taken: How much of a budget is used up: trials that run, have finished or were given back.
        workers: Those that work or worked on it, in the order in which they came.
        running: Its RUNNING trials, by number.
        waiting: Its trials that were given back, by number.
        quarantined: Number and reason of its trials in quarantine, by number.
        endings: How many of its attempts ended for each reason.
        finished: Its finished trials that were tracked.
        finished_lately: Those of them that ended in the last ``RECENT_S``.
        lately_s: Of these seconds, those since the oldest attempt that runs or ended in them began.
        first_started_s: When its first attempt began, ``None`` without one.
        last_ended_s: When its last finished trial ended, ``None`` without one.
        marked: Its trials that say that their worker differed from the study, by number.
    """

    study: StudyRecord
    now_s: float
    taken: int
    workers: tuple[WorkerActivity, ...]
    running: tuple[RunningTrial, ...]
    waiting: tuple[WaitingTrial, ...]
    quarantined: tuple[tuple[int, str], ...]
    endings: dict[EndReason, int]
    finished: int
    finished_lately: int
    lately_s: float
    first_started_s: float | None
    last_ended_s: float | None
    marked: tuple[MarkedTrial, ...] = ()


def activity(book: Book, study: str) -> StudyActivity:
    """What goes on in the study of that name.

    Raises:
        NotFoundError: There is no such study.
        BookCorruptError: A row cannot be read.
    """
    with book.reading() as connection:
        row = study_row(connection, study)
        study_id: int = row.study_id
        now_s = float(connection.execute(select(database_time())).scalar_one())
        attempts = _attempts(connection, study_id, now_s)
        return StudyActivity(
            study=gathering.study_records(connection, [row])[0],
            now_s=now_s,
            taken=taken(connection, study_id),
            workers=_workers(connection, study_id),
            running=_running(connection, study_id),
            waiting=_waiting(connection, study_id),
            quarantined=_quarantined(connection, study_id),
            marked=marked_trials(connection, study_id),
            **attempts,
        )


def _attempts(connection: Connection, study_id: int, now_s: float) -> dict[str, Any]:
    """What follows from all attempts of a study, by the names of ``StudyActivity``."""
    recent = and_(_finishing, _a.ended > now_s - RECENT_S)
    lately = or_(recent, and_(_a.ended.is_(None), _a.number == _t.attempt))
    found = connection.execute(
        select(
            _a.end_reason.label("reason"),
            func.count().label("attempts"),
            func.sum(case((_finishing, 1), else_=0)).label("finished"),
            func.sum(case((recent, 1), else_=0)).label("recent"),
            func.min(case((lately, _a.started))).label("lately"),
            func.min(_a.started).label("first"),
            func.max(case((_finishing, _a.ended))).label("last"),
        )
        .join(schema.trial, _of_trial)
        .where(_t.study_id == study_id, _t.deleted.is_(None))
        .group_by(_a.end_reason)
    ).all()
    with rows.readable("the attempts of a study"):
        endings = {EndReason(row.reason): row.attempts for row in found if row.reason is not None}
    since_s = min((row.lately for row in found if row.lately is not None), default=now_s)
    return {
        "endings": endings,
        "finished": sum(int(row.finished) for row in found),
        "finished_lately": sum(int(row.recent) for row in found),
        "lately_s": min(max(0.0, now_s - since_s), RECENT_S),
        "first_started_s": min((row.first for row in found), default=None),
        "last_ended_s": max((row.last for row in found if row.last is not None), default=None),
    }


def _workers(connection: Connection, study_id: int) -> tuple[WorkerActivity, ...]:
    done = (
        select(
            _a.worker_id,
            func.sum(case((_by_its_worker, 1), else_=0)).label("finished"),
            func.min(_a.started).label("first_started"),
            func.max(case((_by_its_worker, _a.ended))).label("last_ended"),
        )
        .join(schema.trial, _of_trial)
        .where(_t.study_id == study_id, _t.deleted.is_(None), _a.worker_id.is_not(None))
        .group_by(_a.worker_id)
        .subquery()
    )
    found = connection.execute(
        select(schema.worker, done.c.finished, done.c.first_started, done.c.last_ended)
        .outerjoin(done, done.c.worker_id == _w.worker_id)
        .where(or_(_w.study_id == study_id, done.c.worker_id.is_not(None)))
        .order_by(_w.started, _w.worker_id)
    ).all()
    return tuple(
        WorkerActivity(
            worker_record(dict(row._mapping)),
            0 if row.finished is None else int(row.finished),
            row.first_started,
            row.last_ended,
        )
        for row in found
    )


def _unfinished(study_id: int) -> Any:
    return and_(_t.study_id == study_id, _t.finish_seq.is_(None), _t.deleted.is_(None))


def _running(connection: Connection, study_id: int) -> tuple[RunningTrial, ...]:
    found = connection.execute(
        select(_t.number, _t.attempt, _a.worker_id, _a.lease, _a.started)
        .outerjoin(schema.attempt, and_(_of_trial, _a.number == _t.attempt, _a.ended.is_(None)))
        .where(_unfinished(study_id), _t.state == _RUNNING)
        .order_by(_t.number)
    )
    return tuple(RunningTrial(*row) for row in found)


def _waiting(connection: Connection, study_id: int) -> tuple[WaitingTrial, ...]:
    given_back = and_(_unfinished(study_id), _t.state == _WAITING, _t.attempt > 0)
    history: dict[int, list[tuple[Ending, OutcomeState | None]]] = defaultdict(list)
    for row in connection.execute(
        select(_t.trial_id, _a.end_reason, _a.outcome)
        .select_from(schema.attempt.join(schema.trial, _of_trial))
        .where(given_back, _a.end_reason.is_not(None))
        .order_by(_t.trial_id, _a.number)
    ):
        with rows.readable("the attempts of a trial"):
            outcome = None
            if row.outcome is not None:
                outcome = msgspec.convert(parsed(row.outcome), OutcomeState)
            ending = Ending(EndReason(row.end_reason), outcome is not None and outcome.died)
            history[row.trial_id].append((ending, outcome))
    found: Sequence[Any] = connection.execute(
        select(_t.trial_id, _t.number, _t.attempt, _t.not_before)
        .where(given_back)
        .order_by(_t.number)
    ).all()
    return tuple(
        WaitingTrial(
            row.number,
            row.attempt,
            row.not_before,
            tuple(ending for ending, _ in history[row.trial_id]),
            history[row.trial_id][-1][1] if history[row.trial_id] else None,
        )
        for row in found
    )


def _quarantined(connection: Connection, study_id: int) -> tuple[tuple[int, str], ...]:
    found = connection.execute(
        select(_t.number, _t.system_attrs)
        .where(
            _t.study_id == study_id,
            _t.deleted.is_(None),
            _t.state == _FAIL,
            _t.system_attrs.contains(QUARANTINED),
        )
        .order_by(_t.number)
    )
    reasons = []
    for row in found:
        with rows.readable(f"trial {row.number}"):
            reason = json.loads(row.system_attrs).get(QUARANTINED)
        if reason is not None:
            reasons.append((row.number, str(reason)))
    return tuple(reasons)
