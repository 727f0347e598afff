"""Workers as jobs of SLURM: the contract of launchers, and what a cluster does to jobs.

A controller and two nodes run on this machine. What is taken away from a worker here (its place,
its time, its node) is taken away by SLURM itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from secrets import token_hex
from textwrap import dedent
from typing import Any

import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState

from trialbook.book.reading import Reader
from trialbook.book.storage import BookStorage
from trialbook.errors import InvalidInputError, LaunchError, MissingEngineError
from trialbook.records.config import SearchSettings
from trialbook.records.coordinates import Kind
from trialbook.records.execution import EndReason, LaunchState
from trialbook.records.launches import DRAIN, JobState, JobStatus, LaunchRecord, PlacedJob
from trialbook.records.study import StudySpec, TrialRecord
from trialbook.records.workers import Claim, Holder, WorkerIdentity, WorkerRecord
from trialbook.running.launch.contract import WorkerOrder
from trialbook.running.launch.launching import LaunchOptions, WorkerSettings, launch
from trialbook.running.launch.slurm import SlurmLauncher
from trialbook.running.launch.slurm_left import Left, left
from trialbook.running.launch.slurm_options import SlurmOptions
from trialbook.running.launch.slurm_order import SlurmOrder
from trialbook.running.launch.slurm_queue import Standing, accounts_of, standing_of
from trialbook.running.spec import RunSpec, read_spec
from trialbook.testing.laboratory import until
from trialbook.testing.launching import LauncherContract

from ...slurm import Cluster, missing

HOSTILE = "$(touch executed) `touch executed`; touch executed\n'\" --wrap=x %j \\ ünï ✓"

BACK = "there is more to do: this job is back in the queue"

OBJECTIVE = """
    import time
    from pathlib import Path

    PLACE = Path({place!r})

    def objective(trial):
        x = trial.suggest_float("x", 0, 1)
        found = trial.load_checkpoint()
        trial.set_user_attr("went on from", None if found is None else found.read_text())
        while not (PLACE / f"open-{{trial.number}}").exists():
            if not (PLACE / "deaf").exists() and trial.should_stop():
                state = trial.dir / "state.txt"
                state.write_text("half of it")
                trial.save_checkpoint(state)
                return None
            time.sleep(0.02)
        return x
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    if lacking := missing():
        pytest.skip(f"SLURM is not installed: {', '.join(lacking)} cannot be found")
    with Cluster() as cluster, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", cluster.environment["SLURM_CONF"])
        yield cluster


@pytest.mark.slow
class TestContract(LauncherContract):
    engine = "slurm"
    ended_well = ("COMPLETED",)

    @pytest.fixture(scope="class")
    @classmethod
    def options(cls, cluster: Cluster) -> Mapping[str, Any]:
        return {"job-name": HOSTILE, "comment": HOSTILE, "partition": "lab"}

    # SLURM takes a whole array or none of it: see ``test_what_slurm_refuses_is_said``.
    test_what_was_placed_is_known_when_another_could_not_be = None  # type: ignore[assignment]


@dataclass
class Lab:
    """A study whose trials wait until they may go on, and its workers in SLURM."""

    place: Path
    cluster: Cluster
    storage: BookStorage

    def launch(
        self, target: str | RunSpec, *, idle_exit_s: float | None = None, **options: Any
    ) -> Job:
        """Place one worker."""
        record = launch(
            target,
            LaunchOptions(
                engine="slurm",
                storage=f"sqlite:///{self.place / 'book.db'}",
                engine_options=options,
                settings=WorkerSettings(grace_s=30, idle_exit_s=idle_exit_s),
                same_machine=True,
            ),
        )
        assert record is not None
        return Job(self, f"{record.launch_id}/0", *record.jobs)

    def open(self, trial: TrialRecord) -> None:
        """Let a trial go on to its end."""
        (self.place / f"open-{trial.number}").touch()

    @property
    def trials(self) -> list[TrialRecord]:
        return list(Reader(self.storage.book).trials("s"))

    @property
    def workers(self) -> list[WorkerRecord]:
        return self.storage.leases.workers(self.storage.get_study_id_from_name("s"))


@dataclass(frozen=True)
class Job:
    """One worker's job; in the course of time it may have several workers."""

    lab: Lab
    launched_as: str
    placed: PlacedJob

    @property
    def status(self) -> JobStatus:
        return SlurmLauncher({}).status([self.placed])[0]

    @property
    def log(self) -> str:
        log = Path(str(self.placed.log))
        return log.read_text() if log.exists() else ""

    @property
    def workers(self) -> list[WorkerRecord]:
        return [w for w in self.lab.workers if w.identity.launch == self.launched_as]

    def holds(self, runs: int = 1) -> TrialRecord:
        """Wait until so many runs of the job have begun, and the last of them holds a trial."""
        return until(partial(self._held, runs), lambda: (self.status, self.log))

    def _held(self, runs: int) -> TrialRecord | None:
        if len(workers := self.workers) < runs:
            return None
        last = workers[-1].identity.worker_id
        held = [t for t in self.lab.trials if t.attempt and t.attempt.worker_id == last]
        return next((trial for trial in held if trial.state == "RUNNING"), None)

    def limit(self, minutes: str) -> None:
        """Change the time that the job may take."""
        job = f"jobid={self.placed.engine_id}"
        self.lab.cluster.asked("scontrol", "update", job, f"timelimit={minutes}")

    def ended(self) -> str | None:
        """Wait until it has; what SLURM says of it."""
        until(lambda: self.status.state is JobState.ENDED, lambda: (self.status, self.log))
        return self.status.says


@pytest.fixture
def lab(cluster: Cluster, tmp_path: Path) -> Iterator[Lab]:
    (tmp_path / "train.py").write_text(dedent(OBJECTIVE).format(place=str(tmp_path)))
    (tmp_path / "s.yaml").write_text(
        "study: s\nobjective: train.py:objective\nseed: 7\n"
        "budget: {trials: 3}\nlease: 5\nretries: {backoff_s: 0.1}\n"
    )
    with closing(BookStorage(f"sqlite:///{tmp_path / 'book.db'}")) as storage:
        yield Lab(tmp_path, cluster, storage)
    for line in cluster.asked("squeue", "--noheader", "--array", "--format=%i").splitlines():
        cluster.asked("scancel", line)


@pytest.mark.slow
def test_what_slurm_takes_away_goes_on_where_it_was(
    cluster: Cluster, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time is over; a place is wanted, with a time of grace and without; a node is lost."""
    monkeypatch.setenv("SECRET_OF_THE_LAB", secret := token_hex())
    spec = read_spec(lab.place / "s.yaml")
    limited = lab.launch(spec, idle_exit_s=60, time="10", signal="119", nodelist="node2")
    graceful = lab.launch("s", partition="lab", nodelist="node1")
    abrupt = lab.launch("s", partition="short", nodelist="node1")
    for job in (limited, graceful, abrupt):
        job.holds()
    # The controller looks at time limits every half a minute.
    limited.limit("2")
    require_hidden(secret, cluster)

    urgent = ("--partition=urgent", "--nodelist=node1", "--exclusive", "--output=/dev/null")
    cluster.asked("sbatch", *urgent, "--wrap=sleep 1")
    until(lambda: BACK in limited.log, lambda: limited.log)
    limited.limit("100")  # else it is told again half a minute later
    own = limited.holds(runs=2)
    done, lost = graceful.holds(runs=2), abrupt.holds(runs=2)
    assert "announces SIGUSR1" in limited.log
    assert "announces a preemption" in graceful.log, "when its time of grace began"
    # The end of the step that stands by may be seen before the signal, which comes to both.
    assert any(f"announces {what}" in abrupt.log for what in ("SIGTERM", "a preemption"))
    for job in (limited, graceful, abrupt):
        assert BACK in job.log
    lab.open(done)
    assert graceful.ended() == "COMPLETED"

    cluster.lose_node("node1")
    (lab.place / "deaf").touch()
    lab.open(own)
    until(lambda: (held := limited.holds(runs=2)) is not None and held.number == lost.number)
    cluster.asked("scancel", "--signal=USR1", "--batch", limited.placed.engine_id)
    until(lambda: limited.log.count("announces SIGUSR1") == 2)
    lab.open(lost)
    assert limited.ended() == "COMPLETED"
    assert "nothing is left to do for this job" in limited.log
    cluster.start_node("node1")
    # It came back, and there was nothing left to do.
    assert abrupt.ended() == "COMPLETED", abrupt.log

    assert [trial.state for trial in lab.trials] == ["COMPLETE"] * 3
    reasons = {trial.number: [a.end_reason for a in trial.attempts] for trial in lab.trials}
    there_and_back = [EndReason.PREEMPTED, EndReason.COMPLETE]
    assert reasons[done.number] == reasons[own.number] == there_and_back
    assert reasons[lost.number] == [EndReason.PREEMPTED, EndReason.LOST, EndReason.COMPLETE]
    assert {trial.user_attrs["went on from"] for trial in lab.trials} == {"half of it"}
    require_named_by_slurm(lab, [limited, graceful, abrupt])


def require_hidden(secret: str, cluster: Cluster) -> None:
    """What is in the jobs' environment is kept by SLURM, and for nobody else to read."""
    shown = cluster.asked("scontrol", "show", "job") + cluster.asked("squeue", "--Format=ALL")
    assert secret not in shown
    kept = [path for path in cluster.place.rglob("*") if path.is_file()]
    holding = [path for path in kept if secret.encode() in path.read_bytes()]
    assert holding
    for path in holding:
        above = path.parents[: path.parents.index(cluster.place)]
        assert not all(step.stat().st_mode & 0o004 for step in (path, *above)), path


def require_named_by_slurm(lab: Lab, jobs: list[Job]) -> None:
    """Every worker and every attempt knows its job by the id that SLURM's commands take."""
    ids = {job.launched_as: job.placed.engine_id for job in jobs}
    workers = {worker.identity.worker_id: worker.identity for worker in lab.workers}
    for identity in workers.values():
        assert (identity.launcher, identity.job) == ("slurm", ids[str(identity.launch)])
    for attempt in (attempt for trial in lab.trials for attempt in trial.attempts):
        digest = attempt.coordinates.of(Kind.EXECUTION)
        assert digest is not None
        state = Reader(lab.storage.book).snapshot(digest).state_as(LaunchState)
        assert (state.launcher, state.job_id) == ("slurm", workers[attempt.worker_id].job)


def test_options_of_sbatch_are_single_arguments() -> None:
    asked = SlurmOptions.of(
        {"partition": HOSTILE, "exclusive": True, "gres": ["gpu:1", "tmp:5"], "mem": 100}
    )
    assert asked.passed == (
        f"--partition={HOSTILE}",
        "--exclusive",
        *("--gres=gpu:1", "--gres=tmp:5", "--mem=100"),
    )
    assert (asked.warn_s, asked.requeues) == (60, 100)
    asked = SlurmOptions.of({"signal": "0", "requeues": 3, "gpus_per_worker": 2})
    assert (asked.warn_s, asked.requeues, asked.passed) == (0, 3, ("--gpus=2",))


def test_all_options_that_cannot_be_are_named_at_once() -> None:
    wrong = {
        "--wrap": "x",
        "wra": "touch executed",
        "array": "0-9",
        "out": "/etc/passwd",
        "hosts": ["a"],
        "p artition": "x",
        "comment": "a\0b",
        "nice": None,
        "signal": "soon",
        "requeues": -1,
        "python": "",
        "gpus": 1,
        "gpus_per_worker": 1,
    }
    with pytest.raises(InvalidInputError) as caught:
        SlurmOptions.of(wrong)
    for name in ("'--wrap'", "wra is", "array is", "out is", "-o nodelist", "'p artition'"):
        assert name in str(caught.value)
    for name in ("comment must", "nice must", "signal must", "requeues must", "python must"):
        assert name in str(caught.value)
    assert "give one of them" in str(caught.value)


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        ("1", 60),
        (2, 120),
        ("0:59", 59),
        ("1:00:00", 3600),
        ("1-0", 86400),
        ("1-0:01", 86460),
        ("1-02:03:04", 93784),
    ],
)
def test_a_warning_that_would_come_at_once_is_refused(time: object, seconds: int) -> None:
    if seconds <= 65535:
        with pytest.raises(InvalidInputError, match=f"time is {seconds} s"):
            SlurmOptions.of({"time": time, "signal": seconds})
    assert SlurmOptions.of({"time": time, "signal": min(seconds - 1, 65535)})


@pytest.mark.parametrize("time", ["0", "UNLIMITED", "1:2:3:4", "$(x)", "-1", "x-1", None, True])
def test_a_time_limit_that_says_nothing_is_left_to_sbatch(time: object) -> None:
    options = {} if time is None else {"time": time}
    assert SlurmOptions.of({**options, "signal": 65535})


def test_without_slurm_the_engine_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MissingEngineError, match="squeue is not installed"):
        SlurmLauncher({})


@pytest.mark.parametrize(
    ("text", "standing"),
    [
        ("RUNNING|N/A|0|0:05|1:00|", None),
        ("RUNNING|0|N/A|0:05|UNLIMITED|\n", Standing(True, 0, False, False)),
        ("RUNNING|1|2026-11-21T17:00:14|0:05|1-00:00:00|", Standing(True, 1, True, False)),
        ("COMPLETING|0|N/A|1:02:03|1:02:00|", Standing(False, 0, False, True)),
        ("COMPLETING|0|N/A|0:04|1-02:00:00|", Standing(False, 0, False, False)),
        ("", None),
        ("slurm_load_jobs error", None),
    ],
)
def test_how_a_job_stands_by_what_squeue_prints(text: str, standing: Standing | None) -> None:
    assert standing_of(text) == standing


def test_what_accounts_say_of_jobs_that_the_controller_has_forgotten() -> None:
    found = accounts_of("7_0|CANCELLED by 1000|node3\n7_1|OUT_OF_MEMORY|node[1-2]\n7_2|ODD|\n\n")
    assert found["7_0"] == JobStatus(JobState.ENDED, "CANCELLED", "node3")
    assert found["7_1"] == JobStatus(JobState.ENDED, "OUT_OF_MEMORY", "node[1-2]")
    assert found["7_2"] == JobStatus(JobState.UNKNOWN, "ODD", None)


def test_a_job_that_waits_says_for_what(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_RESTART_COUNT", "7")  # as within another job
    monkeypatch.setenv("SBATCH_WAIT", "1")
    launcher, placed = SlurmLauncher({"hold": True, "comment": HOSTILE}), []
    launcher.submit(WorkerOrder("ab12cd34", HOSTILE, directory=tmp_path), 2, placed.append)
    assert launcher.status(placed) == dict.fromkeys(
        range(2), JobStatus(JobState.PENDING, "JobHeldUser")
    )
    (kept,) = cluster.place.glob(f"state/hash.*/job.{placed[0].engine_id[:-2]}/environment")
    assert b"TRIALBOOK_SLURM_ORDER=" in kept.read_bytes()
    assert b"SLURM_RESTART_COUNT=" not in kept.read_bytes()
    with pytest.raises(LaunchError, match="a job that has not begun has none"):
        list(launcher.log(placed[0]))
    follower = launcher.log(placed[1], follow=True)
    assert launcher.cancel([*placed, PlacedJob(2, "999999_0")]) == dict.fromkeys(range(3))
    assert {status.state for status in launcher.status(placed).values()} == {JobState.ENDED}
    with pytest.raises(LaunchError, match="cannot be read here"):
        next(follower)


def test_what_slurm_refuses_is_said(cluster: Cluster, tmp_path: Path) -> None:
    order = WorkerOrder("ab12cd34", "s", directory=tmp_path)
    placed: list[PlacedJob] = []
    with pytest.raises(LaunchError, match="workers: invalid partition specified") as caught:
        SlurmLauncher({"partition": HOSTILE}).submit(order, 2, placed.append)
    assert placed == []
    assert caught.value.hint is not None
    with pytest.raises(LaunchError, match="backslash"):
        folder = tmp_path / "a\\b"
        SlurmLauncher({}).submit(WorkerOrder("ab12cd34", "s", directory=folder), 1, placed.append)


def test_that_slurm_cannot_be_asked_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: Cluster
) -> None:
    (tmp_path / "slurm.conf").write_text("nothing")
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "slurm.conf"))
    with pytest.raises(LaunchError, match="SLURM cannot be asked"):
        SlurmLauncher({}).status([PlacedJob(0, "1_0")])


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BookStorage]:
    """A study of three trials; the worker of job 0 has just done the first."""
    monkeypatch.setenv("TRIALBOOK_STORAGE", url := f"sqlite:///{tmp_path / 'book.db'}")
    with closing(BookStorage(url)) as storage:
        study_id = storage.create_new_study([StudyDirection.MINIMIZE], "s")
        storage.set_study_spec(study_id, StudySpec(SearchSettings(trials=3)))
        launch = LaunchRecord("ab12cd34", study_id, "s", "slurm", 0.0, "here", None, 2)
        storage.launches.add(launch)
        worker = WorkerIdentity("1" * 32, "node1", 1, "slurm", "7_0", launch="ab12cd34/0")
        storage.leases.register(worker, study_id)
        finish(storage, Holder(worker))
        storage.leases.leave(worker.worker_id)
        yield storage


def finish(storage: BookStorage, holder: Holder | None = None) -> None:
    claim = storage.claim(storage.get_study_id_from_name("s"), holder=holder)
    assert isinstance(claim, Claim)
    storage.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, [1.0])


def order(*arguments: str) -> SlurmOrder:
    return SlurmOrder("ab12cd34", "s", ("--grace", "9", *arguments), 100)


def test_work_is_left_until_the_budget_is_met(book: BookStorage) -> None:
    for _ in range(2):
        assert left(order(), 0) == Left(True)
        finish(book)
    assert left(order(), 0) == Left(False)


def test_no_work_is_left_for_who_is_to_leave(book: BookStorage) -> None:
    again = WorkerIdentity("2" * 32, "node2", 1, "slurm", "7_0", launch="ab12cd34/0")
    book.leases.register(again, book.get_study_id_from_name("s"))
    assert book.launches.ask_job("ab12cd34/0", DRAIN) == 1
    assert not left(order(), 0).work
    assert left(order(), 1).work
    book.launches.ask("ab12cd34", DRAIN)
    assert not left(order(), 1).work


def test_a_share_is_one_for_all_runs_of_a_job(book: BookStorage) -> None:
    assert left(order("--trials", "1"), 0).work is False
    assert left(order("--trials", "1"), 1).trials == 1, "another job's"
    found = left(order("--trials", "9", "--trials", "3", "--hours", "2"), 0)
    assert (found.work, found.trials) == (True, 2)
    assert found.hours is not None
    assert 1.9 < found.hours < 2
    again = order("--trials", "3").with_share(found.trials, None)
    assert again.command("python", 0)[-6:] == ("--trials", "3", "--trials", "2", "--", "s")
    assert SlurmOrder.parsed(again.text()) == again


def test_a_book_that_cannot_be_asked_takes_no_work_away(
    book: BookStorage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TRIALBOOK_STORAGE", f"sqlite:///{tmp_path / 'elsewhere.db'}")
    found = left(order("--trials", "3"), 0)
    assert (found.work, found.trials) == (True, 3)
    assert found.trouble is not None
    monkeypatch.setenv("TRIALBOOK_STORAGE", f"sqlite:///{tmp_path / 'book.db'}")
    book.delete_study(book.get_study_id_from_name("s"))
    found = left(order(), 0)
    assert (found.work, found.trouble is None) == (False, False)
