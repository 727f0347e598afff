"""Writes to trials that nobody in this process holds: each is a transaction of its own.

A bare ``ask``, a RUNNING template, ``copy_study``, the dashboard. They name no claim, so they count
for the attempt that is current in their transaction.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection

from trialbook.book import at_once, claims, trials
from trialbook.book.book import Book
from trialbook.book.series_rows import append_parts, folded, write_folded
from trialbook.book.spaces import Spaces
from trialbook.book.texts import merged_text
from trialbook.errors import InvalidInputError, NotFoundError
from trialbook.records.execution import EndReason
from trialbook.records.series import OBJECTIVE, Series


def create(book: Book, study_id: int) -> tuple[int, int, datetime]:
    """Add an empty RUNNING trial; its id, number and start."""
    started = trials.local_now()
    if book.path is None:
        return *at_once.create(book, study_id, started), started
    with book.writing() as connection:
        return *trials.add_running(connection, study_id, started), started


def add(book: Book, study_id: int, template: FrozenTrial, spaces: Spaces) -> int:
    """Add a trial as the template says; its id."""
    reports = trials.checked_reports(template.intermediate_values)
    finished = template.state.is_finished()
    with book.writing(durable=finished) as connection:
        trial_id = trials.add_template(connection, study_id, template, spaces)
        if reports:
            row = trials.locked(connection, trial_id)
            attempt = trials.current_attempt(connection, row)
            append_parts(connection, attempt, {OBJECTIVE: _series(reports)})
            if finished:
                reason = trials.end_reason(template.state, None)
                trials.end_attempt(connection, attempt, reason)
        if finished:
            trials.seal(connection, trial_id)
    return trial_id


def _series(reports: dict[int, float]) -> Series:
    return Series(
        OBJECTIVE,
        np.array(list(reports), np.int64),
        np.array(list(reports.values()), np.float64),
        np.full(len(reports), time.time()),
    )


def set_param(
    book: Book,
    trial_id: int,
    param: tuple[str, str],
    distribution: BaseDistribution,
    spaces: Spaces,
    check: Callable[[], None],
) -> None:
    """Set a param.

    Args:
        book: The book.
        trial_id: The trial.
        param: The param's name, and JSON of its internal value.
        distribution: Its distribution.
        spaces: The spaces of the storage.
        check: Raises when the distribution does not go with the study's; called after it is
            sure that the trial may be changed.
    """
    name, internal = param
    text = spaces.text(distribution)
    with book.writing() as connection:
        row = trials.locked_unfinished(connection, trial_id)
        check()
        texts = {**spaces.texts(connection, row.space), name: text}
        trials.set_texts(
            connection,
            row,
            params=merged_text(row.params, {name: internal}),
            space=spaces.store(connection, texts),
            user_attrs=row.user_attrs,
            system_attrs=row.system_attrs,
        )


def set_attr(book: Book, trial_id: int, scope: str, key: str, text: str) -> None:
    """Set a user or system attribute to a JSON text."""
    with book.writing() as connection:
        row = trials.locked_unfinished(connection, trial_id)
        user, system = row.user_attrs, row.system_attrs
        if scope == "user":
            user = merged_text(user, {key: text})
        else:
            system = merged_text(system, {key: text})
        trials.set_texts(
            connection,
            row,
            params=row.params,
            space=row.space,
            user_attrs=user,
            system_attrs=system,
        )


def set_report(book: Book, trial_id: int, step: int, value: float) -> None:
    """Set an intermediate value; the last value of a step stands."""
    with book.writing() as connection:
        row = trials.locked_unfinished(connection, trial_id)
        attempt = trials.current_attempt(connection, row)
        append_parts(connection, attempt, {OBJECTIVE: _series({step: value})})


def refuse_values(values: Sequence[float] | None) -> None:
    """Refuse values of a trial that is given back."""
    if values is not None:
        raise InvalidInputError("a WAITING trial has no values")


def give_back(book: Book, trial_id: int, attempt: int) -> bool:
    """Give a trial back that this attempt holds; ``False`` when the attempt is fenced."""
    with book.writing() as connection:
        try:
            row = trials.locked(connection, trial_id)
        except NotFoundError:  # it was deleted while it ran
            return False
        if row.state != trials.RUNNING or row.attempt != attempt:
            return False
        _give_back(connection, row)
    return True


def _give_back(connection: Connection, row: trials.TrialRow) -> None:
    current = trials.attempt_id(connection, row.trial_id, row.attempt)
    if current is not None:
        trials.end_attempt(connection, current, EndReason.PREEMPTED)
    claims.give_back(connection, row)


def set_state(book: Book, trial_id: int, state: TrialState, values: Sequence[float] | None) -> bool:
    """Change the state of a trial; ``False`` when a claim was lost.

    Raises:
        UpdateFinishedTrialError: It has finished already.
    """
    if state is TrialState.RUNNING:
        with book.writing() as connection:
            trials.locked_unfinished(connection, trial_id)
            return claims.claim_waiting(connection, trial_id)
    if state is TrialState.WAITING:
        refuse_values(values)
        with book.writing() as connection:
            row = trials.locked_unfinished(connection, trial_id)
            if row.state == trials.RUNNING:
                _give_back(connection, row)
        return True
    with book.writing(durable=True) as connection:
        row = trials.locked_unfinished(connection, trial_id)
        finish_seq = trials.next_finish_seq(connection, row.study_id)
        trials.finish(connection, row, finish_seq, state, values)
        attempt = trials.attempt_id(connection, trial_id, row.attempt)
        if attempt is not None:
            fold = folded(connection, attempt, {})
            write_folded(connection, attempt, fold)
            trials.end_attempt(connection, attempt, trials.end_reason(state, None))
        trials.seal(connection, trial_id)
    return True
