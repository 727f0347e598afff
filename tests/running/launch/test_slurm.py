"""Workers as jobs of SLURM: the contract of launchers, and what a cluster does to jobs.

A controller and two nodes run on this machine. What is taken away from a worker here (its place,
its time, its node) is taken away by SLURM itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from trialbook.book.reading import Reader
from trialbook.book.storage import BookStorage
from trialbook.errors import InvalidInputError, LaunchError, MissingEngineError
from trialbook.records.coordinates import Kind
from trialbook.records.execution import EndReason, LaunchState
from trialbook.records.launches import JobState, JobStatus, LaunchRecord, PlacedJob
from trialbook.records.study import TrialRecord
from trialbook.running.launch.contract import WorkerOrder
from trialbook.running.launch.launching import LaunchOptions, WorkerSettings, launch
from trialbook.running.launch.slurm import SlurmLauncher
from trialbook.running.launch.slurm_options import SlurmOptions
from trialbook.running.launch.slurm_queue import Standing, accounts_of, standing_of
from trialbook.running.spec import read_spec
from trialbook.testing.launching import LauncherContract, until

from ...slurm import Cluster, missing

HOSTILE = "$(touch executed) `touch executed`; touch executed\n'\" --wrap=x %j \\ ünï ✓"

OBJECTIVE = """
    import time
    from pathlib import Path

    PLACE = Path({place!r})

    def objective(trial):
        x = trial.suggest_float("x", 0, 1)
        found = trial.load_checkpoint()
        trial.set_user_attr("went on from", None if found is None else found.read_text())
        while not (PLACE / "open").exists():
            if trial.should_stop():
                if (PLACE / "finish").exists():
                    break
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
    def options(self, cluster: Cluster) -> Mapping[str, Any]:
        return {"job-name": HOSTILE, "comment": HOSTILE, "partition": "lab"}

    def test_slurm_shows_no_secret(self, cluster, lab, first) -> None:
        shown = cluster.asked("scontrol", "show", "job") + cluster.asked("squeue", "--Format=ALL")
        assert lab.secret not in shown
        kept = [path for path in cluster.place.rglob("*") if path.is_file()]
        open_to_others = [path for path in kept if readable_by_others(path, cluster.place)]
        for path in open_to_others:
            assert lab.secret.encode() not in path.read_bytes(), path


def readable_by_others(path: Path, below: Path) -> bool:
    steps = [path, *path.parents[: path.parents.index(below)]]
    return all(step.stat().st_mode & 0o004 for step in steps)


@dataclass
class Lab:
    """A study whose trials wait until they may go on, and its workers in SLURM."""

    place: Path
    cluster: Cluster
    storage: BookStorage
    launched: LaunchRecord | None = None

    @property
    def name(self) -> str:
        return self.place.name

    @property
    def jobs(self) -> tuple[PlacedJob, ...]:
        assert self.launched is not None
        return self.launched.jobs

    @property
    def launcher(self) -> SlurmLauncher:
        return SlurmLauncher({})

    def launch(self, workers: int, **options: Any) -> None:
        self.launched = launch(
            read_spec(self.place / "s.yaml"),
            LaunchOptions(
                engine="slurm",
                workers=workers,
                storage=f"sqlite:///{self.place / 'book.db'}",
                engine_options=options,
                settings=WorkerSettings(grace_s=30),
                same_machine=True,
            ),
        )

    def open(self) -> None:
        """Let every trial go on to its end."""
        (self.place / "open").touch()

    def trials(self, state: str | None = None) -> list[TrialRecord]:
        found = Reader(self.storage.book).trials(self.name)
        return [trial for trial in found if state in (None, trial.state)]

    def running(self, count: int) -> None:
        """Wait until so many trials run."""
        until(lambda: len(self.trials("RUNNING")) == count, lambda: (self.states(), self.logs()))

    def ended(self) -> None:
        """Wait until every job has."""
        until(lambda: {s.state for s in self.statuses()} == {JobState.ENDED}, self.logs)

    def statuses(self) -> list[JobStatus]:
        return list(self.launcher.status(self.jobs).values())

    def states(self) -> list[str | None]:
        return [status.says for status in self.statuses()]

    def logs(self) -> list[str]:
        files = [Path(str(job.log)) for job in self.jobs]
        return [file.read_text() for file in files if file.exists()]

    def hurry(self) -> None:
        """Wait until a job is back in the queue, and let it begin at once."""
        for job in self.jobs:
            until(lambda job=job: self.launcher.status([job])[job.index].state is PENDING)
            self.cluster.asked("scontrol", "update", f"jobid={job.engine_id}", "starttime=now")


PENDING = JobState.PENDING


@pytest.fixture
def lab_of(cluster: Cluster, tmp_path: Path) -> Iterator[Callable[..., Lab]]:
    """Makes a study that is not launched yet."""
    made: list[Lab] = []

    def make(name: str, trials: int) -> Lab:
        place = tmp_path / name
        place.mkdir()
        (place / "train.py").write_text(dedent(OBJECTIVE).format(place=str(place)))
        (place / "s.yaml").write_text(
            f"study: {name}\nobjective: train.py:objective\nseed: 7\n"
            f"budget: {{trials: {trials}}}\nlease: 5\nretries: {{backoff_s: 0.1}}\n"
        )
        lab = Lab(place, cluster, BookStorage(f"sqlite:///{place / 'book.db'}"))
        made.append(lab)
        return lab

    try:
        yield make
    finally:
        for lab in made:
            if lab.launched is not None:
                lab.launcher.cancel(lab.jobs)
            lab.storage.close()


@pytest.mark.slow
def test_what_slurm_takes_away_goes_on_where_it_was(cluster, lab_of) -> None:
    """A place is wanted, with a time of grace and without; the time is over; a node is lost."""
    # The controller looks at time limits every half a minute, so these begin first.
    out_of_time, over = lab_of("out-of-time", 1), lab_of("over", 1)
    (over.place / "finish").touch()
    for lab in (out_of_time, over):
        lab.launch(1, time="1", signal="600", nodelist="node2")
    graceful, abrupt = lab_of("graceful", 1), lab_of("abrupt", 1)
    graceful.launch(1, partition="lab", nodelist="node1")
    abrupt.launch(1, partition="short", nodelist="node1")
    for lab in (graceful, abrupt):
        lab.running(1)

    urgent = ("--partition=urgent", "--nodelist=node1", "--exclusive", "--output=/dev/null")
    cluster.asked("sbatch", *urgent, "--wrap=sleep 1")
    for lab in (graceful, abrupt):
        lab.hurry()
        lab.open()
        lab.ended()
        went_on(lab)
    assert "announces a preemption" in graceful.logs()[0], "when its grace began"
    assert "announces SIGTERM" in abrupt.logs()[0]

    lost = lab_of("lost", 3)
    lost.launch(3)
    lost.running(3)
    places = [status.place for status in lost.statuses()]
    assert set(places) == {"node1", "node2"}
    cluster.lose_node("node1")
    lost.running(3)
    until(lambda: [status.place for status in lost.statuses()] == ["node2"] * 3)
    lost.open()
    lost.ended()
    assert [trial.state for trial in lost.trials()] == ["COMPLETE"] * 3
    reasons = sorted(trial.attempts[0].end_reason for trial in lost.trials())
    assert reasons == sorted(
        [EndReason.LOST] * places.count("node1") + ["complete"] * places.count("node2")
    )
    cluster.start_node("node1")

    out_of_time.hurry()
    out_of_time.open()
    out_of_time.ended()
    went_on(out_of_time)
    over.ended()
    (trial,) = over.trials()
    assert (trial.state, len(trial.attempts)) == ("COMPLETE", 1)
    assert "nothing is left to do" in over.logs()[0]


def went_on(lab: Lab) -> None:
    """A trial was given back with a checkpoint, and its own job has finished it."""
    (trial,) = lab.trials()
    assert trial.state == "COMPLETE"
    assert [a.end_reason for a in trial.attempts] == [EndReason.PREEMPTED, EndReason.COMPLETE]
    assert trial.user_attrs["went on from"] == "half of it"
    workers = lab.storage.leases.workers(lab.storage.get_study_id_from_name(lab.name))
    (job,) = lab.jobs
    assert [(w.identity.launcher, w.identity.job) for w in workers] == [
        ("slurm", job.engine_id)
    ] * 2
    for attempt in trial.attempts:
        digest = attempt.coordinates.of(Kind.EXECUTION)
        assert digest is not None
        state = Reader(lab.storage.book).snapshot(digest).state_as(LaunchState)
        assert (state.launcher, state.job_id) == ("slurm", job.engine_id)


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


def test_what_slurm_refuses_is_said(cluster: Cluster, tmp_path: Path) -> None:
    order = WorkerOrder("ab12cd34", "s", directory=tmp_path)
    placed: list[PlacedJob] = []
    with pytest.raises(LaunchError, match="invalid partition specified") as caught:
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
