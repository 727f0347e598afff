"""What the attempts of a study took, added up in the database.

An attempt's CPU time stands in the JSON of its outcome. It is cut out there by its key, which no
text inside the JSON can hold (its quotes would have backslashes), so that thousands of outcomes
need not be read to add up one number of each. So is what says where an attempt ran and which GPUs
were left to it: the rest of an execution snapshot is a trial's own, where each has a process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Float, and_, case, cast, func, null, or_, select

from trialbook.book import schema
from trialbook.book.book import Book
from trialbook.book.engine import is_sqlite

_a, _t, _w, _n = schema.attempt.c, schema.trial.c, schema.worker.c, schema.snapshot.c
_KEY = ',"cpu_s":'
_INTEGRAL = '{"$float":"'
"""What stands before a whole number, see ``records/canonical.py``."""
_NUMBER = "[-+0-9.eE]+"
_WHERE = (',"gpus":', ',"isolation":')
"""Before ``gpus`` and ``host`` in the canonical JSON of a launch, and behind them."""
_DIGITS = 60


@dataclass(frozen=True, slots=True)
class AttemptSums:
    """The attempts of one worker's host that share environment, host and GPUs.

    Args:
        host: Host of the worker, ``None`` when no worker is recorded.
        environment: Digest of the snapshot, ``None`` when nothing was captured.
        execution: Digest of one of their snapshots, which say the same of host and GPUs; likewise.
        running: How many have not ended.
        ended: How many have ended.
        with_cpu: Of how many that have ended the CPU time is known.
        cpu_s: Its sum, in seconds.
        wall_s: The sum of how long those that have ended took, by their workers' clocks.
    """

    host: str | None
    environment: str | None
    execution: str | None
    running: int
    ended: int
    with_cpu: int
    cpu_s: float
    wall_s: float


@dataclass(frozen=True, slots=True)
class AttemptPlace:
    """Attempts that share environment, host and GPUs.

    Args:
        attempts: Their ids.
        environment: Digest of the snapshot, ``None`` when nothing was captured.
        execution: Digest of one of their snapshots, as in ``AttemptSums``.
    """

    attempts: tuple[int, ...]
    environment: str | None
    execution: str | None


def attempt_places(book: Book, study_id: int) -> list[AttemptPlace]:
    """Where the executed attempts of a study's living trials ran, those of one place together."""
    with book.reading() as connection:
        found = connection.execute(
            select(_a.attempt_id, _a.environment, _a.execution, _where(connection))
            .select_from(schema.attempt)
            .join(schema.trial, _t.trial_id == _a.trial_id)
            .outerjoin(schema.snapshot, _n.digest == _a.execution)
            .where(_of(study_id))
            .order_by(_a.attempt_id)
        )
        places: dict[Any, tuple[str | None, list[int]]] = {}
        for attempt_id, environment, execution, where in found:
            place = places.setdefault((environment, where), (execution, []))
            place[1].append(attempt_id)
    return [
        AttemptPlace(tuple(ids), environment, execution)
        for (environment, _), (execution, ids) in places.items()
    ]


def attempt_sums(book: Book, study_id: int) -> list[AttemptSums]:
    """What the executed attempts of a study's living trials took; lost and fenced ones too.

    An attempt that only holds the reports of a trial which nobody executes is none of them.
    """
    with book.reading() as connection:
        cpu_s = _cpu_s(connection)
        over = _a.ended.is_not(None)
        found = connection.execute(
            select(
                _w.host,
                _a.environment,
                func.min(_a.execution),
                func.sum(case((over, 0), else_=1)),
                func.sum(case((over, 1), else_=0)),
                func.count(case((over, cpu_s))),
                func.sum(case((over, cpu_s))),
                func.sum(case((_a.ended > _a.started, _a.ended - _a.started), else_=0.0)),
            )
            .select_from(schema.attempt)
            .join(schema.trial, _t.trial_id == _a.trial_id)
            .outerjoin(schema.worker, _w.worker_id == _a.worker_id)
            .outerjoin(schema.snapshot, _n.digest == _a.execution)
            .where(_of(study_id))
            .group_by(_w.host, _a.environment, _where(connection))
            .order_by(func.min(_a.attempt_id))
        ).all()
    return [
        AttemptSums(
            row[0], row[1], row[2], int(row[3]), int(row[4]), int(row[5]), *map(_seconds, row[6:])
        )
        for row in found
    ]


def _of(study_id: int) -> Any:
    """The executed attempts of a study's living trials."""
    executed = or_(_a.seeds.is_not(None), _a.worker_id.is_not(None))
    return and_(_t.study_id == study_id, _t.deleted.is_(None), executed)


def _seconds(found: float | None) -> float:
    return 0.0 if found is None else float(found)


def _where(connection: Connection) -> Any:
    """Host and GPUs as a launch has them, NULL without one."""
    place = func.instr if is_sqlite(connection) else func.strpos
    begin, end = (place(_n.document, key) for key in _WHERE)
    return case((and_(begin > 0, end > begin), func.substr(_n.document, begin, end - begin)))


def _cpu_s(connection: Connection) -> Any:
    """The CPU seconds in an outcome, NULL without one."""
    if not is_sqlite(connection):
        pattern = f"""{_KEY}(?:{_INTEGRAL.replace("{", "[{]").replace("$", "[$]")})?({_NUMBER})"""
        return cast(func.substring(_a.outcome, pattern), Float(53))
    at = func.instr(_a.outcome, _KEY)
    text = func.substr(_a.outcome, at + len(_KEY), _DIGITS)
    integral = func.substr(text, 1, len(_INTEGRAL)) == _INTEGRAL
    # A cast reads the number at the beginning of a text and leaves the rest.
    number = cast(case((integral, func.substr(text, len(_INTEGRAL) + 1)), else_=text), Float)
    return case((at > 0, case((text.like("null%"), null()), else_=number)))
