"""The transaction that finishes a trial which its own process holds: everything in one.

How a trial is finished that nobody holds is in ``writing_through.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from optuna.trial import TrialState
from sqlalchemy import Connection, bindparam, select, update

from trialbook.book import at_once, attempt_rows, schema, trials
from trialbook.book.at_once import Known
from trialbook.book.attempt_rows import Batch, Identity
from trialbook.book.book import Book
from trialbook.book.engine import is_sqlite
from trialbook.book.record_digest import TrialFields, digest_of_fields, stored_values
from trialbook.book.series_rows import Folded, index_asked, write_folded
from trialbook.book.spaces import Spaces
from trialbook.book.statements import Statement, together
from trialbook.book.texts import value_bytes
from trialbook.book.trials import TrialRow
from trialbook.errors import NotFoundError
from trialbook.records.execution import EndReason

_t = schema.trial.c
_columns = {
    name: bindparam(name, type_=_t[name].type)
    for name in (
        "state",
        "params",
        "space",
        "user_attrs",
        "system_attrs",
        "completed",
        "record_digest",
    )
}
_this = _t.trial_id == bindparam("trial_id_")
_set_row = Statement(
    update(schema.trial).where(_this).values({**_columns, "finish_seq": bindparam("finish_seq")})
)
_next = trials.NEXT_FINISH.cte("next_finish")
_set_row_and_seq = Statement(
    update(schema.trial)
    .where(_this)
    .values({**_columns, "finish_seq": select(_next.c.finished).scalar_subquery()})
    .returning(_t.finish_seq)
)


class PartsChangedError(Exception):
    """Another process has appended points to the attempt since they were folded."""


@dataclass(frozen=True, slots=True)
class Result:
    """The final form of a trial's row, as the columns hold it."""

    trial_id: int
    fields: TrialFields
    started: datetime | None
    completed: datetime
    finish_seq: int


def write_at_once(
    book: Book,
    known: Known | None,
    identity: Identity,
    batch: Batch,
    fold: Folded,
    spaces: Spaces,
    told: tuple[TrialState, Sequence[float] | None],
    mark: str | None,
) -> Result | None:
    """As ``write_result``, for an ordinary trial on a server whose contents are in the book.

    Args:
        book: The book.
        known: The trial, as far as it is known.
        identity: The attempt.
        batch: What was pending.
        fold: Its points, none of which is in the book.
        spaces: The spaces of the storage.
        told: The trial's final state and values.
        mark: The count of removals that the batch's blobs rely on, ``None`` when there are none.

    Returns:
        ``None`` when nothing was written: it is to be done step by step.
    """
    if known is None or book.path is not None:
        return None
    done = at_once.finish(book, known, identity, batch, fold, spaces, told, mark)
    if done is None:
        return None
    return Result(done.row.trial_id, done.fields, done.row.started, done.completed, done.finish_seq)


def write_result(
    connection: Connection,
    identity: Identity,
    batch: Batch,
    fold: Folded,
    spaces: Spaces,
    told: tuple[TrialState, Sequence[float] | None],
) -> Result | None:
    """Write the result of a trial and everything of its attempt.

    Args:
        connection: A durable write transaction.
        identity: The attempt.
        batch: What was pending.
        fold: Its points, folded with those in the book.
        spaces: The spaces of the storage.
        told: The trial's final state and values.

    Returns:
        The trial's row; ``None`` when the attempt is fenced and the result does not count.

    Raises:
        PartsChangedError: The fold is void.
    """
    with together(connection):
        current = attempt_rows.current_asked(connection, identity)
        # After the lock: a forked child may be appending, and what it has committed must be seen.
        index = index_asked(connection, identity.attempt_id)
        row = current()
    if row is None:
        attempt_rows.write_own(connection, identity, batch)
        trials.end_attempt(connection, identity.attempt_id, EndReason.FENCED)
        return None
    with together(connection):
        if not write_folded(connection, identity.attempt_id, fold, index()):
            raise PartsChangedError
        return _finished(connection, row, identity, (batch, fold, spaces), told)


def _finished(
    connection: Connection,
    row: TrialRow,
    identity: Identity,
    contents_of: tuple[Batch, Folded, Spaces],
    told: tuple[TrialState, Sequence[float] | None],
) -> Result:
    batch, fold, spaces = contents_of
    state, values = told
    said = None if batch.facts.outcome is None else batch.facts.outcome.reason
    reason = trials.end_reason(state, said)
    attempt_rows.write_end(connection, identity.attempt_id, batch.facts, reason)
    texts = attempt_rows.merged(connection, row, batch, spaces)
    if values is None:
        contents = stored_values(connection, row.trial_id)
    else:
        trials.set_values(connection, row.trial_id, values)
        contents = tuple(value_bytes(float(value)) for value in values)
    fields = TrialFields(
        number=row.number,
        state=state.value,
        attempt=row.attempt,
        params=texts.params,
        space=texts.space,
        user_attrs=texts.user_attrs,
        system_attrs=texts.system_attrs,
        values=contents,
    )
    completed = trials.local_now()
    finish_seq = _set_result(
        connection,
        row.study_id,
        trial_id_=row.trial_id,
        state=fields.state,
        params=fields.params,
        space=fields.space,
        user_attrs=fields.user_attrs,
        system_attrs=fields.system_attrs,
        completed=completed,
        record_digest=digest_of_fields(connection, row.trial_id, fields, fold.digests),
    )
    return Result(row.trial_id, fields, row.started, completed, finish_seq)


def _set_result(connection: Connection, study_id: int, **columns: Any) -> int:
    """Write the trial's row, as the last thing; its ``finish_seq``.

    All who finish trials of a study wait for each other from here to the commit.
    """
    if is_sqlite(connection):
        finish_seq = trials.next_finish_seq(connection, study_id)
        _set_row.run(connection, finish_seq=finish_seq, **columns)
        return finish_seq
    found = _set_row_and_seq.row(connection, study_id_=study_id, **columns)
    if found is None or found[0] is None:
        raise NotFoundError(f"there is no study of id {study_id}")
    return int(found[0])
