"""What a server is asked for an ordinary trial in one statement: its first attempt, its result.

Each statement costs a process and its server as much as the work that it does, and many workers
share few processors. So what nearly every trial needs is said at once, with the conditions under
which that is right; when they do not hold nothing is done, and the general way is gone
(``beginning.py``, ``results.py``). Both ways write the same rows.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import TrialState
from sqlalchemy import Connection, bindparam, func, literal, select, text, update

from trialbook.book import schema, trials
from trialbook.book.attempt_rows import Batch, Identity, columns_of, merged_unstored
from trialbook.book.blobs import REMOVALS
from trialbook.book.clock import database_time
from trialbook.book.record_digest import COORDINATES, TrialFields, assembled, digest_of
from trialbook.book.series_rows import Folded
from trialbook.book.spaces import KIND, Spaces
from trialbook.book.statements import Statement
from trialbook.book.texts import queryable, value_bytes
from trialbook.book.trials import TrialRow
from trialbook.records.execution import EndReason
from trialbook.records.workers import Holder

_t, _a = schema.trial.c, schema.attempt.c

_removals = select(schema.book.c.value).where(schema.book.c.key == REMOVALS).scalar_subquery()
_GIVEN = ("started", *trials.NO_COORDINATES, "worker_id")
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
    .returning(_t.trial_id, _t.study_id, _t.number)
    .cte("begun")
)
_begin_first = Statement(
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
    .returning(
        _a.attempt_id,
        select(_begun.c.study_id).scalar_subquery(),
        select(_begun.c.number).scalar_subquery(),
    )
)
_of_trial = _a.trial_id == _t.trial_id
_lock = Statement(
    select(
        *(_t[name] for name in TrialRow.__dataclass_fields__),
        *(_a[name] for name in (*COORDINATES, "seeds")),
        select(func.count()).where(_of_trial).correlate(schema.trial).scalar_subquery(),
    )
    .select_from(schema.trial.join(schema.attempt, _of_trial))
    .where(
        _t.trial_id == bindparam("trial_id_"),
        _t.deleted.is_(None),
        _t.state == trials.RUNNING,
        _t.attempt == 1,
        _a.attempt_id == bindparam("attempt_id_"),
        _a.ended.is_(None),
        _a.resumed_from.is_(None),
    )
    .with_for_update(of=schema.trial)
)
# The conditions are looked at after the trial was locked: a forked child may have been appending.
_finish = Statement(
    text(
        """
WITH alone AS (
  SELECT CAST(:attempt_id_ AS bigint) AS attempt_id WHERE
    NOT EXISTS (SELECT FROM tb_series WHERE attempt_id = :attempt_id_)
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
  SELECT CAST(:space AS varchar), :kind, CAST(:document AS text) FROM alone
  WHERE CAST(:document AS text) IS NOT NULL ON CONFLICT DO NOTHING
), told AS (
  INSERT INTO tb_trial_value (trial_id, objective, value, bytes)
  SELECT :trial_id_, rows.* FROM alone, unnest(CAST(:objective AS smallint[]),
    CAST(:value AS double precision[]), CAST(:bytes AS bytea[])) AS rows
), counted AS (
  UPDATE tb_study SET finished = finished + 1 FROM alone
  WHERE study_id = :study_id RETURNING finished
)
UPDATE tb_trial SET state = :state, params = :params, space = :space, user_attrs = :user_attrs,
  system_attrs = :system_attrs, completed = :completed, record_digest = :record_digest,
  finish_seq = counted.finished
FROM counted WHERE tb_trial.trial_id = :trial_id_ RETURNING finish_seq
"""
    )
)
_SERIES = ("metric", "part", "count", "first_step", "last_step", "last", "min", "max", "payload")


@dataclass(frozen=True, slots=True)
class Written:
    """What was written of a trial, as its columns hold it."""

    row: TrialRow
    fields: TrialFields
    completed: Any
    finish_seq: int


def begin_first(
    connection: Connection,
    trial_id: int,
    coordinates: Mapping[str, str | None],
    holder: Holder | None,
    mark: str,
) -> tuple[int, int, int] | None:
    """Begin the first attempt of a RUNNING trial: ids of attempt and study, number of the trial.

    Returns:
        ``None`` when it is not RUNNING, had an attempt before, or ``mark`` is no longer the count
        of removals (``BlobStore.mark_of``).
    """
    row = _begin_first.row(
        connection,
        trial_id_=trial_id,
        mark=mark,
        started=time.time(),
        worker_id=None if holder is None else holder.worker.worker_id,
        lease_s=None if holder is None else holder.lease_s,
        **coordinates,
    )
    return None if row is None else (int(row[0]), int(row[1]), int(row[2]))


def finish(
    connection: Connection,
    identity: Identity,
    batch: Batch,
    fold: Folded,
    spaces: Spaces,
    told: tuple[TrialState, Sequence[float] | None],
    mark: str | None,
) -> Written | None:
    """Write the result of a trial whose only attempt has nothing in the book but itself.

    Returns:
        ``None`` when that is not so, or ``mark`` is not ``None`` and no longer the count of
        removals; then nothing was written.
    """
    if identity.number != 1 or fold.index or batch.facts.amended:
        return None
    found = _lock.row(connection, trial_id_=identity.trial_id, attempt_id_=identity.attempt_id)
    if found is None or found[-1] != 1:
        return None
    split = len(TrialRow.__dataclass_fields__)
    row = TrialRow(*found[:split])
    coordinates, seeds = found[split : split + len(COORDINATES)], found[-2]
    state, values = told
    facts = columns_of(batch.facts)
    said = None if batch.facts.outcome is None else batch.facts.outcome.reason
    reason: EndReason = trials.end_reason(state, said)
    texts, document = merged_unstored(connection, row, batch, spaces)
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
    completed = trials.local_now()
    attempt = {"seeds": seeds, "end_reason": str(reason), **facts}
    written = _finish.row(
        connection,
        trial_id_=row.trial_id,
        attempt_id_=identity.attempt_id,
        study_id=row.study_id,
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
        completed=completed,
        record_digest=digest_of(assembled(fields, [(1, coordinates)], (attempt, fold.digests, ()))),
    )
    return None if written is None else Written(row, fields, completed, int(written[0]))
