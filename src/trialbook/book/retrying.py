"""Ending an attempt that came to no result: its trial is tried again, or has failed.

Whoever finds the attempt dead (its worker, a run, a reaper) comes here, and the study's budgets
decide in the same transaction. What is written is the attempt's end; a trial that is tried again
then waits (``claims.give_back``), and one that is not is finished.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import msgspec
from optuna.trial import TrialState
from sqlalchemy import Connection, bindparam, select

from trialbook.book import attempt_rows, checkpoints, claims, schema, trials
from trialbook.book.attempt_rows import Facts
from trialbook.book.blobs import StaleError
from trialbook.book.clock import database_time
from trialbook.book.series_rows import folded, write_folded
from trialbook.book.shelf import Shelf
from trialbook.book.statements import Statement
from trialbook.book.texts import json_text, merged_text
from trialbook.errors import NotFoundError
from trialbook.records.blobs import Blob
from trialbook.records.canonical import parsed
from trialbook.records.execution import EndReason, OutcomeState
from trialbook.records.retries import (
    QUARANTINED,
    Ending,
    GiveUp,
    Retry,
    RetryBudgets,
    decision,
)

_a = schema.attempt.c
_attempt = Statement(
    select(
        _a.attempt_id,
        _a.returned,
        _a.prune_answers,
        _a.lease < database_time(),
        _a.worker_id,
        _a.ended,
    )
    .where(_a.trial_id == bindparam("trial_id"), _a.number == bindparam("number"))
    .with_for_update()
)
_history = Statement(
    select(_a.end_reason, _a.outcome)
    .where(_a.trial_id == bindparam("trial_id"), _a.number < bindparam("number"))
    .order_by(_a.number)
)
_spec = Statement(
    select(schema.study.c.name, schema.study.c.spec).where(
        schema.study.c.study_id == bindparam("study_id")
    )
)


class Fate(StrEnum):
    """What came of a trial whose attempt was to be ended."""

    OVER = "over"
    """Nothing was done: it has finished or was given back, or another attempt is the current."""
    RETRIED = "retried"
    FAILED = "failed"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class Reaped:
    """A trial whose lease had expired, and what came of it.

    Args:
        trial_id: The book's id.
        number: The trial's number.
        study: The study's name.
        attempt: Number of the attempt that was ended.
        worker_id: Who had held it.
        fate: What came of the trial.
    """

    trial_id: int
    number: int
    study: str
    attempt: int
    worker_id: str | None
    fate: Fate


@dataclass(frozen=True, slots=True)
class Death:
    """An attempt that is to be ended.

    Args:
        trial_id: The trial.
        outcome: How it ended.
        blobs: Contents that the outcome names.
        attempt: Number of the attempt; ``None`` for the current one, whichever it is.
        expired: Only when its lease is over, looked at once more under its lock.
        only_retry: Only when the trial is tried again; else everything stays as it is.
    """

    trial_id: int
    outcome: OutcomeState
    blobs: tuple[Blob, ...] = ()
    attempt: int | None = None
    expired: bool = False
    only_retry: bool = False


class _UnchangedError(Exception):
    """The transaction is to be rolled back; the trial stays as it is."""


def end(shelf: Shelf, death: Death) -> Reaped | None:
    """End an attempt in one transaction; ``None`` when there was nothing to do.

    Raises:
        NotFoundError: There is no such trial.
    """
    while True:
        prepared = shelf.blobs.prepared(death.blobs)
        try:
            with shelf.book.writing(durable=True) as connection:
                shelf.blobs.name(connection, prepared, relied_on=death.blobs)
                done = _ended(connection, death)
                if done is None:
                    raise _UnchangedError
        except _UnchangedError:
            return None
        except StaleError:
            continue
        finally:
            shelf.blobs.discard(prepared)
        shelf.blobs.committed(prepared)
        if done.fate is not Fate.RETRIED:
            checkpoints.let_go_all(shelf.book, shelf.blobs, death.trial_id)
        return done


def _ended(connection: Connection, death: Death) -> Reaped | None:
    trial_id = death.trial_id
    row = trials.locked(connection, trial_id)
    if row.state != trials.RUNNING or death.attempt not in (None, row.attempt):
        return None
    if death.attempt is None:
        trials.current_attempt(connection, row)
        row = trials.locked(connection, trial_id)
    found = _attempt.row(connection, trial_id=trial_id, number=row.attempt)
    if found is None:
        return None
    attempt_id, returned, answers, expired, worker_id, ended = found
    if death.expired and (ended is not None or not expired):
        return None
    study = _spec.row(connection, study_id=row.study_id)
    if study is None:
        raise NotFoundError(f"there is no study of id {row.study_id}")
    name, spec = study
    outcome = death.outcome
    ending = Ending(outcome.reason, outcome.died)
    history = [*_endings(connection, row), ending]
    decided = decision(history, _budgets(spec), random.random())
    if death.only_retry and not isinstance(decided, Retry):
        return None
    facts = Facts(returned, list(answers), outcome)
    write_folded(connection, attempt_id, folded(connection, attempt_id, {}))
    attempt_rows.write_end(connection, attempt_id, facts, outcome.reason)
    if isinstance(decided, Retry):
        claims.give_back(connection, row, decided.wait_s)
        fate = Fate.RETRIED
    else:
        _fail(connection, row, decided)
        fate = Fate.FAILED if decided.quarantine is None else Fate.QUARANTINED
    return Reaped(trial_id, row.number, name, row.attempt, worker_id, fate)


def _fail(connection: Connection, row: trials.TrialRow, decided: GiveUp) -> None:
    if decided.quarantine is not None:
        trials.set_texts(
            connection,
            row,
            params=row.params,
            space=row.space,
            user_attrs=row.user_attrs,
            system_attrs=merged_text(
                row.system_attrs, {QUARANTINED: json_text(decided.quarantine, QUARANTINED)}
            ),
        )
    finish_seq = trials.next_finish_seq(connection, row.study_id)
    trials.finish(connection, row, finish_seq, TrialState.FAIL, None)
    trials.seal(connection, row.trial_id)


def _endings(connection: Connection, row: trials.TrialRow) -> Iterable[Ending]:
    for reason, outcome in _history.rows(connection, trial_id=row.trial_id, number=row.attempt):
        if reason is not None:
            died = outcome is not None and bool(json.loads(outcome).get("died"))
            yield Ending(EndReason(reason), died)


def _budgets(spec: str | None) -> RetryBudgets:
    if spec is None:
        return RetryBudgets()
    asked = parsed(spec).get("retries")
    return RetryBudgets() if asked is None else msgspec.convert(asked, RetryBudgets)
