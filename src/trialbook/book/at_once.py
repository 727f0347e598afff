"""What a server is asked for an ordinary trial in one statement: its first attempt, its result.

Each statement costs a process and its server as much as the work that it does, and many workers
share few processors. So what nearly every trial needs is said at once, with the conditions under
which that is right; when they do not hold nothing is done, and the general way is gone
(``beginning.py``, ``results.py``). Both ways write the same rows.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from optuna.trial import TrialState
from sqlalchemy import bindparam, literal, literal_column, select, text, true, update

from trialbook.book import schema, trials
from trialbook.book.attempt_rows import Batch, Identity, columns_of, merged_unstored
from trialbook.book.book import Book
from trialbook.book.clock import database_time
from trialbook.book.record_digest import COORDINATES, TrialFields, assembled, digest_of
from trialbook.book.removal_mark import REMOVALS
from trialbook.book.series_rows import Folded
from trialbook.book.spaces import KIND, Spaces
from trialbook.book.statements import Statement
from trialbook.book.texts import queryable, value_bytes
from trialbook.book.trials import TrialRow
from trialbook.records.execution import EndReason
from trialbook.records.workers import Holder

_t, _a, _r = schema.trial.c, schema.attempt.c, schema.receipt.c

# A row that this client's last transaction has written.
_own_xmin: Any = (
    select(literal_column("xmin"))
    .select_from(schema.receipt)
    .where(_r.client == bindparam("client_"))
)
_made = Statement(
    select(_t.trial_id, _t.number).where(
        _t.study_id == bindparam("study_id_"),
        _t.finish_seq.is_(None),
        literal_column("tb_trial.xmin") == _own_xmin.scalar_subquery(),
    )
)

_removals = select(schema.book.c.value).where(schema.book.c.key == REMOVALS).scalar_subquery()
_GIVEN = ("started", *trials.NO_COORDINATES, "worker_id")
_ROW = tuple(_t[name] for name in TrialRow.__dataclass_fields__)
_begun = (
    update(schema.trial)
    .where(
        _t.trial_id == bindparam("trial_id_"),
        _t.attempt == 0,
        _t.state == trials.RUNNING,
        _t.deleted.is_(None),
        _removals == bindparam("mark"),
    )
    .values(attempt=1)
    .returning(*_ROW)
    .cte("begun")
)
_first = (
    schema.attempt.insert()
    .from_select(
        ["trial_id", "number", *_GIVEN, "lease"],
        select(
            _begun.c.trial_id,
            literal(1),
            *(bindparam(name, type_=_a[name].type) for name in _GIVEN),
            database_time() + bindparam("lease_s", type_=_a.lease.type),
        ),
    )
    .returning(_a.attempt_id)
    .cte("first")
)
_begin_first = Statement(
    select(_first.c.attempt_id, _begun).select_from(_first.join(_begun, true()))
)
_begun_first = Statement(
    select(_a.attempt_id, *_ROW)
    .select_from(schema.attempt.join(schema.trial, _a.trial_id == _t.trial_id))
    .where(
        _a.trial_id == bindparam("trial_id_"),
        _a.number == 1,
        _a.started == bindparam("started"),
        _a.worker_id.is_not_distinct_from(bindparam("worker_id", type_=_a.worker_id.type)),
    )
)
_lock = Statement(
    select(_t.trial_id).where(_t.trial_id == bindparam("trial_id_")).with_for_update()
)
# Looked at after the trial was locked: a forked child may have been appending.
_finish = Statement(
    text(
        """
WITH alone AS (
  SELECT tb_attempt.attempt_id FROM tb_attempt JOIN tb_trial USING (trial_id)
  WHERE tb_attempt.attempt_id = CAST(:attempt_id_ AS bigint)
    AND tb_trial.trial_id = CAST(:trial_id_ AS bigint)
    AND state = 0 AND attempt = 1 AND tb_attempt.number = 1 AND deleted IS NULL
    AND ended IS NULL AND resumed_from IS NULL
    AND params = :known_params AND space IS NOT DISTINCT FROM :known_space
    AND user_attrs = :known_user_attrs AND system_attrs = :known_system_attrs
    AND NOT EXISTS (SELECT FROM tb_attempt WHERE trial_id = :trial_id_ AND number <> 1)
    AND NOT EXISTS (SELECT FROM tb_series WHERE attempt_id = :attempt_id_)
    AND NOT EXISTS (SELECT FROM tb_artifact WHERE attempt_id = :attempt_id_)
    AND NOT EXISTS (SELECT FROM tb_trial_value WHERE trial_id = :trial_id_)
    AND (CAST(:mark AS text) IS NULL
         OR CAST(:mark AS text) = (SELECT value FROM tb_book WHERE key = 'removals'))
), folded AS (
  INSERT INTO tb_series
    (attempt_id, metric, part, count, first_step, last_step, last, min, max, payload)
  SELECT attempt_id, rows.* FROM alone, unnest(
    CAST(:metric AS varchar[]), CAST(:part AS integer[]), CAST(:count AS bigint[]),
    CAST(:first_step AS bigint[]), CAST(:last_step AS bigint[]),
    CAST(:last AS double precision[]), CAST(:min AS double precision[]),
    CAST(:max AS double precision[]), CAST(:payload AS bytea[])) AS rows
), ended AS (
  UPDATE tb_attempt SET ended = :ended, end_reason = :end_reason, exit_code = :exit_code,
    signal = :signal, traceback = :traceback, outcome = :outcome, returned = :returned,
    prune_answers = :prune_answers
  FROM alone WHERE tb_attempt.attempt_id = alone.attempt_id
), stored AS (
  INSERT INTO tb_snapshot (digest, kind, document)
  SELECT CAST(:space AS varchar), CAST(:kind AS varchar), CAST(:document AS text) FROM alone
  WHERE CAST(:document AS text) IS NOT NULL ON CONFLICT DO NOTHING
), told AS (
  INSERT INTO tb_trial_value (trial_id, objective, value, bytes)
  SELECT CAST(:trial_id_ AS bigint), rows.* FROM alone, unnest(CAST(:objective AS smallint[]),
    CAST(:value AS double precision[]), CAST(:bytes AS bytea[])) AS rows
), counted AS (
  UPDATE tb_study SET finished = finished + 1 FROM alone
  WHERE study_id = :study_id RETURNING finished
), nothing AS (
  UPDATE tb_receipt SET number = 0
  WHERE client = :client_ AND NOT EXISTS (SELECT FROM counted)
)
UPDATE tb_trial SET state = :state, params = :params, space = :space, user_attrs = :user_attrs,
  system_attrs = :system_attrs, completed = :completed, record_digest = :record_digest,
  finish_seq = counted.finished
FROM counted WHERE tb_trial.trial_id = :trial_id_ RETURNING finish_seq
"""
    )
)
_finished = Statement(
    select(_t.finish_seq).where(
        _t.trial_id == bindparam("trial_id_"),
        _t.completed == bindparam("completed"),
        _t.record_digest == bindparam("record_digest"),
    )
)
_SERIES = ("metric", "part", "count", "first_step", "last_step", "last", "min", "max", "payload")


@dataclass(frozen=True, slots=True)
class Known:
    """A trial's row, as this process has read or written it last, and its only attempt.

    Args:
        row: The row.
        coordinates: Digests of the attempt's coordinates, and the text of its seeds.
    """

    row: TrialRow
    coordinates: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Written:
    """What was written of a trial, as its columns hold it."""

    row: TrialRow
    fields: TrialFields
    completed: Any
    finish_seq: int


def create(book: Book, study_id: int, started: datetime) -> tuple[int, int]:
    """Add an empty RUNNING trial; its id and number.

    Raises:
        NotFoundError: There is no such study.
    """
    study = {"study_id_": study_id}
    rows = book.at_once(
        [trials.INSERT_NUMBERED.given(**study, started=started)], _made.given(**study)
    )
    if not rows:
        raise trials.no_study(study_id)
    return int(rows[0][0]), int(rows[0][1])


def begin_first(
    book: Book,
    trial_id: int,
    coordinates: Mapping[str, str | None],
    holder: Holder | None,
    mark: str,
) -> tuple[int, Known] | None:
    """Begin the first attempt of a RUNNING trial; its id, and the trial.

    Returns:
        ``None`` when it is not RUNNING, had an attempt before, or ``mark`` is no longer the count
        of removals (``BlobStore.mark_of``).
    """
    this = {
        "trial_id_": trial_id,
        "started": time.time(),
        "worker_id": None if holder is None else holder.worker.worker_id,
    }
    lease_s = None if holder is None else holder.lease_s
    step = _begin_first.given(**this, **coordinates, mark=mark, lease_s=lease_s)
    rows = book.at_once([step], _begun_first.given(**this))
    if not rows:
        return None
    return int(rows[0][0]), Known(replace(TrialRow(*rows[0][1:]), attempt=1), coordinates)


def finish(
    book: Book,
    known: Known,
    identity: Identity,
    batch: Batch,
    fold: Folded,
    spaces: Spaces,
    told: tuple[TrialState, Sequence[float] | None],
    mark: str | None,
) -> Written | None:
    """Write the result of a trial whose only attempt has nothing in the book but itself.

    Returns:
        ``None`` when that is not so, the trial's row is not as it is known, or ``mark`` is not
        ``None`` and no longer the count of removals; then nothing was written.
    """
    row = known.row
    if fold.index or batch.facts.amended or not spaces.knows(row.space):
        return None
    state, values = told
    facts = columns_of(batch.facts)
    said = None if batch.facts.outcome is None else batch.facts.outcome.reason
    reason: EndReason = trials.end_reason(state, said)
    texts, document = merged_unstored(None, row, batch, spaces)
    numbers = [] if values is None else [float(value) for value in values]
    contents = tuple(value_bytes(number) for number in numbers)
    fields = TrialFields(
        number=row.number,
        state=state.value,
        attempt=1,
        params=texts.params,
        space=texts.space,
        user_attrs=texts.user_attrs,
        system_attrs=texts.system_attrs,
        values=contents,
    )
    attempt = {"seeds": known.coordinates["seeds"], "end_reason": str(reason), **facts}
    this = {
        "trial_id_": row.trial_id,
        "completed": trials.local_now(),
        "record_digest": _digest(known, fields, attempt, fold),
    }
    step = _finish.given(
        **this,
        **_as_known(row),
        attempt_id_=identity.attempt_id,
        ended=time.time(),
        end_reason=str(reason),
        **facts,
        **{name: [item[name] for item in fold.rows] for name in _SERIES},
        objective=list(range(len(numbers))),
        value=[queryable(number) for number in numbers],
        bytes=list(contents),
        mark=mark,
        kind=KIND,
        document=document,
        state=fields.state,
        params=fields.params,
        space=fields.space,
        user_attrs=fields.user_attrs,
        system_attrs=fields.system_attrs,
    )
    rows = book.at_once([_lock.given(trial_id_=row.trial_id), step], _finished.given(**this))
    if not rows:
        return None
    return Written(row, fields, this["completed"], int(rows[0][0]))


def _digest(
    known: Known, fields: TrialFields, attempt: Mapping[str, str | int | None], fold: Folded
) -> str:
    """The digest of the record that such a trial has."""
    coordinates = [known.coordinates[name] for name in COORDINATES]
    return digest_of(assembled(fields, [(1, coordinates)], (attempt, fold.digests, ())))


def _as_known(row: TrialRow) -> dict[str, Any]:
    """What must still be so for the statement to do anything."""
    return {
        "study_id": row.study_id,
        "known_params": row.params,
        "known_space": row.space,
        "known_user_attrs": row.user_attrs,
        "known_system_attrs": row.system_attrs,
    }
