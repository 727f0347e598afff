"""Processes that are stopped for longer than their lease, and workers that die before a child."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from trialbook.book.retrying import Reaped
from trialbook.book.storage import BookStorage
from trialbook.records.execution import EndReason
from trialbook.running.reaping import reap
from trialbook.testing import invariants

from ..stopping import stop_outside_a_transaction
from .supervised import Lab, children, lives, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

LEASE_S = 1.0

# Writes down that it runs, and waits for a file before it goes on.
WAITING = """
import os, time
from pathlib import Path
here = Path(__file__).parent
def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    trial.log({"loss": x}, step=0)
    (here / f"began-{trial.number}-{os.getpid()}").touch()
    while not (here / "go").exists():
        time.sleep(0.01)
    trial.log({"loss": x}, step=1)
    return x
"""


@dataclass
class Processes:
    """One worker of a run, and what it has started."""

    coordinator: int
    workers: list[int]

    def of(self, worker: int) -> list[int]:
        """A worker's own children and theirs, the youngest last."""
        below = children(worker)
        return below + [pid for child in below for pid in children(child)]

    def all(self) -> list[int]:
        return [self.coordinator, *self.workers, *(p for w in self.workers for p in self.of(w))]


@pytest.fixture
def lab(tmp_path: Path, url: str) -> Iterator[Lab]:
    lab = Lab(tmp_path, url)
    lab.write(WAITING, "budget: {trials: 2}\nretries: {backoff_s: 0}\n")
    yield lab
    lab.end()


def _began(lab: Lab, run: subprocess.Popen[str], count: int = 1) -> Processes:
    """Wait until so many trials run."""
    wait_until(lambda: len(list(lab.place.glob("began-*"))) >= count)
    return Processes(run.pid, children(run.pid))


def _finished(run: subprocess.Popen[str]) -> str:
    said, _ = run.communicate(timeout=150)
    assert run.returncode == 0, said
    return said


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _stop(lab: Lab, pids: list[int]) -> None:
    storage = BookStorage(lab.url, create=False)
    stop_outside_a_transaction(storage, *pids)
    storage.close()


def _reaped(lab: Lab, within_s: float = 60.0) -> list[Reaped]:
    """Reap as another worker would, until something is overdue."""
    storage = BookStorage(lab.url, create=False)
    found: list[Reaped] = []
    wait_until(lambda: found.extend(reap(storage, lab.study)) or found, within_s)
    storage.close()
    return found


def _living_leases(lab: Lab) -> int:
    return sum((trial.attempts[0].lease_s or 0) > time.time() for trial in lab.trials())


def _ends(lab: Lab) -> list[list[EndReason | None]]:
    return [[attempt.end_reason for attempt in trial.attempts] for trial in lab.trials()]


def test_a_worker_that_was_stopped_past_its_lease_counts_once(lab: Lab) -> None:
    """Its trial is given to another attempt; what the first one tells is kept and not counted."""
    run = lab.begin()
    processes = _began(lab, run)
    _stop(lab, processes.workers)  # the trial itself goes on
    assert [r.number for r in _reaped(lab)] == [0]
    (lab.place / "go").touch()
    wait_until(lambda: [s.count for s in lab.trials()[0].attempts[0].series] == [2])
    assert lab.trials()[0].state == "WAITING"
    _signal(processes.workers, signal.SIGCONT)
    _finished(run)
    assert [trial.state for trial in lab.trials()] == ["COMPLETE"] * 2
    assert _ends(lab) == [[EndReason.LOST, EndReason.COMPLETE], [EndReason.COMPLETE]]
    assert invariants(lab.url, overdue_s=0.25) == []


def test_a_trial_that_was_stopped_with_its_worker_is_ended_by_it(lab: Lab) -> None:
    """Awake again, the worker finds that it has lost the trial, and ends the process."""
    run = lab.begin()
    processes = _began(lab, run)
    (worker,) = processes.workers
    below = processes.of(worker)
    _stop(lab, [worker, *below])
    assert [r.number for r in _reaped(lab)] == [0]
    _signal([worker, *below], signal.SIGCONT)
    trial = int(next(lab.place.glob("began-0-*")).name.rpartition("-")[2])
    wait_until(lambda: not lives(trial))
    (lab.place / "go").touch()
    _finished(run)
    assert [trial.state for trial in lab.trials()] == ["COMPLETE"] * 2
    assert _ends(lab)[0] == [EndReason.LOST, EndReason.COMPLETE]
    assert invariants(lab.url, overdue_s=0.25) == []


def test_a_machine_that_slept_through_its_leases_keeps_its_trials(lab: Lab) -> None:
    """Two workers wake up one after the other; neither takes the other's trial."""
    # Long enough for the first one to be awake for a while before the second one is.
    lease_s = 4.0
    lab.write(WAITING, "budget: {trials: 2}\nworkers: 2\nretries: {backoff_s: 0}\n", lease_s)
    run = lab.begin()
    processes = _began(lab, run, count=2)
    everybody = processes.all()
    assert len(processes.workers) == 2
    _stop(lab, everybody)
    time.sleep(lease_s * 1.2)  # the fault itself: it is asleep for longer than a lease
    assert _living_leases(lab) == 0
    _, second = processes.workers
    _signal([pid for pid in everybody if pid != second], signal.SIGCONT)
    wait_until(lambda: _living_leases(lab))  # the first one has renewed its own
    _signal([second], signal.SIGCONT)
    (lab.place / "go").touch()
    _finished(run)
    assert [trial.state for trial in lab.trials()] == ["COMPLETE"] * 2
    assert _ends(lab) == [[EndReason.COMPLETE]] * 2
    assert invariants(lab.url, overdue_s=0.25) == []


PLAIN = """
import sys, time, warnings
from pathlib import Path
import trialbook
from trialbook import tracked_objective
from trialbook.records.retries import RetryBudgets
from trialbook.records.study import StudySpec
place, patient = Path(sys.argv[2]), sys.argv[3] == "waits"

@tracked_objective
def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    trial.log({"loss": x}, step=0)
    (place / f"began-{trial.number}").touch()
    while patient and not (place / "go").exists():
        time.sleep(0.01)
    trial.set_user_attr("who", sys.argv[3])
    return x + (100 if patient else 0)

spec = StudySpec(retries=RetryBudgets(backoff_s=0.0), lease_s=1.0)
study = trialbook.create_study(study_name="s", storage=sys.argv[1], direction="minimize",
                               load_if_exists=True, spec=spec)
with warnings.catch_warnings(record=True) as heard:
    warnings.simplefilter("always")
    study.optimize(objective, n_trials=1)
print([str(warning.message) for warning in heard])
study._storage.close()
"""


def _plain(lab: Lab, how: str) -> subprocess.Popen[str]:
    file = lab.place / "plain.py"
    file.write_text(PLAIN)
    command = [sys.executable, file, lab.url, lab.place, how]
    return lab.started(command)


def test_a_plain_process_that_was_stopped_past_its_lease_counts_once(lab: Lab) -> None:
    stopped = _plain(lab, "waits")
    wait_until((lab.place / "began-0").exists)
    _stop(lab, [stopped.pid])
    assert [r.number for r in _reaped(lab)] == [0]
    _finished(_plain(lab, "hurries"))
    (lab.place / "go").touch()
    _signal([stopped.pid], signal.SIGCONT)
    assert "does not count" in _finished(stopped)
    (trial,) = lab.trials()
    assert trial.values == (trial.params[0].value,)
    assert trial.user_attrs == {"who": "hurries"}
    assert _ends(lab) == [[EndReason.LOST, EndReason.COMPLETE]]
    assert invariants(lab.url, overdue_s=0.25) == []


def test_a_plain_process_that_slept_keeps_its_trial(lab: Lab) -> None:
    slept = _plain(lab, "waits")
    wait_until((lab.place / "began-0").exists)
    _stop(lab, [slept.pid])
    time.sleep(LEASE_S * 1.5)
    _signal([slept.pid], signal.SIGCONT)
    wait_until(lambda: (lab.trials()[0].attempts[0].lease_s or 0) > time.time())
    (lab.place / "go").touch()
    assert "does not count" not in _finished(slept)
    assert _ends(lab) == [[EndReason.COMPLETE]]


LOCKING = """
import os, time
from pathlib import Path
here = Path(__file__).parent
def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    mark = here / f"holds-{trial.number}"
    if trial.number == 0 and not mark.exists():
        book = trial.study._storage.book
        with book.writing() as connection:
            mark.touch()
            (here / f"began-0-{os.getpid()}").touch()
            time.sleep(600)
    return x
"""


def test_a_child_whose_supervisor_is_killed_ends_and_holds_no_lock(lab: Lab) -> None:
    """It dies in the middle of a transaction, with the book's write lock in its hands."""
    lab.write(LOCKING, "budget: {trials: 2}\nretries: {backoff_s: 0}\n")
    run = lab.begin()
    processes = _began(lab, run)
    (worker,) = processes.workers
    below = processes.of(worker)
    assert len(below) == 2  # the child, and the trial that it forked
    _signal([worker], signal.SIGKILL)
    wait_until(lambda: not any(lives(pid) for pid in below))
    storage = BookStorage(lab.url, create=False)
    # It would be refused, were the lock still held.
    storage.set_study_user_attr(storage.get_study_id_from_name("s"), "written", 1)
    storage.close()
    _finished(run)
    assert [trial.state for trial in lab.trials()] == ["COMPLETE"] * 2
    assert _ends(lab)[0] == [EndReason.LOST, EndReason.COMPLETE]
    assert invariants(lab.url, overdue_s=0.25) == []
