"""Replaying one recorded trial inside the child: the study, where results go, how it ends.

``ReplayStudy`` is what the objective or the recorded script gets instead of the book's study: its
``optimize`` runs the recorded trial and ends the process, and so does a first ``ask`` with its
``tell``. What the trial then gave lies on disk. Answers and storage are in ``scratch.py``.
"""

from __future__ import annotations

import hashlib
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import optuna
from optuna.trial import FrozenTrial, TrialState

from trialbook.book.packing import package
from trialbook.book.points import PointBuffer
from trialbook.book.texts import checked_name, returned_text
from trialbook.records.canonical import parsed
from trialbook.records.checkpoints import Resumption, Told
from trialbook.records.distributions import distribution_text
from trialbook.records.series import OBJECTIVE, Series
from trialbook.records.study import ArtifactRecord, ParamRecord
from trialbook.rerun.order import RecordedTrial
from trialbook.rerun.results import End, ReplayOutcome, Results, write_outcome
from trialbook.rerun.scratch import (
    RecordedAnswers,
    ReplayPruner,
    ReplaySampler,
    ReplayStopped,
    ScratchStorage,
)
from trialbook.tracking.objective import TrackedObjective
from trialbook.tracking.recording import dotted_name, exit_status

_CHUNK_BYTES = 1 << 20


class ReplayEnded(SystemExit):
    """The replayed trial ended and its results are written; nothing else is to run."""


class ReplaySink:
    """Keeps what the replayed trial tells, in memory: the other end of ``tracking.sink.Sink``.

    Args:
        answers: Where leaving the record is told.
    """

    def __init__(self, answers: RecordedAnswers) -> None:
        self._answers = answers
        self._points = PointBuffer(reserved=OBJECTIVE)
        self._reported = PointBuffer()
        self._lock = threading.Lock()
        self._artifacts: dict[str, ArtifactRecord] = {}
        self.prune_answers: list[bool] = []
        self.value: Any = None

    def log(self, metrics: Mapping[str, float], step: int, seconds: float) -> None:
        """Keep one point of each metric; what the book refuses is refused alike."""
        if self._answers.stopped is not None:
            self._answers.stop(self._answers.stopped)
        with self._lock:
            self._points.log(metrics, step, seconds)

    def report(self, step: int, value: float) -> None:
        """Keep one point of ``trial.report``."""
        if self._answers.stopped is not None:
            self._answers.stop(self._answers.stopped)
        with self._lock:
            self._reported.log({OBJECTIVE: value}, step, time.time())

    def answered(self, pruned: bool) -> None:
        """Keep one answer of ``should_prune``."""
        self.prune_answers.append(pruned)

    def returned(self, value: object) -> None:
        """Keep what the objective returned, in the book's form."""
        self.value = parsed(returned_text(value))

    def add_artifact(self, name: str, path: Path, media_type: str) -> ArtifactRecord:
        """Keep the digest of a file; a name used again holds the last one."""
        if self._answers.stopped is not None:
            self._answers.stop(self._answers.stopped)
        checked_name(name, "an artifact")
        digest = hashlib.sha256()
        size = 0
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
        self._artifacts[name] = ArtifactRecord(name, digest.hexdigest(), size, media_type)
        return self._artifacts[name]

    def save_checkpoint(self, path: Path, told: Told) -> bool:
        """Keep nothing: a rerun is not gone on from. What cannot be saved is refused alike."""
        if self._answers.stopped is not None:
            self._answers.stop(self._answers.stopped)
        package(path, {})
        return True

    def load_checkpoint(self, directory: Callable[[], Path]) -> Resumption:
        """Nothing: a rerun begins at the beginning."""
        return Resumption(None)

    @property
    def series(self) -> dict[str, Series]:
        """Every metric's points."""
        return self._points.series() | self._reported.series()

    @property
    def artifacts(self) -> tuple[ArtifactRecord, ...]:
        """Artifacts, sorted by name."""
        return tuple(self._artifacts[name] for name in sorted(self._artifacts))


class Performance:
    """One replay, from the moment before the objective starts to its results on disk.

    Args:
        directory: Where the results are written.
        answers: What the book answers.
        observe: Gives the document of the environment's snapshot; called right before the
            objective starts, with everything imported that it imports.
    """

    def __init__(
        self, directory: Path, answers: RecordedAnswers, observe: Callable[[], bytes]
    ) -> None:
        self.answers = answers
        self.sink = ReplaySink(answers)
        self._directory = directory
        self._observe = observe
        self._environment: bytes | None = None
        self._began: float | None = None
        self._written = False
        self._error: BaseException | None = None

    @property
    def began(self) -> bool:
        """Whether the trial was started."""
        return self._began is not None

    def begin(self) -> None:
        """The objective starts now."""
        self._environment = self._observe()
        self._began = time.perf_counter()

    def raised(self, error: BaseException) -> None:
        """Keep the exception that left the objective."""
        if not isinstance(error, ReplayStopped):
            self._error = error

    def end(self, state: TrialState, trial: FrozenTrial | None = None) -> NoReturn:
        """Write the results, once, and leave.

        Args:
            state: Optuna's state of the trial.
            trial: The ended trial, ``None`` when it never began.

        Raises:
            ReplayEnded: Always.
        """
        if not self._written:
            self._written = True
            write_outcome(self._directory, self._outcome(state, trial))
        raise ReplayEnded(0)

    def _outcome(self, state: TrialState, trial: FrozenTrial | None) -> ReplayOutcome:
        error, sink = self._error, self.sink
        exception = None
        if error is not None and state is not TrialState.PRUNED:
            exception = dotted_name(type(error))
        results = Results(
            end=End(_STATE_NAMES[state], exception=exception, exit_code=exit_status(error)),
            params=() if trial is None else _params(trial),
            returned=sink.value,
            values=None if trial is None or trial.values is None else tuple(trial.values),
            prune_answers=tuple(sink.prune_answers),
            series=sink.series,
            artifacts=sink.artifacts,
        )
        return ReplayOutcome(
            results,
            stopped=self.answers.stopped,
            notes=tuple(self.answers.notes),
            environment=self._environment,
            traceback=None if error is None else "".join(traceback.format_exception(error)),
            elapsed_s=0.0 if self._began is None else time.perf_counter() - self._began,
        )


_STATE_NAMES: Mapping[TrialState, Any] = {state: state.name for state in TrialState}


def _params(trial: FrozenTrial) -> tuple[ParamRecord, ...]:
    return tuple(
        ParamRecord(
            name,
            value,
            trial.distributions[name].to_internal_repr(value),
            distribution_text(trial.distributions[name]),
        )
        for name, value in trial.params.items()
    )


class ReplayStudy(optuna.Study):
    """The study that a replayed objective or script gets.

    Args:
        trial: Which trial of which study.
        performance: Where it is performed.
        objective: Qualified name of the recorded objective, so that a script's other objectives
            are passed over; ``None`` to take the first one.
    """

    def __init__(
        self, trial: RecordedTrial, performance: Performance, objective: str | None = None
    ) -> None:
        answers = performance.answers
        storage = ScratchStorage(trial, answers, performance.sink.report)
        super().__init__(trial.study, storage, ReplaySampler(answers), ReplayPruner(answers))
        self._performance = performance
        self._objective = objective
        self._trial_id = trial.trial_id

    def optimize(self, func: Callable[[optuna.Trial], Any], *args: Any, **kwargs: Any) -> None:
        """Run the recorded trial, write its results and end the process.

        Budget, threads and callbacks of the recorded call do not matter: one trial is run.

        Raises:
            ReplayEnded: The trial ended.
        """
        if not self._is_recorded(func):
            self._performance.answers.note(
                f"the script's search with {_qualified_name(func)!r} was passed over"
            )
            return
        trial = self.ask()
        value: Any = None
        state: TrialState | None = None
        try:
            value = func(trial)
        except optuna.TrialPruned as error:
            self._performance.raised(error)
            state = TrialState.PRUNED
        except ReplayStopped:
            self._end_stopped()
        except BaseException as error:
            self._performance.raised(error)
            state = TrialState.FAIL
        self.tell(trial, value, state)

    def ask(self, fixed_distributions: Any = None) -> optuna.Trial:
        """The recorded trial; it can be asked for once."""
        if not self._performance.began:
            self._performance.begin()
        return super().ask(fixed_distributions)

    def tell(
        self,
        trial: optuna.Trial | int,
        values: float | Sequence[float] | None = None,
        state: TrialState | None = None,
        skip_if_finished: bool = False,
    ) -> FrozenTrial:
        """End the trial as Optuna would, write its results and end the process.

        Raises:
            ReplayEnded: Always.
        """
        if self._performance.answers.stopped is not None:
            self._end_stopped()
        with warnings.catch_warnings():
            # A value that is no number makes the trial fail, and the comparison says so.
            warnings.simplefilter("ignore")
            told = super().tell(trial, values, state, skip_if_finished)
        self._performance.end(told.state, told)

    def pass_over(self, name: str) -> None:
        """Keep that another study was asked for, which only a script may do before the trial.

        Raises:
            ReplayStopped: The trial runs: what the other study's trials told it is not known.
        """
        if self._performance.began:
            self._performance.answers.stop(
                f"the objective opened another study, {name!r}, whose trials cannot be replayed"
            )
        self._performance.answers.note(f"the script's study {name!r} was passed over")

    def stop(self) -> None:
        """Nothing is to be stopped: one trial is run."""

    def leave(self, error: BaseException | None) -> NoReturn:
        """End the replay where no ``tell`` came: the script ended, or raised.

        Raises:
            ReplayEnded: Always.
        """
        if error is not None:
            self._performance.raised(error)
        if not self._performance.began and self._performance.answers.stopped is None:
            how = "ended" if error is None else f"ended with {dotted_name(type(error))}: {error}"
            self._performance.answers.stopped = f"the recorded script {how} before it ran the trial"
        self._end_stopped()

    def _end_stopped(self) -> NoReturn:
        trial = None
        if self._performance.began:
            trial = self._storage.get_trial(self._trial_id)
        self._performance.end(TrialState.FAIL, trial)

    def _is_recorded(self, func: object) -> bool:
        if self._objective is None or not isinstance(func, TrackedObjective):
            return True
        return _qualified_name(func) == self._objective


def _qualified_name(func: object) -> str:
    target = getattr(func, "function", func)
    return str(getattr(target, "__qualname__", type(target).__qualname__))
