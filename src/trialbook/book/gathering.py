"""Whole records from the tables: for a chunk of trials, everything that belongs to them.

One query a table, whatever the length of the chunk. The caller owns the connection and asks for
chunks of bounded length; ``rows.py`` knows what the columns mean.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, Row, func, or_, select, true

from trialbook.book import rows, schema
from trialbook.book.texts import value_of
from trialbook.errors import BookCorruptError
from trialbook.records.checkpoints import CheckpointRecord
from trialbook.records.study import (
    ArtifactRecord,
    AttemptRecord,
    SeriesSummary,
    StudyRecord,
    TrialRecord,
    TrialState,
)
from trialbook.records.test_metrics import is_test
from trialbook.records.verdict import RerunRecord

if TYPE_CHECKING:
    from trialbook.records.series import Series

_NAMED = 1000


def study_records(connection: Connection, found: Sequence[Row[Any]]) -> list[StudyRecord]:
    """The records of these rows of ``tb_study``, in their order."""
    ids = [row.study_id for row in found]
    chosen = _only(schema.trial.c.study_id, ids)
    states: dict[int, Counter[TrialState]] = defaultdict(Counter)
    for study_id, state, count in connection.execute(
        select(schema.trial.c.study_id, schema.trial.c.state, func.count())
        .where(chosen, schema.trial.c.deleted.is_(None))
        .group_by(schema.trial.c.study_id, schema.trial.c.state)
    ):
        states[study_id][rows.STATES[state]] = count
    attrs: dict[int, dict[str, Any]] = defaultdict(dict)
    metric_names: dict[int, Any] = {}
    attr = schema.study_attr.c
    for row in connection.execute(
        select(schema.study_attr).where(
            _only(attr.study_id, ids), or_(attr.scope == "user", attr.key == rows.METRIC_NAMES)
        )
    ):
        with rows.readable(f"the attribute {row.key!r} of a study"):
            if row.scope == "user":
                attrs[row.study_id][row.key] = json.loads(row.value)
            else:
                metric_names[row.study_id] = json.loads(row.value)
    return [
        rows.study_record(
            row, states[row.study_id], attrs[row.study_id], metric_names.get(row.study_id)
        )
        for row in found
    ]


def trial_records(
    connection: Connection, study: str, found: Sequence[Row[Any]], *, brief: bool = False
) -> list[TrialRecord]:
    """The records of these rows of ``tb_trial``, in their order.

    Args:
        connection: An open connection.
        study: The study's name.
        found: The rows.
        brief: Leave out metrics, artifacts and reruns.

    Raises:
        BookCorruptError: A row cannot be read.
    """
    ids = [row.trial_id for row in found]
    values = _values(connection, ids)
    spaces = _spaces(connection, {row.space for row in found if row.space is not None})
    attempts, owners = _attempts(connection, ids, brief=brief)
    reruns = _reruns(connection, {} if brief else owners)
    records = [
        rows.trial_record(
            row,
            study,
            values.get(row.trial_id),
            spaces.get(row.space, {}),
            tuple(attempts[row.trial_id]),
            tuple(reruns[row.trial_id]),
        )
        for row in found
    ]
    return records if brief else [_with_stitched(connection, record) for record in records]


def _with_stitched(connection: Connection, trial: TrialRecord) -> TrialRecord:
    """The trial with the metrics of the attempts that its own one continues, if it does."""
    attempt = trial.attempt
    if attempt is None or attempt.resumed_from is None:
        return trial
    from trialbook.book.stitching import stitched  # NumPy: 0.2 s that is seldom needed

    try:
        whole = stitched(connection, attempt.attempt_id)
    except BookCorruptError:
        return trial  # 'verify' names it; the rest of the trial can still be read
    summaries = (summary_of(series) for series in whole.values())
    return replace(
        trial,
        stitched=tuple(s.without_values() if is_test(s.metric) else s for s in summaries),
    )


def summary_of(series: Series) -> SeriesSummary:
    """A metric without its points; of a test metric the values too."""
    return SeriesSummary(
        series.metric,
        len(series),
        int(series.steps[0]) if len(series) else None,
        int(series.steps[-1]) if len(series) else None,
        series.last,
        series.minimum,
        series.maximum,
    )


def _values(connection: Connection, trial_ids: Sequence[int]) -> dict[int, list[float]]:
    value = schema.trial_value.c
    values: dict[int, list[float]] = defaultdict(list)
    for row in connection.execute(
        select(value.trial_id, value.bytes)
        .where(value.trial_id.in_(trial_ids))
        .order_by(value.trial_id, value.objective)
    ):
        values[row.trial_id].append(value_of(row.bytes))
    return values


def _spaces(connection: Connection, digests: Iterable[str]) -> dict[str | None, dict[str, str]]:
    snapshot = schema.snapshot.c
    return {
        row.digest: rows.distributions(row.document)
        for row in connection.execute(
            select(snapshot.digest, snapshot.document).where(snapshot.digest.in_(list(digests)))
        )
    }


def _attempts(
    connection: Connection, trial_ids: Sequence[int], *, brief: bool
) -> tuple[dict[int, list[AttemptRecord]], dict[int, int]]:
    """The attempts of trials, oldest first, and which trial each attempt belongs to."""
    table, worker = schema.attempt, schema.worker.c
    found = connection.execute(
        select(table, worker.host, worker.pid, worker.launcher, worker.job, worker.launch)
        .outerjoin(schema.worker, worker.worker_id == table.c.worker_id)
        .where(table.c.trial_id.in_(trial_ids))
        .order_by(table.c.trial_id, table.c.number)
    ).all()
    ids = [] if brief else [row.attempt_id for row in found]
    series = _series(connection, ids)
    artifacts = _artifacts(connection, ids)
    resumed = {row.resumed_from for row in found if row.resumed_from is not None}
    checkpoints = _checkpoints(connection, ids, resumed)
    saved: dict[tuple[int, int], list[CheckpointRecord]] = defaultdict(list)
    for trial_id, checkpoint in checkpoints.values():
        saved[trial_id, checkpoint.attempt].append(checkpoint)
    attempts: dict[int, list[AttemptRecord]] = defaultdict(list)
    for row in found:
        attempts[row.trial_id].append(
            rows.attempt_record(
                row,
                series[row.attempt_id],
                tuple(artifacts[row.attempt_id]),
                () if brief else tuple(saved[row.trial_id, row.number]),
                checkpoints.get(row.resumed_from, (0, None))[1],
            )
        )
    return attempts, {row.attempt_id: row.trial_id for row in found}


def _checkpoints(
    connection: Connection, attempt_ids: Sequence[int], resumed: Collection[int]
) -> dict[int | None, tuple[int, CheckpointRecord]]:
    """Checkpoints of these attempts, and those gone on from, each with its trial; oldest first."""
    if not attempt_ids and not resumed:
        return {}
    table, attempt = schema.checkpoint, schema.attempt.c
    found = connection.execute(
        select(table, attempt.number.label("attempt"), attempt.trial_id)
        .join(schema.attempt, attempt.attempt_id == table.c.attempt_id)
        .where(or_(table.c.attempt_id.in_(attempt_ids), table.c.checkpoint_id.in_(list(resumed))))
        .order_by(table.c.attempt_id, table.c.number)
    )
    return {row.checkpoint_id: (row.trial_id, rows.checkpoint_record(row)) for row in found}


def _series(
    connection: Connection, attempt_ids: Sequence[int]
) -> dict[int, tuple[SeriesSummary, ...]]:
    table = schema.series.c
    found = connection.execute(
        select(
            table.attempt_id,
            table.metric,
            table.part,
            table.count.label("points"),
            table.first_step,
            table.last_step,
            table.last,
            table.min,
            table.max,
        )
        .where(table.attempt_id.in_(attempt_ids))
        .order_by(table.attempt_id, table.metric, table.part)
    )
    summaries: dict[int, tuple[SeriesSummary, ...]] = defaultdict(tuple)
    for attempt_id, parts in groupby(found, key=lambda row: row.attempt_id):
        summaries[attempt_id] = tuple(
            summary.without_values()
            if is_test(summary.metric)
            else _with_last(connection, attempt_id, summary)
            for summary in rows.series_summaries(parts)
        )
    return summaries


def _with_last(connection: Connection, attempt_id: int, summary: SeriesSummary) -> SeriesSummary:
    """The summary with its last value read from the points where SQLite has none: it was NaN."""
    if summary.last is not None or summary.count == 0:
        return summary
    table = schema.series.c
    payload = connection.execute(
        select(table.payload)
        .where(table.attempt_id == attempt_id, table.metric == summary.metric, table.count > 0)
        .order_by(table.part.desc())
        .limit(1)
    ).scalar_one()
    from trialbook.records.series import decoded  # NumPy: 0.2 s that is seldom needed

    try:
        return replace(summary, last=decoded(summary.metric, payload).last)
    except BookCorruptError:
        return summary  # 'verify' names it; the rest of the trial can still be read


def _artifacts(
    connection: Connection, attempt_ids: Sequence[int]
) -> dict[int, list[ArtifactRecord]]:
    table = schema.artifact
    artifacts: dict[int, list[ArtifactRecord]] = defaultdict(list)
    for row in connection.execute(
        select(table)
        .where(table.c.attempt_id.in_(attempt_ids))
        .order_by(table.c.attempt_id, table.c.name)
    ):
        artifacts[row.attempt_id].append(rows.artifact_record(row))
    return artifacts


def _reruns(connection: Connection, owners: Mapping[int, int]) -> dict[int, list[RerunRecord]]:
    """The reruns of trials, oldest first.

    Args:
        connection: An open connection.
        owners: Attempt to trial.
    """
    table = schema.rerun
    reruns: dict[int, list[RerunRecord]] = defaultdict(list)
    for row in connection.execute(
        select(table).where(table.c.attempt_id.in_(list(owners))).order_by(table.c.rerun_id)
    ):
        reruns[owners[row.attempt_id]].append(rows.rerun_record(row))
    return reruns


def _only(column: ColumnElement[Any], ids: Sequence[int]) -> ColumnElement[bool]:
    """The rows of these ids, or all rows when there are too many to name in one statement."""
    return column.in_(ids) if len(ids) <= _NAMED else true()
