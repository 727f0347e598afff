"""Programs that die at their N-th write call, each followed by one that goes on.

``python kill_points.py PROGRAM PLACE URL EVERY`` forks a process for each kill point: the points
are counted before each statement that changes a row, before and after each COMMIT, and before
each change of a file below PLACE. SQLite books lie in directories of their own, copied from one
with the study in it; on a server each has its study. When all have died their successors go on,
each in a process of its own. One JSON line a kill point goes to standard output; what the killed
process was told to be done lies in ``PLACE/N/acknowledged``.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

import trialbook
from trialbook.book.storage import BookStorage
from trialbook.records.blobs import Blob
from trialbook.records.checkpoints import Told
from trialbook.records.config import ConfigState
from trialbook.records.coordinates import Kind, Snapshot
from trialbook.records.coverage import Coverage
from trialbook.records.execution import EndReason, OutcomeState, Seeds
from trialbook.records.retries import RetryBudgets
from trialbook.records.study import StudySpec
from trialbook.records.workers import Claim, Holder, WaitFor, WorkerIdentity

if __package__:  # imported by a test, and not started
    from .fatal import Points
else:
    from fatal import Points

LEASE_S = 1.0
TRIALS = 2
STEPS = 5
_MOST_POINTS = 2000


@dataclass(frozen=True)
class Case:
    """One book, or one study of a server's, with its own kill point."""

    place: Path
    url: str
    study: str

    def acknowledge(self, what: dict[str, Any]) -> None:
        """Write down that a call has returned; the line outlives this process."""
        with (self.place / "acknowledged").open("a") as file:
            file.write(json.dumps(what) + "\n")


def identity() -> WorkerIdentity:
    return WorkerIdentity(os.urandom(16).hex(), "here", os.getpid())


def value_of(number: int) -> float:
    return number + 0.25


# The programs. Each goes on to the budget from wherever the study stands, also after a death.


def leased(case: Case) -> None:
    """What a worker and its child do, in one process, through the storage."""
    storage = BookStorage(case.url)
    study_id = storage.get_study_id_from_name(case.study)
    holder = Holder(identity(), LEASE_S)
    storage.leases.register(holder.worker, study_id)
    storage.reap(study_id)
    config = Snapshot.of(Kind.CONFIG, Coverage.of(()), ConfigState(resolved={"layers": 2}))
    model = case.place / "model"
    model.write_bytes(b"weights" * 40_000)
    while (claim := storage.claim(study_id, budget=TRIALS, holder=holder)) is not None:
        if isinstance(claim, WaitFor):
            time.sleep(min(claim.seconds, 0.05))
            continue
        _leased_trial(case, storage, claim, config, model)
    storage.leases.leave(holder.worker.worker_id)
    storage.close()


def _leased_trial(
    case: Case, storage: BookStorage, claim: Claim, config: Snapshot, model: Path
) -> None:
    big, small = Blob.of(os.urandom(300_000)), Blob.of(b"code")
    attempt = storage.begin_attempt(
        claim.trial_id,
        snapshots=[config],
        blobs=[big, small],
        seeds=Seeds(trial=1),
        claimed=claim.attempt,
    )
    found = attempt.load_checkpoint(lambda: Path(tempfile.mkdtemp(dir=case.place))).path
    first = 0 if found is None else int(found.read_text())
    storage.set_trial_param(claim.trial_id, "x", 0.5, FloatDistribution(0, 1))
    storage.flush()
    here: dict[str, Any] = {"number": claim.number, "attempt": claim.attempt}
    case.acknowledge({"number": claim.number, "param": 0.5})
    for step in range(first, STEPS):
        attempt.log({"loss": float(step)}, step, 0.0)
        storage.set_trial_intermediate_value(claim.trial_id, step, float(step))
        if step == 2:
            storage.set_trial_user_attr(claim.trial_id, "note", "n")
            storage.flush()
            case.acknowledge({**here, "points": step + 1 - first})
            attempt.add_artifact("model", model, "application/octet-stream")
            case.acknowledge({**here, "artifact": "model"})
        if step in (1, 3):
            (case.place / "state").write_text(str(step + 1))
            attempt.save_checkpoint(case.place / "state", Told({}, {}, {}))
            case.acknowledge({**here, "checkpoint": step})
    value = value_of(claim.number)
    attempt.returned(value)
    attempt.end(OutcomeState(EndReason.COMPLETE), [Blob.of(b"console")])
    storage.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, [value])
    case.acknowledge({"number": claim.number, "value": value})


def optimize(case: Case) -> None:
    """A plain ``study.optimize`` of a tracked objective."""
    from objective import objective

    study = trialbook.load_study(study_name=case.study, storage=case.url)
    storage = study._storage
    storage.reap(study._study_id)

    def told(_: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        if trial.value is not None:
            case.acknowledge({"number": trial.number, "value": trial.value})

    while (left := TRIALS - sum(t.state.is_finished() for t in study.trials)) > 0:
        study.optimize(objective, n_trials=left, callbacks=[told])
    storage.close()


def created(case: Case) -> None:
    """A book that is made, with its study and one trial."""
    storage = BookStorage(case.url)
    try:
        study_id = storage.get_study_id_from_name(case.study)
    except KeyError:
        study_id = storage.create_new_study([optuna.study.StudyDirection.MINIMIZE], case.study)
    case.acknowledge({"study": case.study})
    while len(trials := storage.get_all_trials(study_id)) < TRIALS:
        trial_id = storage.create_new_trial(study_id)
        storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [value_of(len(trials))])
        case.acknowledge({"number": len(trials), "value": value_of(len(trials))})
    for trial in trials:
        if not trial.state.is_finished():
            value = [value_of(trial.number)]
            storage.set_trial_state_values(trial._trial_id, TrialState.COMPLETE, value)
    storage.close()


PROGRAMS: dict[str, Callable[[Case], None]] = {
    "leased": leased,
    "optimize": optimize,
    "created": created,
}


# The harness.


def forked(work: Callable[[], None]) -> int:
    """Run it in a forked process; its exit code, or minus the number of its signal."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        os.dup2(2, 1)
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def make_study(url: str, study: str) -> None:
    spec = StudySpec(retries=RetryBudgets(backoff_s=0.0), lease_s=LEASE_S)
    trialbook.create_study(
        storage=url,
        study_name=study,
        direction="minimize",
        seed=1,
        spec=spec,
    )._storage.close()


class Harness:
    def __init__(self, program: str, place: Path, url: str, every: int) -> None:
        self._run = PROGRAMS[program]
        self._makes = program == "created"
        self._place = place
        self._url = url
        self._every = every
        self._template = place / "template"

    def prepare(self) -> None:
        if self._run is optimize:
            _write_objective(self._place / "code")
            sys.path.insert(0, str(self._place / "code"))
            import objective  # noqa: F401 - so that no fork imports it anew
        self._template.mkdir()
        if not self._makes:
            make_study(self._url or f"sqlite:///{self._template / 'book.db'}", "template")
        # What each process would import and compile, the same each time.
        (created if self._makes else leased)(self.case(0))

    def case(self, number: int) -> Case:
        place = self._place / str(number)
        if self._url:
            place.mkdir()
            study = f"s{number}"
            if not self._makes:
                make_study(self._url, study)
            return Case(place, self._url, study)
        shutil.copytree(self._template, place)
        return Case(place, f"sqlite:///{place / 'book.db'}", "template")

    def victim(self, case: Case, fatal: int) -> None:
        said = os.open(case.place / "said", os.O_WRONLY | os.O_CREAT)
        os.dup2(said, 3)
        points = Points(fatal)
        points.install(case.place)
        self._run(case)

    def loop(self) -> None:
        killed: list[tuple[int, Case, float]] = []
        for fatal in range(1, _MOST_POINTS, self._every):
            case = self.case(fatal)
            code = forked(lambda: self.victim(case, fatal))  # noqa: B023 - runs at once
            if code not in (0, -signal.SIGKILL):
                sys.exit(f"the program failed by itself at point {fatal}: {code}")
            killed.append((fatal, case, time.monotonic()))
            if code == 0:
                break
        for fatal, case, died_s in killed:
            over_s = died_s + LEASE_S * 1.25  # a lease and one reap interval
            while time.monotonic() < over_s:
                time.sleep(over_s - time.monotonic())
            code = forked(lambda: self._run(case))  # noqa: B023
            said = (case.place / "said").read_text().strip()
            line = {"point": fatal, "said": said, "successor": code}
            print(json.dumps({**line, "url": case.url, "study": case.study}), flush=True)


_OBJECTIVE = """
from trialbook import tracked_objective

@tracked_objective(data={"train": "train.csv"}, config={"layers": 2}, seed=7)
def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    trial.suggest_categorical("kind", ["a", "b"])
    found = trial.load_checkpoint()
    for step in range(0 if found is None else int(found.read_text()), 5):
        trial.log({"loss": x + step}, step=step)
        trial.report(x + step, step)
        if step in (1, 3):
            (trial.dir / "state").write_text(str(step + 1))
            trial.save_checkpoint(trial.dir / "state")
    trial.set_user_attr("note", "n")
    print("trial", trial.number)
    (trial.dir / "model").write_bytes(b"weights" * 40_000)
    trial.log_artifact(trial.dir / "model")
    return x
"""


def _write_objective(place: Path) -> None:
    place.mkdir()
    (place / "objective.py").write_text(_OBJECTIVE)
    (place / "train.csv").write_text("a,b\n1,2\n")


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    harness = Harness(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    harness.prepare()
    harness.loop()
