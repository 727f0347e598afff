"""The laboratory of the launchers' contract: a study whose trials wait until a gate is opened.

The study's name, a path and what the workers are told are hostile: whatever hands them to a shell
leaves a file behind. What is promised is in ``launching.py``.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from trialbook.book.launches import new_launch_id
from trialbook.book.reading import Reader
from trialbook.book.storage import BookStorage
from trialbook.records.launches import JobId, LaunchPin, PlacedJob
from trialbook.records.study import TrialRecord
from trialbook.records.workers import WorkerRecord
from trialbook.running.launch.contract import WorkerOrder

WORKERS = 2
TRIALS = 60
LEASE_S = 5.0
_DEADLINE_S = 120.0
_POLL_S = 0.05

_OBJECTIVE = """
import hashlib
import os
import time
from pathlib import Path

PLACE = Path({place!r})


def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    trial.set_user_attr("train", str(trial.data["train"]))
    told = os.environ.get("LAUNCH_SECRET", "")
    trial.set_user_attr("secret", hashlib.sha256(told.encode()).hexdigest())
    gates = [PLACE / "open", PLACE / f"open-{{trial.number}}"]
    while trial.number and not any(gate.exists() for gate in gates):
        if trial.should_stop():
            break
        time.sleep(0.02)
    return x
"""
_STUDY = """
objective: train.py:objective
seed: 7
lease: LEASE
retries: {backoff_s: 0}
data: {train: train.csv}
"""


@dataclass
class Laboratory:
    """A study on a book, whose trials wait until a gate is opened.

    Args:
        place: A directory that the workers see too.
        url: The storage URL.
        storage: The same, open.
        environment: What the workers need beside it.
    """

    place: Path
    url: str
    storage: BookStorage
    environment: dict[str, str]
    launches: list[Launched] = field(default_factory=list)
    secret: str = field(default_factory=secrets.token_urlsafe)

    @property
    def study(self) -> str:
        """A name that is up to no good."""
        mark = self.place / "executed"
        return (
            f"-rf $(touch {mark}) `touch {mark}`; touch {mark} | \"; touch {mark}; '; touch {mark}"
            f"\ntouch {mark}\n%j $HOME \\ ünï ✓ --help"
        )

    @property
    def train(self) -> Path:
        """A path of the same kind; it leads through several directories."""
        return self.place / f"-d $(touch {self.place}/executed) '\"; \n`x`" / "train, =ñ.csv"

    @property
    def study_id(self) -> int:
        """The book's id of the study."""
        return self.storage.get_study_id_from_name(self.study)

    @property
    def executed(self) -> list[Path]:
        """What a shell has left behind."""
        return list(self.place.rglob("executed"))

    @property
    def trials(self) -> list[TrialRecord]:
        """The trials as the book has them."""
        return list(Reader(self.storage.book).trials(self.study))

    def trial(self, number: int) -> TrialRecord:
        """One of them."""
        return Reader(self.storage.book).trial(f"{self.study}/{number}")

    def attr(self, number: int, name: str) -> object:
        """A user attribute of a trial, ``None`` before it is there."""
        return self.trial(number).user_attrs.get(name)

    def running(self, launch: Launched) -> dict[int, TrialRecord]:
        """The RUNNING trials of a launch's workers, by the index of their job."""
        jobs = {w.identity.worker_id: index for index, w in self.workers(launch).items()}
        found = {}
        for trial in self.trials:
            attempt = trial.attempt
            if trial.state == "RUNNING" and attempt is not None and attempt.worker_id in jobs:
                found[jobs[attempt.worker_id]] = trial
        return found

    def workers(self, launch: Launched) -> dict[int, WorkerRecord]:
        """The newest worker of each job of a launch, by index."""
        names = {str(JobId(launch.order.launch_id, index)): index for index in range(WORKERS)}
        return {
            names[worker.identity.launch]: worker
            for worker in self.storage.leases.workers(self.study_id)
            if worker.identity.launch in names
        }

    def open(self, number: int | None = None) -> None:
        """Let one trial go on to its end, or all."""
        (self.place / ("open" if number is None else f"open-{number}")).touch()

    def close(self) -> None:
        """Let trials wait again."""
        (self.place / "open").unlink(missing_ok=True)

    def make(self) -> None:
        """Create the study, with a first trial that says what all are held to."""
        (self.place / "train.py").write_text(_OBJECTIVE.format(place=str(self.place)))
        (self.place / "s.yaml").write_text(_STUDY.replace("LEASE", str(LEASE_S)))
        self.train.parent.mkdir(parents=True)
        for file in (self.place / "train.csv", self.train):
            file.write_text("a,b\n1,2\n")
        done = subprocess.run(
            [
                *(sys.executable, "-m", "trialbook", "run", "s.yaml", "--trials", "1"),
                *("--study", self.study),
            ],
            cwd=self.place,
            env={**os.environ, **self.environment, "TRIALBOOK_STORAGE": self.url},
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        spec = self.storage.get_study_record(self.study_id).spec
        assert spec is not None
        more = replace(spec, search=replace(spec.search, trials=TRIALS))
        self.storage.set_study_spec(self.study_id, more)
        self.storage.fix_reference(self.study_id)

    def order(self) -> WorkerOrder:
        """A new launch's order."""
        code = self.trial(0).attempts[0].coordinates.code
        assert code is not None
        launch_id = new_launch_id()
        directory = self.place / launch_id
        directory.mkdir()
        pin = LaunchPin(self.storage.book.book_id, code)
        return WorkerOrder(
            launch_id,
            self.study,
            ("--data", f"train={self.train}", "--grace", "30", "--pinned", str(pin)),
            {**self.environment, "TRIALBOOK_STORAGE": self.url, "LAUNCH_SECRET": self.secret},
            directory,
        )


@dataclass
class Launched:
    """A launch, and what the engine took of it."""

    order: WorkerOrder
    jobs: list[PlacedJob] = field(default_factory=list)


def until(condition: Callable[[], Any], what: Callable[[], object] = lambda: "") -> Any:
    """Wait until something is true; gives it."""
    deadline = time.monotonic() + _DEADLINE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, f"it has not come true: {what()}"
        time.sleep(_POLL_S)
    return found
