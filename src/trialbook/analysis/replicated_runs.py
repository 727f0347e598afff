"""The replicates of one configuration as arrays, read from their study. No statistics here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trialbook.book.reading import Reader
from trialbook.records.execution import EndReason
from trialbook.records.replicates import Configuration, Replicate, replicate_of
from trialbook.records.study import SeriesSummary, StudyRecord, TrialRecord
from trialbook.records.test_metrics import is_test, series_name

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

ABANDONED = "ABANDONED"
"""State of a replicate that was abandoned and not placed again yet."""


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """The replicates of one configuration, by the number of their seed.

    Args:
        configuration: What they run.
        trials: Their trials.
        indices: Shape (n,): number of each seed; equal numbers are equal seeds in one study.
        seeds: Shape (n,).
        states: Shape (n,): Optuna's states, or ``ABANDONED``.
        values: Shape (n, objectives): NaN where a replicate is not complete.
    """

    configuration: Configuration
    trials: tuple[TrialRecord, ...]
    indices: Ints
    seeds: Ints
    states: NDArray[np.str_]
    values: Floats

    def __len__(self) -> int:
        return len(self.trials)

    @property
    def name(self) -> str:
        """What the configuration is called: ``best (trial 12)``, ``trial 12``, ``default``."""
        own = self.configuration
        return own.name if own.trial is None or own.name == own.key else f"{own.name} ({own.key})"

    @property
    def complete(self) -> Flags:
        """Shape (n,): COMPLETE."""
        done: Flags = self.states == "COMPLETE"
        return done

    @property
    def failed(self) -> int:
        """How many have failed, or were pruned by the objective itself."""
        return int(np.isin(self.states, ("FAIL", "PRUNED")).sum())

    @property
    def unfinished(self) -> int:
        """How many wait, run, or were abandoned."""
        return int(np.isin(self.states, ("WAITING", "RUNNING", ABANDONED)).sum())

    @property
    def strayed(self) -> int:
        """How many complete ones have other params than the configuration."""
        names = {param.name: param.internal for param in self.configuration.params}
        return sum(
            any(
                param.name not in names or names[param.name] not in (None, param.internal)
                for param in trial.params
            )
            or (self.configuration.trial is not None and len(trial.params) != len(names))
            for trial, complete in zip(self.trials, self.complete, strict=True)
            if complete
        )

    def pairs(self, other: Runs) -> Ints:
        """Shape (pairs, 2): indices of complete replicates here and there that share a seed."""
        there = {
            int(seed): at
            for at, seed in enumerate(other.seeds)
            if other.complete[at] and np.isfinite(other.values[at]).all()
        }
        found = [
            (at, there[int(seed)])
            for at, seed in enumerate(self.seeds)
            if self.complete[at] and np.isfinite(self.values[at]).all() and int(seed) in there
        ]
        return np.array(found, np.int64).reshape(-1, 2)

    def last_values(self, tests: Mapping[str, Sequence[SeriesSummary]]) -> dict[str, Floats]:
        """Last value of each metric over the complete replicates that have it, by its name.

        Args:
            tests: Test metrics by the reference of their trial, where they may be shown.
        """
        found: dict[str, list[float]] = defaultdict(list)
        for trial, complete in zip(self.trials, self.complete, strict=True):
            if not complete:
                continue
            for summary in trial.series:
                if not is_test(summary.metric) and summary.last is not None:
                    found[summary.metric].append(summary.last)
            for summary in tests.get(trial.reference, ()):
                if summary.last is not None:
                    found[series_name(summary.metric)].append(summary.last)
        return {name: np.array(values, np.float64) for name, values in found.items()}


def runs_of(reader: Reader, study: StudyRecord) -> list[Runs]:
    """The replicates of a study by configuration, in the order in which these were placed."""
    kept: dict[tuple[str, int], tuple[Replicate, TrialRecord]] = {}
    for trial in reader.trials(study.name):
        replicate = replicate_of(trial.system_attrs)
        if replicate is None:
            continue
        before = kept.get(replicate.key)
        # One that was abandoned may have been placed again.
        if before is None or _state(before[1]) == ABANDONED:
            kept[replicate.key] = (replicate, trial)
    grouped: dict[str, list[tuple[Replicate, TrialRecord]]] = defaultdict(list)
    for one in kept.values():
        grouped[one[0].configuration.key].append(one)
    return [_runs(found, len(study.directions)) for found in grouped.values()]


def _runs(found: list[tuple[Replicate, TrialRecord]], objectives: int) -> Runs:
    found.sort(key=lambda one: one[0].index)
    trials = tuple(trial for _, trial in found)
    values = np.full((len(found), objectives), np.nan)
    for at, trial in enumerate(trials):
        if trial.state == "COMPLETE" and trial.values is not None:
            values[at] = trial.values
    return Runs(
        found[0][0].configuration,
        trials,
        np.array([replicate.index for replicate, _ in found], np.int64),
        np.array([replicate.seed for replicate, _ in found], np.int64),
        np.array([_state(trial) for trial in trials], dtype="<U9"),
        values,
    )


def _state(trial: TrialRecord) -> str:
    attempt = trial.attempt
    abandoned = attempt is not None and attempt.end_reason == EndReason.ABANDONED
    return ABANDONED if trial.state == "FAIL" and abandoned else trial.state


def same_runs(reader: Reader, runs: Runs) -> str:
    """What the seeds did not change among the complete replicates.

    Returns:
        ``runs`` when values and all points of all metrics are bit-identical, ``values`` when the
        values are and metrics are not, else the empty text.
    """
    values = runs.values[runs.complete]
    if (values.view(np.int64) != values[:1].view(np.int64)).any():
        return ""
    complete = [t for t, is_complete in zip(runs.trials, runs.complete, strict=True) if is_complete]
    first = _points(reader, complete[0])
    return "runs" if all(_points(reader, trial) == first for trial in complete[1:]) else "values"


def _points(reader: Reader, trial: TrialRecord) -> dict[str, tuple[bytes, bytes]]:
    """Steps and values of every metric, bit for bit; comparing them shows no test metric."""
    series = reader.trial_series(trial, with_test=True)
    return {name: (one.steps.tobytes(), one.values.tobytes()) for name, one in series.items()}
