"""A worker as the coordinator of its run sees it, and what it can be told.

When it is told so, and what becomes of its trial, is decided in ``coordinator.py``.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass

from trialbook.running.messages import Drain, Employ, FromWorker, Job, Leave, Next, Stop
from trialbook.running.processes import RunProcess, started


@dataclass(slots=True, eq=False)
class Employee:
    """A worker of a run. Times are monotonic, in seconds.

    Attributes:
        number: Its place in the run; who replaces it has the same.
        worker_id: Its id in the book.
        run: Its process.
        started_s: When it was started.
        trial_id: The trial that it runs, ``None`` for none.
        is_idle: Whether it waits to be told to begin a trial.
        waits_until_s: When it is to look for a trial again, ``None`` for at once.
        prepared: Whether it has imported the objective.
        leaving_s: Since when it is to leave, ``None`` while it is not.
        abandoned: Whether nobody waits for its trial any more.
        slow_import_said: Whether it was said that its import takes long.
    """

    number: int
    worker_id: str
    run: RunProcess
    started_s: float
    trial_id: int | None = None
    is_idle: bool = False
    waits_until_s: float | None = None
    prepared: bool = False
    leaving_s: float | None = None
    abandoned: bool = False
    slow_import_said: bool = False

    @classmethod
    def hired(cls, number: int, environment: Mapping[str, str]) -> Employee:
        """A worker whose process has been started; it is to be told its job."""
        run = started("worker", FromWorker, piped=False, environment=environment)
        return cls(number, secrets.token_hex(16), run, time.monotonic())

    @property
    def is_leaving(self) -> bool:
        """Whether it begins no trial any more."""
        return self.leaving_s is not None

    def employ(self, job: Job) -> None:
        """Tell it what it is to run."""
        self.run.channel.send(Employ(self.worker_id, job))

    def leaves(self) -> None:
        """It is about to leave, from now on at the latest."""
        if self.leaving_s is None:
            self.leaving_s = time.monotonic()

    def begin(self, *, more_to_come: bool, budget: int | None) -> None:
        """Let it begin a trial."""
        self.is_idle, self.waits_until_s = False, None
        self.run.channel.send(Next(more_to_come, budget))

    def drain(self) -> None:
        """Let it finish its trial and leave."""
        if self.leaving_s is None:
            self.leaving_s = time.monotonic()
            self.run.channel.send(Drain())

    def ask_to_stop(self) -> None:
        """Let its trial come to an end soon, and leave."""
        self.leaves()
        self.run.channel.send(Stop())

    def dismiss(self, *, gives_back: bool = False) -> None:
        """Let it leave at once; its trial is given back, or abandoned."""
        self.leaving_s = time.monotonic()
        self.abandoned = True
        self.run.channel.send(Leave(gives_back))
