"""Rows of the tables into records: the reading half of the format that the book is kept in.

What the JSON of a column looks like is decided where it is written (``storage.py``,
``attempt.py``); nothing here queries.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import Row

from trialbook.errors import BookCorruptError
from trialbook.records.canonical import parsed
from trialbook.records.checkpoints import CheckpointRecord, Position
from trialbook.records.coordinates import CoordinateDigests
from trialbook.records.distributions import distribution_of
from trialbook.records.execution import EndReason, OutcomeState, Seeds
from trialbook.records.study import (
    ArtifactRecord,
    AttemptRecord,
    ParamRecord,
    SeriesSummary,
    StudyRecord,
    StudySpec,
    TrialRecord,
    TrialState,
)
from trialbook.records.verdict import RerunRecord, RerunReport

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

STATES: tuple[TrialState, ...] = ("RUNNING", "COMPLETE", "PRUNED", "FAIL", "WAITING")
"""Names of Optuna's states by their number (``optuna.trial.TrialState``)."""

DAMAGE = (LookupError, ValueError, TypeError, AttributeError, msgspec.MsgspecError, struct.error)
"""What reading a column raises when it does not hold what it should."""


METRIC_NAMES = "study:metric_names"
"""The system attribute in which Optuna keeps what a study's objectives are called."""


def study_record(
    row: Row[Any],
    states: Mapping[TrialState, int],
    user_attrs: Mapping[str, Any],
    metric_names: Any = None,
) -> StudyRecord:
    """A row of ``tb_study`` with what was counted and read beside it."""
    with readable(f"study {row.name!r}"):
        directions = tuple(json.loads(row.directions))
        return StudyRecord(
            study_id=row.study_id,
            uid=row.uid,
            name=row.name,
            directions=directions,
            spec=None if row.spec is None else msgspec.convert(parsed(row.spec), StudySpec),
            origin=row.origin,
            created_s=row.created,
            deleted_s=row.deleted,
            states=dict(states),
            user_attrs=dict(user_attrs),
            metric_names=objective_names(metric_names, len(directions)),
        )


def objective_names(value: Any, count: int) -> tuple[str, ...] | None:
    """What so many objectives are called, from the attribute; ``None`` where that does not fit."""
    if not isinstance(value, list) or len(value) != count:
        return None
    return tuple(map(str, value))


def param_records(
    params: Mapping[str, float], distributions: Mapping[str, str]
) -> tuple[ParamRecord, ...]:
    """The params of a trial in the order in which they were asked.

    Args:
        params: Name to Optuna's internal value.
        distributions: Name to ``distribution_text``.
    """
    return tuple(
        ParamRecord(
            name,
            _distribution(distributions[name]).to_external_repr(internal),
            internal,
            distributions[name],
        )
        for name, internal in params.items()
    )


@lru_cache(maxsize=4096)
def _distribution(text: str) -> BaseDistribution:
    return distribution_of(text)


def distributions(document: str) -> dict[str, str]:
    """The distributions of a space's document: name to ``distribution_text``."""
    with readable("a search space"):
        texts: dict[str, str] = json.loads(document)
        return texts


def series_summaries(parts: Iterable[Any]) -> tuple[SeriesSummary, ...]:
    """Summaries of the metrics of one attempt, its parts joined, sorted by name.

    Args:
        parts: Rows of ``tb_series``, ordered by metric and part; their ``count`` as ``points``.
    """
    joined: dict[str, SeriesSummary] = {}
    for row in parts:
        before = joined.get(row.metric)
        summary = SeriesSummary(
            row.metric, row.points, row.first_step, row.last_step, row.last, row.min, row.max
        )
        joined[row.metric] = summary if before is None else _followed_by(before, summary)
    return tuple(joined[name] for name in sorted(joined))


def _followed_by(first: SeriesSummary, then: SeriesSummary) -> SeriesSummary:
    if not then.count:
        return first
    if not first.count:
        return then
    least = [v for v in (first.minimum, then.minimum) if v is not None and not math.isnan(v)]
    greatest = [v for v in (first.maximum, then.maximum) if v is not None and not math.isnan(v)]
    return SeriesSummary(
        first.metric,
        first.count + then.count,
        first.first_step,
        then.last_step,
        then.last,
        min(least, default=None),
        max(greatest, default=None),
    )


def attempt_record(
    row: Row[Any],
    series: tuple[SeriesSummary, ...],
    artifacts: tuple[ArtifactRecord, ...],
    checkpoints: tuple[CheckpointRecord, ...] = (),
    resumed_from: CheckpointRecord | None = None,
) -> AttemptRecord:
    """A row of ``tb_attempt``, with what is known of its worker, and what belongs to it."""
    with readable(f"attempt {row.attempt_id}"):
        outcome = row.outcome
        return AttemptRecord(
            attempt_id=row.attempt_id,
            number=row.number,
            coordinates=CoordinateDigests(
                row.code, row.data, row.config, row.environment, row.execution
            ),
            seeds=None if row.seeds is None else msgspec.convert(parsed(row.seeds), Seeds),
            started_s=row.started,
            ended_s=row.ended,
            end_reason=None if row.end_reason is None else EndReason(row.end_reason),
            outcome=None if outcome is None else msgspec.convert(parsed(outcome), OutcomeState),
            returned=None if row.returned is None else parsed(row.returned),
            prune_answers=tuple(answer == "1" for answer in row.prune_answers),
            series=series,
            artifacts=artifacts,
            host=row.host,
            pid=row.pid,
            worker_id=row.worker_id,
            lease_s=row.lease,
            resumed_from=resumed_from,
            checkpoints=checkpoints,
            launcher=row.launcher,
            job=row.job,
            launch=row.launch,
        )


def checkpoint_record(row: Row[Any]) -> CheckpointRecord:
    """A row of ``tb_checkpoint``, with the number of its attempt as ``attempt``."""
    with readable(f"checkpoint {row.checkpoint_id}"):
        return CheckpointRecord(
            checkpoint_id=row.checkpoint_id,
            attempt=row.attempt,
            number=row.number,
            digest=row.digest,
            size_bytes=row.size,
            created_s=row.created,
            position=msgspec.convert(parsed(row.position), Position),
            generators=parsed(row.generators),
            kept=bool(row.kept),
        )


def artifact_record(row: Row[Any]) -> ArtifactRecord:
    """A row of ``tb_artifact``."""
    return ArtifactRecord(row.name, row.digest, row.size, row.media_type)


def rerun_record(row: Row[Any]) -> RerunRecord:
    """A row of ``tb_rerun``."""
    with readable(f"rerun {row.rerun_id}"):
        report = msgspec.convert(parsed(row.report), RerunReport)
    return RerunRecord(row.rerun_id, row.at, row.host, report)


def trial_record(
    row: Row[Any],
    study: str,
    values: Sequence[float] | None,
    distributions: Mapping[str, str],
    attempts: tuple[AttemptRecord, ...],
    reruns: tuple[RerunRecord, ...],
) -> TrialRecord:
    """A row of ``tb_trial`` and what belongs to it.

    Raises:
        BookCorruptError: A column does not hold what it should.
    """
    with readable(f"{study}/{row.number}"):
        return TrialRecord(
            trial_id=row.trial_id,
            study=study,
            number=row.number,
            state=STATES[row.state],
            values=None if values is None else tuple(values),
            params=param_records(json.loads(row.params), distributions),
            user_attrs=json.loads(row.user_attrs),
            system_attrs=json.loads(row.system_attrs),
            started=row.started,
            completed=row.completed,
            attempts=attempts,
            current=row.attempt,
            record_digest=row.record_digest,
            deleted_s=row.deleted,
            reruns=reruns,
        )


@contextmanager
def readable(where: str) -> Iterator[None]:
    """Say where a row is damaged.

    Raises:
        BookCorruptError: A column does not hold what it should.
    """
    try:
        yield
    except DAMAGE as error:
        raise BookCorruptError(
            f"a row of the book cannot be read: {type(error).__name__}: {error}",
            where=where,
            hint="run 'trialbook verify' to list everything that is damaged",
        ) from error
