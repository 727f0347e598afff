"""What one execution of a trial gave, and the directory in which a child hands it to its parent.

The same value describes the recorded attempt (built from the book) and the rerun (written by the
child process), so that comparing them is a pure function. Nothing here runs or compares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from trialbook.errors import RerunError
from trialbook.records.canonical import canonical_bytes, parsed
from trialbook.records.execution import EndReason
from trialbook.records.series import Series, decoded, encoded
from trialbook.records.study import (
    ArtifactRecord,
    AttemptRecord,
    ParamRecord,
    TrialRecord,
    TrialState,
)

_RESULT = "result.json"
_SERIES = "series"


@dataclass(frozen=True, slots=True)
class End:
    """How an execution ended.

    Args:
        state: Optuna's state of the trial.
        exception: Dotted type of the exception that left the objective, ``None`` without one.
        exit_code: Status with which the objective's process exited by itself, else ``None``.
        signal: Name of the signal that killed it, else ``None``.
    """

    state: TrialState
    exception: str | None = None
    exit_code: int | None = None
    signal: str | None = None

    def __str__(self) -> str:
        """The state, with the exception, exit status or signal that explains it."""
        causes = (
            self.exception,
            None if self.exit_code in (None, 0) else f"exit {self.exit_code}",
            self.signal,
        )
        cause = next((cause for cause in causes if cause is not None), None)
        return self.state if cause is None else f"{self.state} ({cause})"


@dataclass(frozen=True, slots=True)
class Results:
    """What one execution of a trial gave.

    Args:
        end: How it ended.
        params: In the order in which they were asked.
        returned: What the objective returned, in the book's form; ``None`` when nothing.
        values: Objective values that Optuna made of it, ``None`` when there are none.
        prune_answers: Each answer of ``should_prune``, in order.
        series: Metric to points.
        artifacts: Sorted by name.
    """

    end: End
    params: tuple[ParamRecord, ...] = ()
    returned: Any = None
    values: tuple[float, ...] | None = None
    prune_answers: tuple[bool, ...] = ()
    series: Mapping[str, Series] = field(default_factory=dict)
    artifacts: tuple[ArtifactRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class ReplayOutcome:
    """Everything that the child process says.

    Args:
        results: What the trial gave, as far as it got.
        stopped: Why the record could not be followed any further, ``None`` when it was
            followed to the end of the trial.
        notes: What a reader of a different verdict should know, one sentence each.
        environment: Document of the environment snapshot observed in the child, ``None`` when it
            ended before that.
        traceback: Traceback of the exception that left the objective.
        elapsed_s: Seconds from the objective's start to its end.
    """

    results: Results
    stopped: str | None = None
    notes: tuple[str, ...] = ()
    environment: bytes | None = None
    traceback: str | None = None
    elapsed_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _Written:
    """The shape of ``result.json``; the points lie beside it, one file a metric."""

    end: End
    params: tuple[ParamRecord, ...]
    returned: Any
    values: tuple[float, ...] | None
    prune_answers: tuple[bool, ...]
    metrics: tuple[str, ...]
    artifacts: tuple[ArtifactRecord, ...]
    stopped: str | None
    notes: tuple[str, ...]
    environment: str | None
    traceback: str | None
    elapsed_s: float


def recorded_results(
    trial: TrialRecord, attempt: AttemptRecord, series: Mapping[str, Series]
) -> Results:
    """What the book says that a trial gave.

    Args:
        trial: The trial.
        attempt: The attempt that counts.
        series: The trial's points; an attempt that went on from a checkpoint has not all of them.
    """
    outcome = attempt.outcome
    end = End(
        trial.state,
        exception=outcome.exception if outcome else None,
        exit_code=outcome.exit_code if outcome else None,
        signal=outcome.signal if outcome else None,
    )
    if attempt.end_reason is EndReason.PRUNED:
        # Which exception pruned it is no result: Optuna knows one way to prune.
        end = End(trial.state)
    return Results(
        end=end,
        params=trial.params,
        returned=attempt.returned,
        values=trial.values,
        prune_answers=trial.prune_answers,
        series=series,
        artifacts=attempt.artifacts,
    )


def write_outcome(directory: Path, outcome: ReplayOutcome) -> None:
    """Write the outcome; the directory holds all of it or, when this fails, none."""
    results = outcome.results
    metrics = tuple(sorted(results.series))
    points = directory / _SERIES
    points.mkdir(parents=True, exist_ok=True)
    for index, metric in enumerate(metrics):
        (points / str(index)).write_bytes(encoded(results.series[metric]))
    written = _Written(
        end=results.end,
        params=results.params,
        returned=results.returned,
        values=results.values,
        prune_answers=results.prune_answers,
        metrics=metrics,
        artifacts=results.artifacts,
        stopped=outcome.stopped,
        notes=outcome.notes,
        environment=None if outcome.environment is None else outcome.environment.decode(),
        traceback=outcome.traceback,
        elapsed_s=outcome.elapsed_s,
    )
    pending = directory / (_RESULT + ".part")
    pending.write_bytes(canonical_bytes(msgspec.to_builtins(written)))
    pending.replace(directory / _RESULT)


def read_outcome(directory: Path) -> ReplayOutcome | None:
    """The outcome that a child wrote, ``None`` when it ended before it had one.

    Raises:
        RerunError: The directory holds something that this program did not write.
    """
    path = directory / _RESULT
    if not path.exists():
        return None
    try:
        written = msgspec.convert(parsed(path.read_bytes()), _Written)
        series = {
            metric: decoded(metric, (directory / _SERIES / str(index)).read_bytes())
            for index, metric in enumerate(written.metrics)
        }
    except (ValueError, KeyError, OSError) as error:
        raise RerunError(
            f"the rerun's results cannot be read: {error}",
            where=str(path),
            hint="run it again; the code that was rerun may have written there",
        ) from error
    return ReplayOutcome(
        results=Results(
            end=written.end,
            params=written.params,
            returned=written.returned,
            values=written.values,
            prune_answers=written.prune_answers,
            series=series,
            artifacts=written.artifacts,
        ),
        stopped=written.stopped,
        notes=written.notes,
        environment=None if written.environment is None else written.environment.encode(),
        traceback=written.traceback,
        elapsed_s=written.elapsed_s,
    )
