"""Claiming trials: a WAITING trial becomes RUNNING in one compare-and-set, once.

A claim with a lease makes the attempt in the same transaction, so that no claimed trial is ever
without one. Also the way back, from RUNNING to WAITING. How leases go on is in ``leases.py``, when
a trial goes back in ``retrying.py``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from optuna.study._constrained_optimization import _CONSTRAINTS_KEY
from sqlalchemy import (
    Connection,
    and_,
    bindparam,
    exists,
    func,
    literal_column,
    or_,
    select,
    update,
)

from trialbook.book import schema
from trialbook.book.clock import database_time
from trialbook.book.statements import Statement
from trialbook.book.texts import json_text, object_text
from trialbook.book.trials import (
    NO_COORDINATES,
    RUNNING,
    WAITING,
    TrialRow,
    add_attempt,
    add_running,
    local_now,
    locked,
)
from trialbook.errors import NotFoundError
from trialbook.records.execution import EndReason
from trialbook.records.workers import Claim, Holder, WaitFor

_t, _s, _a = schema.trial.c, schema.study.c, schema.attempt.c
_may_start = or_(_t.not_before.is_(None), _t.not_before <= database_time())
_given_back = and_(_t.state == WAITING, _t.attempt > 0)

_claim = Statement(
    update(schema.trial)
    .where(
        _t.trial_id == bindparam("trial_id_"),
        _t.state == WAITING,
        _t.deleted.is_(None),
        _may_start,
    )
    .values(state=RUNNING, started=bindparam("started"), not_before=None)
)
# Trials that were given back come first: they are older, and a budget counts them already.
_oldest = Statement(
    select(_t.trial_id, _t.attempt)
    .where(
        _t.study_id == bindparam("study_id"),
        _t.finish_seq.is_(None),
        _t.state == WAITING,
        _t.deleted.is_(None),
        _may_start,
    )
    .order_by(_t.attempt == 0, _t.number)
    .limit(1)
    .with_for_update(skip_locked=True)  # whoever has it may wait for the study's row
)
_soonest = Statement(
    select(func.min(_t.not_before - database_time())).where(
        _t.study_id == bindparam("study_id"),
        _t.finish_seq.is_(None),
        _t.deleted.is_(None),
        _given_back,
    )
)
_lock_study = Statement(
    select(_s.study_id)
    .where(_s.study_id == bindparam("study_id"), _s.deleted.is_(None))
    .with_for_update()
)
_unfinished = (
    _t.study_id == bindparam("study_id"),
    _t.finish_seq.is_(None),
    _t.deleted.is_(None),
)
# Every trial that was ever made has a number, so what counts is all but these few.
_removed = select(func.count()).where(_t.study_id == bindparam("study_id"), _t.deleted.is_not(None))
_enqueued = select(func.count()).where(*_unfinished, _t.state == WAITING, _t.attempt == 0)
_abandoned = (
    select(func.count())
    .select_from(schema.attempt)
    .where(
        # A constant, by which the databases find the index of just these.
        _a.end_reason == literal_column(f"'{EndReason.ABANDONED}'"),
        exists().where(
            _t.trial_id == _a.trial_id,
            _t.attempt == _a.number,
            _t.study_id == bindparam("study_id"),
            _t.deleted.is_(None),
        ),
    )
)
_counted = Statement(
    select(
        _s.next_number
        - _removed.scalar_subquery()
        - _enqueued.scalar_subquery()
        - _abandoned.scalar_subquery()
    ).where(_s.study_id == bindparam("study_id"))
)
_enqueued_of = Statement(_enqueued)
_waiting_again = Statement(select(func.count()).where(*_unfinished, _given_back))
_give_back = Statement(
    update(schema.trial)
    .where(_t.trial_id == bindparam("trial_id_"))
    .values(
        state=WAITING,
        started=None,
        attempt=bindparam("attempt"),
        user_attrs="{}",
        system_attrs=bindparam("system_attrs"),
        not_before=database_time() + bindparam("wait_s", type_=_t.not_before.type),
    )
)

_OF_ONE_ATTEMPT = ("completed_rung_", _CONSTRAINTS_KEY)
"""System attributes that begin so say what an attempt did, not which trial this is."""


def claim_waiting(connection: Connection, trial_id: int) -> bool:
    """Turn a WAITING trial into a RUNNING one; ``False`` for the loser, or before its time."""
    return bool(_claim.run(connection, trial_id_=trial_id, started=local_now()))


def taken(connection: Connection, study_id: int) -> int:
    """How much of a budget is used up.

    Trials that run, have finished or were given back to be tried again; abandoned ones not.
    """
    row = _counted.row(connection, study_id=study_id)
    return 0 if row is None else int(row[0])


def placed(connection: Connection, study_id: int) -> int:
    """How many trials a study has or waits for: all that live, but abandoned ones."""
    row = _enqueued_of.row(connection, study_id=study_id)
    return taken(connection, study_id) + (0 if row is None else int(row[0]))


def waiting_again(connection: Connection, study_id: int) -> int:
    """How many trials were given back and wait to be tried again."""
    row = _waiting_again.row(connection, study_id=study_id)
    return 0 if row is None else int(row[0])


@dataclass(frozen=True, slots=True)
class BudgetUse:
    """How much of a study's budget is used up.

    Args:
        taken: Trials that run, have finished or wait to be tried again; see ``taken``.
        waiting: Those of them that wait.
    """

    taken: int
    waiting: int


def budget_use(connection: Connection, study_id: int) -> BudgetUse:
    """How much of a study's budget is used up."""
    return BudgetUse(taken(connection, study_id), waiting_again(connection, study_id))


def lock_study(connection: Connection, study_id: int) -> None:
    """Let nobody else claim or add trials of a study until the transaction ends.

    Raises:
        NotFoundError: There is no such study.
    """
    if _lock_study.row(connection, study_id=study_id) is None:
        raise NotFoundError(f"there is no study of id {study_id}")


def claim_next(
    connection: Connection,
    study_id: int,
    budget: int | None,
    holder: Holder | None,
    *,
    only_waiting: bool = False,
) -> Claim | WaitFor | None:
    """Claim the next WAITING trial that may start, else make a new RUNNING one.

    Args:
        connection: A write transaction.
        study_id: The study.
        budget: Start nothing new when so many trials run, have finished or were given back;
            trials that were abandoned do not count. ``None`` for no limit.
        holder: Who gets a lease on it; its worker is registered. ``None`` for a claim without.
        only_waiting: Make no trial: where none waits, nothing is left.

    Returns:
        The claim; how long to wait when only trials that were given back are left and none of
        them may start yet; ``None`` when the budget is met.

    Raises:
        NotFoundError: There is no such study.
    """
    lock_study(connection, study_id)
    met = budget is not None and taken(connection, study_id) >= budget
    oldest = _oldest.row(connection, study_id=study_id)
    if oldest is not None and (not met or oldest[1] > 0) and claim_waiting(connection, oldest[0]):
        return _claimed(connection, int(oldest[0]), holder)
    if met or only_waiting:
        soonest = _soonest.row(connection, study_id=study_id)
        if soonest is None or soonest[0] is None:
            return None
        return WaitFor(max(0.0, float(soonest[0])))
    return _claimed(connection, add_running(connection, study_id, local_now())[0], holder)


def _claimed(connection: Connection, trial_id: int, holder: Holder | None) -> Claim:
    row = locked(connection, trial_id)
    if holder is None:
        return Claim(trial_id, row.number)
    attempt_id, attempt = add_attempt(connection, row, NO_COORDINATES, holder)
    return Claim(trial_id, row.number, attempt, attempt_id)


def give_back(connection: Connection, row: TrialRow, wait_s: float = 0.0) -> None:
    """Turn a RUNNING trial, whose attempt was ended, into a WAITING one again.

    Params, distributions and the sampler's attributes stay. What one attempt did goes: its
    reports (they stay with the attempt), its user attributes, its rungs and constraints. The
    attempt is fenced from now on.

    Args:
        connection: A write transaction that has locked the trial.
        row: The trial.
        wait_s: Seconds before which it cannot be claimed.
    """
    kept = {
        key: json_text(value, key)
        for key, value in json.loads(row.system_attrs).items()
        if not key.startswith(_OF_ONE_ATTEMPT)
    }
    _give_back.run(
        connection,
        trial_id_=row.trial_id,
        attempt=row.attempt + 1,
        system_attrs=object_text(kept),
        wait_s=wait_s,
    )
