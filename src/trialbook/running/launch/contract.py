"""What every launcher does, whatever its engine: the contract that all of them pass.

A launcher places ``trialbook worker`` processes, says what its engine knows of them, shows what
they printed, and ends them. It hands out no trial, counts no budget and tries nothing again by
itself: the book does, and where the engine and the book disagree about a worker, its lease in the
book decides who holds a trial. Draining is no launcher's business either: it is asked through the
book, so it reaches a worker that the engine has lost sight of.

``trialbook.testing.launching`` is the suite. Registering an engine is in ``engines.py``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from trialbook.records.launches import JobId, JobStatus, PlacedJob

Placed = Callable[[PlacedJob], None]
"""Is told of each job as soon as the engine has taken it."""


@dataclass(frozen=True, slots=True)
class WorkerOrder:
    """The workers that a launcher is to place; all of one launch are alike.

    Args:
        launch_id: Id of the launch.
        study: Name of the study.
        arguments: Options of ``trialbook worker`` for all of them; no credential is among them.
        environment: Variables that the workers need, credentials among them
            (``TRIALBOOK_STORAGE`` with its password): they must reach the worker without standing
            in any command line, script or file that others can read.
        directory: The launch's own directory on this machine; it exists, for scripts and logs.
    """

    launch_id: str
    study: str
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path = field(default_factory=Path)

    def worker_arguments(self, index: int) -> tuple[str, ...]:
        """Everything behind ``trialbook`` for one of them: one text an argument, never a line."""
        job = str(JobId(self.launch_id, index))
        return ("worker", "--job", job, *self.arguments, "--", self.study)

    def command(self, python: str, index: int) -> tuple[str, ...]:
        """The whole command line of one of them.

        Args:
            python: The interpreter on the worker's machine.
            index: Which worker.
        """
        # What lies in the directory where it begins must not stand in the way of its modules.
        return (python, "-P", "-m", "trialbook", *self.worker_arguments(index))


class Launcher(ABC):
    """One engine with the options that the user gave for it.

    The command line gives every engine these under the same names, and only where the user gave
    them: ``python`` (the interpreter on the worker's machine; without it ``sys.executable``),
    ``gpus_per_worker`` (a whole number), ``hosts`` (a list of texts, from ``--host`` and
    ``--hosts``), ``address`` (a text). What ``-o KEY=VALUE`` gives stands under its key as text, as
    ``True`` without a value, as a list of both where the key was given several times.

    Args:
        options: As they were given, and as ``LaunchRecord.options`` keeps them: a later command
            makes the same launcher again from them. Values that JSON can hold.

    Raises:
        InvalidInputError: Options that this engine does not have or cannot take, all at once.
        MissingEngineError: The engine is not installed or not to be reached here.
    """

    engine: ClassVar[str]

    @abstractmethod
    def __init__(self, options: Mapping[str, Any]) -> None: ...

    @property
    def stays_here(self) -> bool:
        """Whether every worker is certain to run on this machine, where a local book will do."""
        return False

    def environment(self, workers: int) -> Mapping[str, str]:
        """Variables that each of so many workers gets from this engine, all of them alike.

        What is observed as a study's reference is observed with these, so that the workers need
        not tell of them as a difference.
        """
        del workers
        return {}

    @abstractmethod
    def submit(self, order: WorkerOrder, workers: int, placed: Placed) -> None:
        """Place so many workers.

        Args:
            order: What to start.
            workers: How many, at least 1; their indices go from 0 up.
            placed: Called for each job once the engine has taken it, so that none is forgotten
                when a later one fails.

        Raises:
            LaunchError: The engine refused, or some could not be placed; each is named.
        """

    @abstractmethod
    def status(self, jobs: Sequence[PlacedJob]) -> dict[int, JobStatus]:
        """What the engine says of jobs now, by index; one that it does not know is ``UNKNOWN``.

        Raises:
            LaunchError: The engine cannot be asked at all.
        """

    @abstractmethod
    def log(self, job: PlacedJob, *, follow: bool = False) -> Iterator[bytes]:
        """What a job's worker has printed, oldest first, in pieces of any size.

        Args:
            job: The job.
            follow: Go on until the job has ended.

        Raises:
            LaunchError: There is no log, or it cannot be read; it says where it was looked for.
        """

    @abstractmethod
    def cancel(self, jobs: Sequence[PlacedJob]) -> dict[int, str | None]:
        """End jobs: ask their workers to stop (SIGTERM or the engine's own), pending ones at once.

        A worker that is asked gives its trial back, with a checkpoint where the objective saves
        one. A job that has ended already is no fault.

        Returns:
            By index, ``None`` for one that was asked or had ended, else why it could not be.
        """
