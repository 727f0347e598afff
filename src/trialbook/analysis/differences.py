"""How two trials differ: params, values, metrics, and each of the five coordinates.

Differences are values; printing is elsewhere. Code comes from ``patches.py``, the other coordinates
from ``records.differences``, which says what counts as a difference.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from trialbook.analysis.details import snapshot_of
from trialbook.analysis.opening import Storage, opened
from trialbook.analysis.patches import FileDifference, file_differences
from trialbook.analysis.places import Places, place_facts
from trialbook.book.reading import Reader
from trialbook.records.code import CodeState
from trialbook.records.coordinates import Kind, Snapshot
from trialbook.records.differences import coordinate_differences
from trialbook.records.references import TrialReference
from trialbook.records.study import ParamRecord, SeriesSummary, TrialRecord
from trialbook.records.verdict import CoordinateDifference


@dataclass(frozen=True, slots=True)
class ParamDifference:
    """A param that has another value or distribution, or that only one of the trials has."""

    name: str
    first: ParamRecord | None
    second: ParamRecord | None


@dataclass(frozen=True, slots=True)
class ResultLine:
    """A result that is not the same: the state, an objective value, the returned value, a seed.

    Args:
        what: ``state``, ``value 0`` (by objective), ``end`` or ``seed``.
        first: In the first trial, ``None`` when it has none.
        second: In the second trial, likewise.
    """

    what: str
    first: Any
    second: Any


@dataclass(frozen=True, slots=True)
class MetricDifference:
    """A metric whose points are not the same, or that only one of the trials has.

    Args:
        metric: Its name.
        first: Summary in the first trial, ``None`` when it has none.
        second: Summary in the second trial, likewise.
        index: First point that differs in step or value, from 0; ``None`` when one side has no
            such metric.
        step: Its step in the first trial, or in the second when the first ended before it.
    """

    metric: str
    first: SeriesSummary | None
    second: SeriesSummary | None
    index: int | None
    step: int | None


@dataclass(frozen=True, slots=True)
class TrialDifferences:
    """Everything in which two trials differ; empty tuples where they do not.

    Args:
        first: ``STUDY/NUMBER`` of the first trial.
        second: ``STUDY/NUMBER`` of the second.
        params: Params by name.
        results: State, values, end and seed.
        metrics: Metrics by name.
        config: Keys of the configuration and the search.
        code: Files of the manifests.
        data: Inputs, by file.
        environment: Interpreter, machine, packages, variables.
        execution: Isolation and entry point.
        unknown: Coordinates that cannot be compared, with the reason: one sentence each.
        places: Host, hardware and job; where trials ran is no difference that ``same`` counts.
    """

    first: str
    second: str
    params: tuple[ParamDifference, ...]
    results: tuple[ResultLine, ...]
    metrics: tuple[MetricDifference, ...]
    config: tuple[CoordinateDifference, ...]
    code: tuple[FileDifference, ...]
    data: tuple[CoordinateDifference, ...]
    environment: tuple[CoordinateDifference, ...]
    execution: tuple[CoordinateDifference, ...]
    unknown: tuple[str, ...]
    places: tuple[ResultLine, ...] = ()

    @property
    def same(self) -> bool:
        """Whether nothing differs that could be compared."""
        return not any(
            (
                self.params,
                self.results,
                self.metrics,
                self.config,
                self.code,
                self.data,
                self.environment,
                self.execution,
            )
        )


def diff(
    first: TrialReference | str, second: TrialReference | str, *, storage: Storage = None
) -> TrialDifferences:
    """How two trials of a book differ. Of each, the attempt that counts is compared.

    Args:
        first: A trial, such as ``digits/12`` or ``digits/best``.
        second: Another one, of any study of the book.
        storage: Where the book is.

    Raises:
        NotFoundError: One of them is not in the book.
        BadReferenceError: A text names no trial.
    """
    with opened(storage) as reader:
        return trial_differences(reader, reader.trial(first), reader.trial(second))


def trial_differences(reader: Reader, first: TrialRecord, second: TrialRecord) -> TrialDifferences:
    """How two trials that were read already differ."""
    unknown: list[str] = []
    found: dict[Kind, tuple[CoordinateDifference, ...]] = {}
    code: tuple[FileDifference, ...] = ()
    for kind in Kind:
        pair = _snapshots(reader, kind, first, second, unknown)
        if pair is None:
            continue
        if kind is Kind.CODE:
            states = (pair[0].state_as(CodeState), pair[1].state_as(CodeState))
            code = tuple(file_differences(*states, reader.blob))
        else:
            found[kind] = coordinate_differences(*pair)
    return TrialDifferences(
        first=first.reference,
        second=second.reference,
        params=_params(first, second),
        results=_results(first, second),
        metrics=_metrics(reader, first, second),
        config=found.get(Kind.CONFIG, ()),
        code=code,
        data=found.get(Kind.DATA, ()),
        environment=found.get(Kind.ENVIRONMENT, ()),
        execution=found.get(Kind.EXECUTION, ()),
        unknown=tuple(unknown),
        places=_places(reader, first, second),
    )


def _places(reader: Reader, first: TrialRecord, second: TrialRecord) -> tuple[ResultLine, ...]:
    if first.attempt is None or second.attempt is None:
        return ()
    places = Places(reader)
    before, after = place_facts(places.of(first.attempt)), place_facts(places.of(second.attempt))
    return tuple(
        ResultLine(what, before[what], after[what])
        for what in before
        if before[what] != after[what]
    )


def _snapshots(
    reader: Reader, kind: Kind, first: TrialRecord, second: TrialRecord, unknown: list[str]
) -> tuple[Snapshot, Snapshot] | None:
    """Both snapshots of a coordinate when they differ; a reason is added where one is missing."""
    digests = [
        None if trial.attempt is None else trial.attempt.coordinates.of(kind)
        for trial in (first, second)
    ]
    if digests[0] is not None and digests[0] == digests[1]:
        return None
    sides: list[Snapshot] = []
    for trial in (first, second):
        snapshot, problem = snapshot_of(reader, trial.attempt, kind)
        if snapshot is None:
            unknown.append(f"{kind} of {trial.reference}: {problem}")
        else:
            sides.append(snapshot)
    return (sides[0], sides[1]) if len(sides) == 2 else None


def _params(first: TrialRecord, second: TrialRecord) -> tuple[ParamDifference, ...]:
    before = {param.name: param for param in first.params}
    after = {param.name: param for param in second.params}
    names = [*before, *(name for name in after if name not in before)]
    return tuple(
        ParamDifference(name, before.get(name), after.get(name))
        for name in names
        if _identity(before.get(name)) != _identity(after.get(name))
    )


def _identity(param: ParamRecord | None) -> tuple[bytes, str] | None:
    return None if param is None else (_bits(param.internal), param.distribution)


def _bits(value: object) -> bytes:
    """The eight bytes of a number, so that NaN is NaN and -0.0 is not 0.0; else its text."""
    return struct.pack("<d", value) if isinstance(value, float) else repr(value).encode()


def _results(first: TrialRecord, second: TrialRecord) -> tuple[ResultLine, ...]:
    before, after = _result_values(first), _result_values(second)
    names = [*before, *(name for name in after if name not in before)]
    return tuple(
        ResultLine(name, before.get(name), after.get(name))
        for name in names
        if _bits(before.get(name)) != _bits(after.get(name))
    )


def _result_values(trial: TrialRecord) -> dict[str, Any]:
    values: dict[str, Any] = {"state": trial.state}
    for index, value in enumerate(trial.values or ()):
        values[f"value {index}"] = value
    attempt = trial.attempt
    if attempt is not None:
        values["end"] = None if attempt.end_reason is None else str(attempt.end_reason)
        if attempt.outcome is not None and attempt.outcome.exception is not None:
            values["exception"] = attempt.outcome.exception
        if attempt.seeds is not None:
            values["seed"] = attempt.seeds.trial
    return values


def _metrics(
    reader: Reader, first: TrialRecord, second: TrialRecord
) -> tuple[MetricDifference, ...]:
    import numpy as np

    sides = (first, second)
    summaries = [{s.metric: s for s in side.series} for side in sides]
    points = [reader.trial_series(side, with_test=True) for side in sides]
    differences = []
    for metric in sorted(summaries[0].keys() | summaries[1].keys()):
        old, new = points[0].get(metric), points[1].get(metric)
        index = step = None
        if old is not None and new is not None:
            shared = min(len(old), len(new))
            unequal = (old.steps[:shared] != new.steps[:shared]) | (
                old.values[:shared].view(np.int64) != new.values[:shared].view(np.int64)
            )
            if unequal.any():
                index = int(unequal.argmax())
            elif len(old) != len(new):
                index = shared
            else:
                continue
            step = int((old if index < len(old) else new).steps[index])
        differences.append(
            MetricDifference(
                metric, summaries[0].get(metric), summaries[1].get(metric), index, step
            )
        )
    return tuple(differences)
