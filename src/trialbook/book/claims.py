"""Claiming trials: a WAITING trial becomes RUNNING in one compare-and-set, once.

Also the way back, from RUNNING to WAITING.
"""

from __future__ import annotations

import json
import time

from optuna.study._constrained_optimization import _CONSTRAINTS_KEY
from sqlalchemy import Connection, and_, bindparam, func, or_, select, update

from trialbook.book import schema
from trialbook.book.statements import Statement
from trialbook.book.texts import json_text, object_text
from trialbook.book.trials import (
    RUNNING,
    WAITING,
    TrialRow,
    add_running,
    attempt_id,
    end_attempt,
    local_now,
)
from trialbook.errors import NotFoundError
from trialbook.records.execution import EndReason

_t, _s, _a = schema.trial.c, schema.study.c, schema.attempt.c
_may_start = or_(_t.not_before.is_(None), _t.not_before <= bindparam("now"))

_claim = Statement(
    update(schema.trial)
    .where(
        _t.trial_id == bindparam("trial_id_"),
        _t.state == WAITING,
        _t.deleted.is_(None),
        _may_start,
    )
    .values(state=RUNNING, started=bindparam("started"))
)
_oldest = Statement(
    select(_t.trial_id)
    .where(
        _t.study_id == bindparam("study_id"),
        _t.finish_seq.is_(None),
        _t.state == WAITING,
        _t.deleted.is_(None),
        _may_start,
    )
    .order_by(_t.number)
    .limit(1)
)
_lock_study = Statement(
    select(_s.study_id)
    .where(_s.study_id == bindparam("study_id"), _s.deleted.is_(None))
    .with_for_update()
)
_counted = Statement(
    select(func.count())
    .select_from(schema.trial)
    .outerjoin(schema.attempt, and_(_a.trial_id == _t.trial_id, _a.number == _t.attempt))
    .where(
        _t.study_id == bindparam("study_id"),
        _t.deleted.is_(None),
        _t.state != WAITING,
        or_(_a.end_reason.is_(None), _a.end_reason != str(EndReason.ABANDONED)),
    )
)
_give_back = Statement(
    update(schema.trial)
    .where(_t.trial_id == bindparam("trial_id_"))
    .values(
        state=WAITING,
        started=None,
        attempt=bindparam("attempt"),
        user_attrs="{}",
        system_attrs=bindparam("system_attrs"),
    )
)

_OF_ONE_ATTEMPT = ("completed_rung_", _CONSTRAINTS_KEY)
"""System attributes that begin so say what an attempt did, not which trial this is."""


def claim_waiting(connection: Connection, trial_id: int) -> bool:
    """Turn a WAITING trial into a RUNNING one; ``False`` for the loser, or before its time."""
    return bool(_claim.run(connection, trial_id_=trial_id, now=time.time(), started=local_now()))


def taken(connection: Connection, study_id: int) -> int:
    """How much of a budget is used up: trials that run or have finished, abandoned ones not."""
    row = _counted.row(connection, study_id=study_id)
    return 0 if row is None else int(row[0])


def claim_next(connection: Connection, study_id: int, budget: int | None) -> int | None:
    """Claim the oldest WAITING trial that may start, else make a new RUNNING one.

    Args:
        connection: A write transaction.
        study_id: The study.
        budget: Start nothing when so many trials run or have finished; trials that were
            abandoned do not count. ``None`` for no limit.

    Returns:
        The trial's id; ``None`` when the budget is met.

    Raises:
        NotFoundError: There is no such study.
    """
    if _lock_study.row(connection, study_id=study_id) is None:
        raise NotFoundError(f"there is no study of id {study_id}")
    if budget is not None and taken(connection, study_id) >= budget:
        return None
    oldest = _oldest.row(connection, study_id=study_id, now=time.time())
    if oldest is not None and claim_waiting(connection, oldest[0]):
        return int(oldest[0])
    return add_running(connection, study_id, local_now())[0]


def give_back(connection: Connection, row: TrialRow) -> None:
    """Turn a RUNNING trial into a WAITING one again.

    Params, distributions and the sampler's attributes stay. What one attempt did goes: its
    reports (they stay with the attempt), its user attributes, its rungs and constraints. The
    attempt is fenced from now on.
    """
    current = attempt_id(connection, row.trial_id, row.attempt) if row.attempt else None
    if current is not None:
        end_attempt(connection, current, EndReason.PREEMPTED)
    kept = {
        key: json_text(value, key)
        for key, value in json.loads(row.system_attrs).items()
        if not key.startswith(_OF_ONE_ATTEMPT)
    }
    _give_back.run(
        connection,
        trial_id_=row.trial_id,
        attempt=row.attempt + 1 if current is not None else row.attempt,
        system_attrs=object_text(kept),
    )
