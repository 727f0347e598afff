"""Rows of ``tb_trial`` and ``tb_attempt``: making, finding, changing and finishing them.

Functions on an open write transaction. They name the attempt on whose behalf they write; whether
it still counts is decided here, in the same transaction.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, bindparam, delete, literal, select, update

from trialbook.book import schema
from trialbook.book.clock import database_time
from trialbook.book.engine import is_sqlite
from trialbook.book.record_digest import record_digest
from trialbook.book.spaces import Spaces
from trialbook.book.statements import Row, Statement, inserting, together
from trialbook.book.texts import (
    checked_name,
    checked_step,
    json_text,
    object_text,
    queryable,
    value_bytes,
)
from trialbook.errors import NotFoundError
from trialbook.records.execution import EndReason
from trialbook.records.workers import Holder

RUNNING = TrialState.RUNNING.value
WAITING = TrialState.WAITING.value
_REASONS = {
    TrialState.COMPLETE: EndReason.COMPLETE,
    TrialState.PRUNED: EndReason.PRUNED,
    TrialState.FAIL: EndReason.FAILED,
}

_t, _s, _a = schema.trial.c, schema.study.c, schema.attempt.c
_this = _t.trial_id == bindparam("trial_id_")

_NUMBERED = (
    update(schema.study)
    .where(_s.study_id == bindparam("study_id_"), _s.deleted.is_(None))
    .values(next_number=_s.next_number + 1)
    .returning(_s.next_number)
)
_next_number = Statement(_NUMBERED)
NEXT_FINISH = (
    update(schema.study)
    .where(_s.study_id == bindparam("study_id_"))
    .values(finished=_s.finished + 1)
    .returning(_s.finished)
)
"""Gives the next ``finish_seq``; locks the study's row until the transaction ends."""

_next_finish = Statement(NEXT_FINISH)
_insert_trial = Statement(
    schema.trial.insert()
    .values(
        {
            column.name: bindparam(column.name, type_=column.type)
            for column in schema.trial.columns
            if column.name not in ("trial_id", "record_digest", "deleted", "not_before")
        }
    )
    .returning(_t.trial_id, _t.number)
)
_EMPTY: Mapping[str, Any] = {
    "state": RUNNING,
    "attempt": 0,
    "params": "{}",
    "space": None,
    "user_attrs": "{}",
    "system_attrs": "{}",
    "finish_seq": None,
    "completed": None,
}
# One statement, so that others wait no longer for the study's row than they must.
_numbered = _NUMBERED.cte("numbered")
INSERT_NUMBERED = Statement(
    schema.trial.insert()
    .from_select(
        ["study_id", "number", "state", "params", "user_attrs", "system_attrs", "started"],
        select(
            bindparam("study_id_", type_=_t.study_id.type),
            _numbered.c.next_number - 1,
            literal(RUNNING, _t.state.type),
            literal("{}"),
            literal("{}"),
            literal("{}"),
            bindparam("started", type_=_t.started.type),
        ),
    )
    .returning(_t.trial_id, _t.number)
)
"""Adds an empty RUNNING trial to a study on a server; its id and number."""

_locked = Statement(
    select(
        _t.trial_id,
        _t.study_id,
        _t.number,
        _t.state,
        _t.attempt,
        _t.params,
        _t.space,
        _t.user_attrs,
        _t.system_attrs,
        _t.started,
    )
    .where(_this, _t.deleted.is_(None))
    .with_for_update()
)
_set_texts = Statement(
    update(schema.trial)
    .where(_this)
    .values(
        params=bindparam("params"),
        space=bindparam("space"),
        user_attrs=bindparam("user_attrs"),
        system_attrs=bindparam("system_attrs"),
    )
)
_set_finished = Statement(
    update(schema.trial)
    .where(_this)
    .values(
        state=bindparam("state"),
        finish_seq=bindparam("finish_seq"),
        completed=bindparam("completed"),
    )
)
_set_digest = Statement(
    update(schema.trial).where(_this).values(record_digest=bindparam("record_digest"))
)
_set_attempt = Statement(update(schema.trial).where(_this).values(attempt=bindparam("attempt")))
_delete_values = Statement(
    delete(schema.trial_value).where(schema.trial_value.c.trial_id == bindparam("trial_id_"))
)
_insert_value = inserting(schema.trial_value)
_insert_attempt = Statement(
    schema.attempt.insert()
    .values(
        {
            name: bindparam(name, type_=_a[name].type)
            for name in (
                "trial_id",
                "number",
                "started",
                "seeds",
                "code",
                "data",
                "config",
                "environment",
                "execution",
                "worker_id",
            )
        }
    )
    .values(lease=database_time() + bindparam("lease_s", type_=_a.lease.type))
    .returning(_a.attempt_id)
)
_attempt_id = Statement(
    select(_a.attempt_id).where(
        _a.trial_id == bindparam("trial_id_"), _a.number == bindparam("number_")
    )
)
_end_attempt = Statement(
    update(schema.attempt)
    .where(_a.attempt_id == bindparam("attempt_id_"), _a.ended.is_(None))
    .values(ended=bindparam("ended"), end_reason=bindparam("end_reason"))
)

NO_COORDINATES: Mapping[str, str | None] = {
    "seeds": None,
    "code": None,
    "data": None,
    "config": None,
    "environment": None,
    "execution": None,
}


@dataclass(frozen=True, slots=True)
class TrialRow:
    """A row of ``tb_trial`` that this transaction has locked."""

    trial_id: int
    study_id: int
    number: int
    state: int
    attempt: int
    params: str
    space: str | None
    user_attrs: str
    system_attrs: str
    started: datetime | None

    @property
    def finished(self) -> bool:
        """Whether its state is a final one."""
        return self.state not in (RUNNING, WAITING)

    @property
    def empty(self) -> bool:
        """Whether nothing but its start has been written of it."""
        nothing = self.params == self.user_attrs == self.system_attrs == "{}"
        return self.state == RUNNING and self.space is None and nothing


def local_now() -> datetime:
    """Naive local time, as Optuna keeps the times of trials."""
    return datetime.now()  # noqa: DTZ005


def no_trial(trial_id: int) -> NotFoundError:
    """The error for a trial that is not there."""
    return NotFoundError(f"there is no trial of id {trial_id}")


def no_study(study_id: int) -> NotFoundError:
    """The error for a study that is not there."""
    return NotFoundError(f"there is no study of id {study_id}")


def locked(connection: Connection, trial_id: int) -> TrialRow:
    """The trial's row, locked until the transaction ends.

    Raises:
        NotFoundError: There is no such trial.
    """
    return locked_asked(connection, trial_id)()


def locked_asked(connection: Connection, trial_id: int) -> Callable[[], TrialRow]:
    """Ask for a trial's row, ``locked``; what gives it."""
    asked = _locked.asked(connection, trial_id_=trial_id)

    def answer() -> TrialRow:
        rows = asked()
        if not rows:
            raise no_trial(trial_id)
        return TrialRow(*rows[0])

    return answer


def locked_unfinished(connection: Connection, trial_id: int) -> TrialRow:
    """The trial's row, locked.

    Raises:
        NotFoundError: There is no such trial.
        UpdateFinishedTrialError: It has finished.
    """
    row = locked(connection, trial_id)
    if row.finished:
        raise UpdateFinishedTrialError(
            f"Trial#{row.number} has already finished and can not be updated."
        )
    return row


def next_number(connection: Connection, study_id: int) -> int:
    """The next trial's number; locks the study's row.

    Raises:
        NotFoundError: There is no such study.
    """
    row = _next_number.row(connection, study_id_=study_id)
    if row is None:
        raise no_study(study_id)
    return int(row[0]) - 1


def add_running(connection: Connection, study_id: int, started: datetime) -> tuple[int, int]:
    """Add an empty RUNNING trial; its id and number.

    Raises:
        NotFoundError: There is no such study.
    """
    if is_sqlite(connection):
        number = next_number(connection, study_id)
        row = _insert_trial.row(
            connection, study_id=study_id, number=number, **_EMPTY, started=started
        )
    else:
        row = INSERT_NUMBERED.row(connection, study_id_=study_id, started=started)
    if row is None:
        raise no_study(study_id)
    return int(row[0]), int(row[1])


def add_template(
    connection: Connection, study_id: int, template: FrozenTrial, spaces: Spaces
) -> int:
    """Add a trial as a template says; its id.

    A finished one gets its ``finish_seq`` and its digest here.
    """
    number = next_number(connection, study_id)
    finished = template.state.is_finished()
    row = _insert_trial.row(
        connection,
        study_id=study_id,
        number=number,
        state=template.state.value,
        attempt=0,
        params=params_text(template),
        space=spaces.store(
            connection,
            {checked_name(n, "a param"): spaces.text(d) for n, d in template.distributions.items()},
        ),
        user_attrs=attrs_text(template.user_attrs),
        system_attrs=attrs_text(template.system_attrs),
        finish_seq=next_finish_seq(connection, study_id) if finished else None,
        started=template.datetime_start,
        completed=template.datetime_complete,
    )
    assert row is not None
    trial_id = int(row[0])
    if template.values is not None:
        set_values(connection, trial_id, template.values)
    return trial_id


def params_text(template: FrozenTrial) -> str:
    """The params of a trial as the column holds them: JSON of name to internal value."""
    return object_text(
        {
            name: json_text(template.distributions[name].to_internal_repr(value), name)
            for name, value in template.params.items()
        }
    )


def attrs_text(attrs: Mapping[str, Any]) -> str:
    """Attributes as the column holds them."""
    return object_text(
        {
            checked_name(key, "an attribute"): json_text(value, f"the attribute {key!r}")
            for key, value in attrs.items()
        }
    )


def checked_reports(values: Mapping[int, float]) -> dict[int, float]:
    """Intermediate values with steps of 64 bits and values that are floats."""
    return {checked_step(step): float(value) for step, value in values.items()}


def set_texts(
    connection: Connection,
    row: TrialRow,
    *,
    params: str,
    space: str | None,
    user_attrs: str,
    system_attrs: str,
) -> None:
    """Change the JSON columns of a trial."""
    _set_texts.run(
        connection,
        trial_id_=row.trial_id,
        params=params,
        space=space,
        user_attrs=user_attrs,
        system_attrs=system_attrs,
    )


def set_values(connection: Connection, trial_id: int, values: Sequence[float]) -> None:
    """Set the objective values of a trial."""
    _delete_values.run(connection, trial_id_=trial_id)
    _insert_value.many(
        connection,
        (
            {
                "trial_id": trial_id,
                "objective": objective,
                "value": queryable(float(value)),
                "bytes": value_bytes(float(value)),
            }
            for objective, value in enumerate(values)
        ),
    )


def add_attempt(
    connection: Connection,
    row: TrialRow,
    coordinates: Mapping[str, str | None],
    holder: Holder | None = None,
) -> tuple[int, int]:
    """Begin the next attempt of a trial; its id and number. One that still went on is fenced.

    Args:
        connection: A write transaction that has locked the trial.
        row: The trial.
        coordinates: Digest of each coordinate and the text of ``seeds``.
        holder: Who gets a lease on it, ``None`` for nobody.
    """
    number = row.attempt
    before = attempt_id(connection, row.trial_id, number) if number else None
    if before is not None:
        end_attempt(connection, before, EndReason.FENCED)  # nobody else would end it
    # A trial that was given back has the number of its next attempt already.
    if number == 0 or before is not None:
        number += 1
    with together(connection):
        if number != row.attempt:
            _set_attempt.run(connection, trial_id_=row.trial_id, attempt=number)
        found = _insert_attempt.row(
            connection,
            trial_id=row.trial_id,
            number=number,
            started=time.time(),
            worker_id=None if holder is None else holder.worker.worker_id,
            lease_s=None if holder is None else holder.lease_s,
            **coordinates,
        )
    assert found is not None
    return int(found[0]), number


def attempt_id(connection: Connection, trial_id: int, number: int) -> int | None:
    """The id of an attempt, ``None`` when there is no such one."""
    row: Row | None = _attempt_id.row(connection, trial_id_=trial_id, number_=number)
    return None if row is None else int(row[0])


def current_attempt(connection: Connection, row: TrialRow) -> int:
    """The id of the attempt that counts; one that is not tracked is made when there is none.

    It is what reports of a trial hang on that nobody has begun under tracking.
    """
    found = attempt_id(connection, row.trial_id, row.attempt) if row.attempt else None
    return add_attempt(connection, row, NO_COORDINATES)[0] if found is None else found


def end_reason(state: TrialState, said: EndReason | None) -> EndReason:
    """Why an attempt ended: what was said, unless the trial's state says otherwise."""
    if state is TrialState.FAIL and said not in (None, EndReason.COMPLETE, EndReason.PRUNED):
        return said
    return _REASONS[state]


def next_finish_seq(connection: Connection, study_id: int) -> int:
    """The ``finish_seq`` of a trial that finishes in this transaction; locks the study's row.

    A trial's row is locked before its study's. Whoever locks the study first, to claim or to add,
    waits for no trial.

    Raises:
        NotFoundError: There is no such study.
    """
    row = _next_finish.row(connection, study_id_=study_id)
    if row is None:
        raise no_study(study_id)
    return int(row[0])


def finish(
    connection: Connection,
    row: TrialRow,
    finish_seq: int,
    state: TrialState,
    values: Sequence[float] | None,
) -> None:
    """Give a trial its final state; its attempt is ended by the caller, then ``seal`` follows."""
    if values is not None:
        set_values(connection, row.trial_id, values)
    _set_finished.run(
        connection,
        trial_id_=row.trial_id,
        state=state.value,
        finish_seq=finish_seq,
        completed=local_now(),
    )


def end_attempt(connection: Connection, attempt: int, reason: EndReason) -> None:
    """End an attempt that has not ended yet."""
    _end_attempt.run(connection, attempt_id_=attempt, ended=time.time(), end_reason=str(reason))


def seal(connection: Connection, trial_id: int) -> None:
    """Write the digest of a finished trial, as the last step of its transaction."""
    _set_digest.run(
        connection,
        trial_id_=trial_id,
        record_digest=record_digest(connection, trial_id),
    )
