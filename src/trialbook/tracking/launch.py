"""How this process came to run objectives; a worker says so before it imports anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trialbook.capture.shared_digests import Ask
from trialbook.records.code import CodeState, EntryPoint
from trialbook.records.config import ConfigState
from trialbook.records.execution import Isolation
from trialbook.tracking.beacon import Beacon
from trialbook.tracking.console import ConsoleCapture


@dataclass(frozen=True, slots=True)
class RestoredTree:
    """Code that was restored from the book, where this process runs it.

    Args:
        root: Stands for the root of the code.
        code: What it was restored from.
        caches: For caches that are of no use when the tree is gone.
        scope: What its data are about, for the cache of their digests: the tree lies elsewhere
            each time.
    """

    root: Path
    code: CodeState
    caches: Path
    scope: str


@dataclass(frozen=True, slots=True)
class Launch:
    """The launch of this process.

    Args:
        isolation: ``none`` in the caller's own process, else how trials are kept apart.
        reason: Why this isolation was chosen, ``None`` when nothing had to be chosen.
        launcher: Engine that placed the worker.
        job_id: The engine's id of the job.
        entry: How the objective was named, when a command named it.
        data: Input name to path, for inputs that lie elsewhere on this machine.
        paranoid: Hash the data again even when its stat has not changed.
        console: Makes the capture of a trial's console; the default replaces ``sys.stdout`` and
            ``sys.stderr``.
        beacon: What a trial shares with the supervisor of this process.
        claimed: Number of the attempt that the supervisor claimed for the trial that runs next;
            ``None`` when there is no supervisor.
        differs: How this process differs from the study that it was let into, see ``LaunchState``.
        tree: Where the code lies when it was restored from the book.
        ask: Asks for digests of data files that other workers have computed; ``None`` for nobody.
        config: The record that the configuration was taken from, if it was.
    """

    isolation: Isolation = "none"
    reason: str | None = None
    launcher: str = "local"
    job_id: str | None = None
    entry: EntryPoint | None = None
    data: Mapping[str, Path] = field(default_factory=dict)
    paranoid: bool = False
    console: Callable[[], ConsoleCapture] | None = None
    beacon: Beacon = field(default_factory=Beacon)
    claimed: int | None = None
    differs: tuple[str, ...] = ()
    tree: RestoredTree | None = None
    ask: Ask | None = None
    config: ConfigState | None = None


_launch = Launch()


def set_launch(launch: Launch) -> None:
    """Say how this process came to run objectives; call it before the first trial."""
    global _launch
    _launch = launch


def current_launch() -> Launch:
    """How this process came to run objectives."""
    return _launch
