"""The five probes of one objective in one process: observed once, checked before each trial.

A session belongs to one objective and one study's settings. It knows nothing of trials; what it
gives is the snapshots and blobs that an attempt begins with, and what changed during one.
"""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trialbook.capture.code import CodeProbe, code_root
from trialbook.capture.config import ConfigProbe
from trialbook.capture.data import Data, DataProbe
from trialbook.capture.environment import EnvironmentProbe
from trialbook.capture.execution import LaunchProbe, entry_point
from trialbook.capture.probe import Observation, Probe
from trialbook.errors import CaptureError, TrialbookWarning
from trialbook.records.blobs import Blob
from trialbook.records.code import EntryPoint
from trialbook.records.config import SearchSettings
from trialbook.records.coordinates import Kind, Snapshot
from trialbook.records.coverage import Coverage, Level
from trialbook.records.data import DataState
from trialbook.tracking.launch import current_launch


@dataclass(frozen=True, slots=True)
class Inputs:
    """What an objective declares.

    Args:
        data: Input name to path or ``Data``.
        config: YAML file, mapping, or ``None``.
        overrides: Dotted keys set over the configuration.
        base: Directory that relative paths start from.
        paranoid: Hash the data again even when its stat has not changed.
    """

    data: Mapping[str, str | Path | Data] = field(default_factory=dict)
    config: str | Path | Mapping[str, Any] | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    base: Path = field(default_factory=Path.cwd)
    paranoid: bool = False


class Session:
    """Probes and their last observations.

    Args:
        function: The user's own function.
        inputs: What the objective declares.
        search: What was asked of the search.
        exclude: The book's own files, which no manifest holds and nothing opens.

    Attributes:
        root: Directory of the code.

    Raises:
        CaptureError: A coordinate cannot be observed.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        inputs: Inputs,
        *,
        search: SearchSettings,
        exclude: Sequence[Path],
    ) -> None:
        launch = current_launch()
        tree = launch.tree
        self.data = DataProbe(
            inputs.data,
            base=inputs.base,
            mapping=launch.data,
            paranoid=inputs.paranoid or launch.paranoid,
            exclude=exclude,
            is_code=lambda path: code.holds(path),
            scope=None if tree is None else tree.scope,
            ask=launch.ask,
        )
        code = CodeProbe(
            code_root(_directory_of(function)) if tree is None else tree.root,
            exclude=exclude,
            inputs=tuple(self.data.paths.values()),
            cache_dir=None if tree is None else tree.caches,
            origin=None if tree is None else tree.code,
        )
        self.config = ConfigProbe(
            inputs.config,
            overrides=inputs.overrides,
            base=inputs.base,
            search=search,
            origin=launch.config,
        )
        self.entry = launch.entry or entry_point(function, bases=code.bases)
        execution = LaunchProbe(
            self.entry,
            bases=code.bases,
            sys_path=code.sys_path(),
            isolation=launch.isolation,
            launcher=launch.launcher,
            job_id=launch.job_id,
            differs=lambda: current_launch().differs,
        )
        self.root = code.bases["."]
        self._remark = launch.reason
        self._probes: tuple[Probe, ...] = (
            code,
            self.data,
            self.config,
            EnvironmentProbe(Path(self.root)),
            execution,
        )
        self._observations: dict[Kind, Observation] = {}
        self._warned = False

    def observe(self) -> None:
        """Observe whatever changed since the last time; everything at the first."""
        for probe in self._probes:
            if probe.kind not in self._observations or probe.changed():
                self._observations[probe.kind] = self._observed(probe)
        self._warn_if_not_rerunnable(self.entry)

    def _observed(self, probe: Probe) -> Observation:
        observation = probe.observe()
        if probe.kind is Kind.EXECUTION and self._remark is not None:
            snapshot = observation.snapshot
            coverage = Coverage(snapshot.coverage.level, (*snapshot.coverage.reasons, self._remark))
            snapshot = Snapshot.of(Kind.EXECUTION, coverage, snapshot.state)
            return Observation(snapshot, observation.blobs)
        return observation

    def changed_since_start(self, begun: Iterable[Snapshot]) -> Iterable[Observation]:
        """Code and data once more after a trial: what it imported and read while it ran.

        Args:
            begun: The snapshots that the trial began with. Another trial of this process may have
                been observed since.
        """
        before = {snapshot.kind: snapshot for snapshot in begun}
        for probe in self._probes:
            if probe.kind not in (Kind.CODE, Kind.DATA):
                continue
            first = before[probe.kind]
            try:
                if probe.changed():
                    self._observations[probe.kind] = self._observed(probe)
            except CaptureError as error:
                # The trial is over and its result stands: the record says what is not known.
                gap = f"could not be observed again after the trial: {error.what}"
                yield Observation(_lacking(first, gap))
                continue
            now = self._observations[probe.kind]
            if probe.kind is Kind.DATA:
                now = Observation(_data_of_trial(first, now.snapshot), now.blobs)
            if now.snapshot.digest != first.digest:
                yield now

    @property
    def snapshots(self) -> tuple[Snapshot, ...]:
        """The last snapshot of each coordinate."""
        return tuple(observation.snapshot for observation in self._observations.values())

    def snapshot(self, kind: Kind) -> Snapshot:
        """The last snapshot of one coordinate."""
        return self._observations[kind].snapshot

    @property
    def code_and_data(self) -> tuple[Snapshot, Snapshot]:
        """The last snapshots of what a study's trials are to share."""
        return self.snapshot(Kind.CODE), self.snapshot(Kind.DATA)

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """The content that the last snapshots name."""
        return tuple(b for observation in self._observations.values() for b in observation.blobs)

    def _warn_if_not_rerunnable(self, entry: EntryPoint) -> None:
        if entry.how == "none" and not self._warned:
            warnings.warn(
                TrialbookWarning(
                    "trials of this objective are recorded but cannot be rerun: "
                    f"{entry.reason}; put the objective into a file to make them rerunnable"
                ),
                stacklevel=2,
            )
        self._warned = True


def _lacking(snapshot: Snapshot, gap: str) -> Snapshot:
    return Snapshot.of(snapshot.kind, snapshot.coverage.lacking(gap), snapshot.state)


def _data_of_trial(begun: Snapshot, now: Snapshot) -> Snapshot:
    """The data of a trial that is over: inputs as they were when it began, all that it read.

    Which content it read of an input that has changed meanwhile is not known, and is said.
    """
    before, after = begun.state_as(DataState), now.state_as(DataState)
    if before.inputs == after.inputs:
        return now
    digests = {item.name: item.digest for item in after.inputs}
    changed = [item.name for item in before.inputs if digests.get(item.name) != item.digest]
    coverage = begun.coverage
    for reason in now.coverage.reasons:
        if reason not in coverage.reasons:
            coverage = Coverage(coverage.level, (*coverage.reasons, reason))
    if changed:
        coverage = coverage.lacking(
            f"{', '.join(changed)} changed while the trial ran: recorded as it was at the start"
        )
    elif now.coverage.level is not Level.COMPLETE:
        coverage = Coverage(now.coverage.level, coverage.reasons)
    return Snapshot.of(Kind.DATA, coverage, DataState(before.inputs, after.undeclared))


def _directory_of(function: Callable[..., Any]) -> Path:
    """The directory of the file that defines a function, or the working directory."""
    file = _file_of(function)
    return file.parent if file is not None else Path.cwd()


def _file_of(function: Callable[..., Any]) -> Path | None:
    target: Any = inspect.unwrap(function)
    target = getattr(target, "func", target)  # functools.partial
    code = getattr(target, "__code__", None) or getattr(type(target).__call__, "__code__", None)
    module = sys.modules.get(getattr(target, "__module__", "") or "")
    name = code.co_filename if code is not None else getattr(module, "__file__", None)
    if name is None or not Path(name).is_file():
        return None
    return Path(name).resolve()


def directory_of_definition(function: Callable[..., Any]) -> Path:
    """Where relative paths of a decorator start: the defining file's directory, else the cwd."""
    return _directory_of(function)
