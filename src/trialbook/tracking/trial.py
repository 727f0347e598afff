"""The trial that a tracked objective sees: Optuna's, and what it tells the record."""

from __future__ import annotations

import hashlib
import mimetypes
import operator
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsFloat, cast

import numpy as np
import optuna

from trialbook.errors import (
    ArtifactLocationError,
    CaptureError,
    InvalidInputError,
    InvalidMetricError,
    MissingPackageError,
    TrialbookWarning,
)
from trialbook.records.checkpoints import Told
from trialbook.records.study import ArtifactRecord
from trialbook.records.test_metrics import TEST_PREFIX, is_test, series_name
from trialbook.tracking.beacon import PROGRESS, Beacon
from trialbook.tracking.generators import RNG, set_again, taken
from trialbook.tracking.kept_params import KeepingTrial
from trialbook.tracking.not_kept import NotKept
from trialbook.tracking.sink import Sink

if TYPE_CHECKING:
    from collections.abc import Iterator

_STEP_BOUND = 2**63
_PREFIXED = len(TEST_PREFIX)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a tracked trial gives its objective besides parameters.

    Args:
        sink: Where observations go.
        seed: The trial's seed.
        config: The resolved configuration, this trial's own copy.
        data: Input name to absolute path.
        directory: Makes the attempt's own directory, on its first use.
        beacon: What the trial shares with its supervisor.
        own_globals: Whether the process's global generators serve this trial alone.
    """

    sink: Sink
    seed: int
    config: dict[str, Any]
    data: Mapping[str, Path]
    directory: Callable[[], Path]
    beacon: Beacon = field(default_factory=Beacon)
    own_globals: bool = True


class TrackedTrial(KeepingTrial):
    """An ``optuna.Trial`` that also records metrics, artifacts and tags."""

    _surroundings: Surroundings
    _next_steps: dict[str, int]
    _generator: np.random.Generator | None
    _page: Any
    _observed: bool
    logged_files: set[Path]
    gaps: list[str]
    not_kept: NotKept

    @classmethod
    def of(cls, trial: optuna.Trial, surroundings: Surroundings) -> TrackedTrial:
        """The tracked face of a trial. Both share one state, so neither falls out of step."""
        tracked = cls.__new__(cls)
        tracked.__dict__ = trial.__dict__
        tracked._surroundings = surroundings
        tracked._next_steps = {}
        tracked._generator = None
        tracked._page = surroundings.beacon.page
        tracked._observed = False
        tracked.logged_files = set()
        tracked.gaps = []
        tracked.not_kept = NotKept()
        return tracked

    def log(self, metrics: Mapping[str, SupportsFloat], step: int | None = None) -> None:
        """Record one point of each metric.

        Args:
            metrics: Metric name to value; anything with ``__float__``.
            step: Step of the points, an integer of 64 bits; by default each metric's next one,
                beginning at 0. A repeated step keeps both points.

        Raises:
            InvalidMetricError: A name is no text or a value no number; nothing is recorded then.
            InvalidInputError: The step is no integer of 64 bits.
        """
        self._log(_numbers(metrics), step)

    def log_test(self, metrics: Mapping[str, SupportsFloat], step: int | None = None) -> None:
        """Record one point of each test metric: how good the model is on data held back.

        Samplers, pruners, ``best``, tables and figures never see test metrics, and how often their
        values were shown to somebody is counted in the book and reported.

        Args:
            metrics: As in ``log``.
            step: As in ``log``.

        Raises:
            InvalidMetricError: As in ``log``.
            InvalidInputError: As in ``log``.
        """
        self._log({series_name(name): v for name, v in _numbers(metrics).items()}, step)

    def _log(self, points: Mapping[str, float], step: int | None) -> None:
        seconds = time.time()
        self._page[PROGRESS] = 1
        self._observed = True
        steps = self._next_steps
        sink = self._surroundings.sink
        if step is None:
            for name, value in points.items():
                own = steps.get(name, 0)
                sink.log({name: value}, own, seconds)
                steps[name] = own + 1
            return
        step = _step(step)
        sink.log(points, step, seconds)
        for name in points:
            if steps.get(name, 0) <= step:
                steps[name] = step + 1

    def report(self, value: float, step: int) -> None:
        """As in Optuna."""
        self._page[PROGRESS] = 1
        self._observed = True
        super().report(value, step)

    def log_artifact(self, path: str | Path, name: str | None = None) -> ArtifactRecord:
        """Keep a file by content.

        A file that the book has no place for, or whose place cannot be reached, costs no result:
        the objective goes on, a warning says what to do, and the record says that it was not kept.

        Args:
            path: The file. It is read now; later changes do not matter.
            name: Its name in the record, by default the file's own. A name used again holds the
                last file that could be kept.

        Returns:
            Name, digest, size and media type of the file.

        Raises:
            InvalidInputError: The path is no regular file.
        """
        source = Path(path)
        if not source.is_file():
            raise InvalidInputError(
                f"the artifact {str(path)!r} is no file",
                where=f"trial {self.number}",
                hint="write the file first; log the files of a directory one by one",
            )
        known = name if name is not None else source.name
        media_type = mimetypes.guess_type(known)[0] or "application/octet-stream"
        surroundings = self._surroundings
        try:
            with surroundings.beacon.progressing():
                artifact = surroundings.sink.add_artifact(known, source, media_type)
        except (ArtifactLocationError, MissingPackageError) as error:
            artifact = _artifact_of(known, source, media_type)
            self._warn(self.not_kept.artifact(artifact, error))
        else:
            self.not_kept.kept(known)
        self.logged_files.add(source.resolve())
        return artifact

    def save_checkpoint(self, path: str | Path) -> None:
        """Keep a file or a directory, so that the trial's next attempt can go on from here.

        With it go the states of ``random``, NumPy's global generator, ``trial.rng`` and PyTorch's
        generators, and everything that the trial has recorded so far. It is in the book on return:
        a crash leaves this checkpoint or the one before, whole. The contents of the last two are
        kept, until the trial has finished; keep what is to stay with ``log_artifact``. One that the
        book has no place for is not kept: a warning and the record say so, and the objective goes
        on.

        Args:
            path: What to keep. It is read now; later changes do not matter.

        Raises:
            InvalidInputError: There is no file or directory of that path.
            BookError: The book refused; the checkpoint before is still there.
        """
        source, surroundings = Path(path), self._surroundings
        found = taken(self._generator, global_ones=surroundings.own_globals)
        told = Told(found.states, found.kinds, dict(self._next_steps))
        try:
            with surroundings.beacon.progressing():
                counted = surroundings.sink.save_checkpoint(source, told)
            if not counted:
                self._warn(
                    f"the checkpoint is not kept: another attempt of trial {self.number} has "
                    "begun, so this one does not count"
                )
        except (ArtifactLocationError, MissingPackageError) as error:
            said = self.not_kept.checkpoint(error)
            if said is not None:
                self._warn(said)
        files = source.rglob("*") if source.is_dir() else (source,)
        self.logged_files.update(file.resolve() for file in files)

    def load_checkpoint(self) -> Path | None:
        """Go on from the last checkpoint of the trial's earlier attempts.

        Call it before anything is logged or reported: what the earlier attempts recorded up to the
        checkpoint counts from then on as this trial's, and generators continue where they were.

        Returns:
            The file or directory that was saved, restored in ``trial.dir``; ``None`` when there is
            nothing to go on from, as in a first attempt and in a rerun. A checkpoint that is
            damaged or missing is passed over for the one before, with a warning.

        Raises:
            InvalidInputError: A point, a report or an answer of ``should_prune`` came before.
            BookError: The book refused.
        """
        if self._observed:
            raise InvalidInputError(
                "load_checkpoint comes too late: the trial has been told something already",
                where=f"trial {self.number}",
                hint="call it before the first trial.log, trial.report and trial.should_prune",
            )
        surroundings = self._surroundings
        found = surroundings.sink.load_checkpoint(surroundings.directory)
        self._page[PROGRESS] = 1
        gaps = list(found.gaps)
        if found.path is not None:
            if self._generator is not None and RNG not in found.generators:
                self._generator.bit_generator.state = self._new_generator().bit_generator.state
            gaps += set_again(
                found.generators, lambda: self.rng, global_ones=surroundings.own_globals
            )
            self._next_steps.update(found.next_steps)
            frozen = self._cached_frozen_trial
            frozen.intermediate_values = {**found.reports, **frozen.intermediate_values}
            frozen.user_attrs = {**frozen.user_attrs, **found.user_attrs}
            place = found.path.parent
            self.logged_files.update(file.resolve() for file in place.rglob("*"))
        self.gaps += gaps
        for gap in gaps:
            self._warn(gap)
        return found.path

    def _warn(self, text: str) -> None:
        warnings.warn(TrialbookWarning(text), stacklevel=3)

    def set_tag(self, key: str, value: str) -> None:
        """Set a tag: a user attribute whose value is text."""
        self.set_user_attr(key, str(value))

    def should_prune(self) -> bool:
        """As in Optuna; the answer is recorded, so that a rerun can give the same."""
        self._observed = True
        pruned = super().should_prune()
        self._surroundings.sink.answered(bool(pruned))
        return pruned

    def should_stop(self) -> bool:
        """Whether the trial is to stop now: save a checkpoint and return, or raise.

        ``True`` once a scheduler has asked the run to stop, or a limit of time is over. A trial
        that has been told so and ends is given back and tried again later; its value does not
        count. Ask once a step: it costs less than a microsecond. Without a supervised worker, as
        in plain ``study.optimize``, nobody asks a trial to stop, and the answer is ``False``.
        """
        return self._surroundings.beacon.should_stop()

    @property
    def dir(self) -> Path:
        """This attempt's own empty directory, outside the code; gone when the attempt ends."""
        return self._surroundings.directory()

    @property
    def data(self) -> Mapping[str, Path]:
        """Declared inputs: name to absolute path on this machine."""
        return self._surroundings.data

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration; this trial's own copy."""
        return self._surroundings.config

    @property
    def seed(self) -> int:
        """This trial's seed, derived from the study's seed and the trial's number; 32 bits."""
        return self._surroundings.seed

    @property
    def rng(self) -> np.random.Generator:
        """A generator seeded with ``seed``; the same object at each use."""
        if self._generator is None:
            self._generator = self._new_generator()
        return self._generator

    def _new_generator(self) -> np.random.Generator:
        return np.random.default_rng(self._surroundings.seed)


def _artifact_of(name: str, path: Path, media_type: str) -> ArtifactRecord:
    """What a file would be as an artifact."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return ArtifactRecord(name, digest, file.tell(), media_type)


def _numbers(metrics: Mapping[str, SupportsFloat]) -> dict[str, float]:
    if not isinstance(metrics, Mapping):
        raise InvalidMetricError(
            f"metrics must be a mapping of names to numbers, not {type(metrics).__name__}",
            hint='trial.log({"loss": loss}, step=epoch)',
        )
    points: dict[str, float] = {}
    for name, value in metrics.items():
        if type(value) is float and type(name) is str and name[:_PREFIXED] != TEST_PREFIX:
            points[name] = value
            continue
        if not isinstance(name, str):
            raise InvalidMetricError(f"a metric's name must be text, not {name!r}")
        if is_test(name):
            raise InvalidMetricError(
                f"the metric {name!r} begins as test metrics are named in the record",
                hint=f"trial.log_test({{{name.removeprefix(TEST_PREFIX)!r}: ...}})",
            )
        if isinstance(value, (str, bytes)) or not hasattr(value, "__float__"):
            raise InvalidMetricError(
                f"metric {name!r} is no number but {type(value).__name__}: {value!r:.80}",
                hint="log a number; keep text with trial.set_tag",
            )
        try:
            points[name] = float(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise InvalidMetricError(
                f"metric {name!r} cannot be taken as a number: {error}",
                hint="log a single number, such as the mean",
            ) from error
    return points


def _step(step: object) -> int:
    try:
        value = operator.index(cast(int, step))
    except TypeError:
        raise InvalidInputError(
            f"a step must be an integer, not {step!r:.80}", hint="pass step=epoch"
        ) from None
    if not -_STEP_BOUND <= value < _STEP_BOUND:
        raise InvalidInputError(f"step {value} does not fit into 64 bits")
    return value


_current: ContextVar[TrackedTrial | None] = ContextVar("trialbook_current_trial", default=None)
_running: list[TrackedTrial] = []


@contextmanager
def current(trial: TrackedTrial) -> Iterator[None]:
    """Make a trial the one that ``log`` finds, in this thread and in those that it starts."""
    token = _current.set(trial)
    _running.append(trial)
    try:
        yield
    finally:
        _running.remove(trial)
        _current.reset(token)


def running_count() -> int:
    """Number of tracked trials that run in this process now."""
    return len(_running)


def log(metrics: Mapping[str, SupportsFloat], step: int | None = None) -> None:
    """Record metrics of the trial that runs now, for code that has no ``trial`` at hand.

    Args:
        metrics: As in ``trial.log``.
        step: As in ``trial.log``.

    Raises:
        CaptureError: No tracked trial runs, or several do and this thread belongs to none.
    """
    trial = _current.get()
    if trial is None and len(_running) == 1:
        trial = _running[0]
    if trial is None:
        count = "no tracked trial runs" if not _running else f"{len(_running)} tracked trials run"
        raise CaptureError(
            f"trialbook.log cannot tell whose metrics these are: {count} here",
            hint="call it inside a @tracked_objective, or pass the trial on and call trial.log",
        )
    trial.log(metrics, step)
