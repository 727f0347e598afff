"""Workers as processes of this machine: the contract of launchers, and what is local's own."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from trialbook.errors import InvalidInputError, LaunchError
from trialbook.records.launches import JobState, PlacedJob
from trialbook.running.launch import keeper
from trialbook.running.launch.contract import Launcher, WorkerOrder
from trialbook.running.launch.local import JobFiles, LocalLauncher
from trialbook.running.launch.threads import THREAD_VARIABLES, thread_shares, usable_cores
from trialbook.testing.launching import LauncherContract

# Stands in for the interpreter of a worker: says what it was given, and goes on until the gate is
# there or it is asked to stop.
_STAND_IN = """#!{python}
import json, os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
print(json.dumps([sys.argv[1:], dict(os.environ), os.getsid(0) == os.getpid()]), flush=True)
while not os.path.exists(os.environ["GATE"]):
    time.sleep(0.02)
"""


@pytest.mark.slow
class TestContract(LauncherContract):
    engine = "local"

    def half_failing(self, launcher: Launcher, order: WorkerOrder) -> None:
        (order.directory / "1.log").mkdir()


class Place:
    """A directory in which jobs that are no workers are placed."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.gate = place / "gate"
        self.python = place / "stand-in"
        self.python.write_text(_STAND_IN.format(python=sys.executable))
        self.python.chmod(0o755)
        self.jobs: list[PlacedJob] = []

    def launcher(self, **options: Any) -> LocalLauncher:
        return LocalLauncher({"python": str(self.python), **options})

    def placed(self, workers: int = 1, **options: Any) -> LocalLauncher:
        launcher = self.launcher(**options)
        order = WorkerOrder("0badcafe", "s", (), {"GATE": str(self.gate)}, self.place)
        launcher.submit(order, workers, self.jobs.append)
        return launcher

    def said(self, index: int = 0) -> tuple[list[str], dict[str, str], bool]:
        """What a job has found: its arguments, its environment, whether it leads a session."""
        log = self.place / f"{index}.log"
        until(lambda: log.read_text().endswith("\n"))
        arguments, environment, leads = json.loads(log.read_text())
        return arguments, environment, leads

    def process(self, index: int = 0) -> psutil.Process:
        return psutil.Process(int(self.jobs[index].engine_id))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.gate.touch()
    for job in place.jobs:
        until(lambda job=job: not psutil.pid_exists(int(job.engine_id)))


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


def state(launcher: LocalLauncher, job: PlacedJob) -> tuple[JobState, str | None]:
    status = launcher.status([job])[job.index]
    return status.state, status.says


def test_a_worker_gets_its_arguments_and_leads_a_session_of_its_own(place: Place) -> None:
    place.placed()
    arguments, _, leads = place.said()
    assert arguments == ["-P", "-m", "trialbook", "worker", "--job", "0badcafe/0", "--", "s"]
    assert leads


def test_the_cores_are_shared_out(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in THREAD_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    place.placed(workers=2)
    share = str(max(1, usable_cores() // 2))
    assert [place.said()[1][variable] for variable in THREAD_VARIABLES] == [share] * 6


def test_what_the_user_has_set_about_threads_stands(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in THREAD_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    place.placed(workers=2)
    environment = place.said()[1]
    assert environment["OMP_NUM_THREADS"] == "3"
    assert not set(THREAD_VARIABLES[1:]) & set(environment)


@pytest.mark.parametrize(
    ("workers", "cores", "threads"), [(1, 8, "8"), (3, 8, "2"), (8, 8, "1"), (9, 8, "1")]
)
def test_every_worker_has_a_thread(workers: int, cores: int, threads: str) -> None:
    assert set(thread_shares({}, workers, cores).values()) == {threads}


@pytest.mark.parametrize(
    ("files", "least"),
    [
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "150000 100000"}, 1),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000"}, 1),
        (
            {
                "proc/self/cgroup": "4:cpu:/x\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "100000",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            1,
        ),
    ],
)
def test_a_quota_of_the_control_group_counts(
    tmp_path: Path, files: dict[str, str], least: int
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert usable_cores(tmp_path) == least


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000"},
        {
            "proc/self/cgroup": "4:cpu:/x\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        },
    ],
)
def test_without_a_quota_the_affinity_counts(tmp_path: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    affinity = getattr(os, "sched_getaffinity", None)
    assert usable_cores(tmp_path) == (len(affinity(0)) if affinity else os.cpu_count())


def test_the_gpus_are_shared_out(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-a,6,7")
    place.placed(workers=2, gpus_per_worker=2)
    assert place.said(0)[1]["CUDA_VISIBLE_DEVICES"] == "4,GPU-a"
    assert place.said(1)[1]["CUDA_VISIBLE_DEVICES"] == "6,7"


def test_too_few_gpus_place_nobody(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(InvalidInputError, match="need 2, 1 is visible"):
        place.placed(workers=2, gpus_per_worker=1)
    assert place.jobs == []


def test_how_a_worker_ended_is_known_to_later_commands(place: Place) -> None:
    launcher = place.placed(workers=3)
    job, killed, whole = place.jobs
    assert state(launcher, job) == (JobState.RUNNING, None)
    place.said()
    assert launcher.cancel([job]) == {0: None}
    place.process(1).kill()
    for one, says in ((job, "exit 5"), (killed, "SIGKILL")):
        until(lambda one=one, says=says: state(place.launcher(), one) == (JobState.ENDED, says))
    place.gate.touch()
    until(lambda: state(place.launcher(), whole) == (JobState.ENDED, "exit 0"))


def test_without_its_keeper_a_worker_goes_on_and_its_end_is_seen(place: Place) -> None:
    launcher = place.placed()
    parent = place.process().parent()
    assert parent is not None
    assert str(keeper.__file__) in parent.cmdline()
    parent.kill()
    until(lambda: place.process().ppid() != parent.pid)
    assert state(launcher, place.jobs[0]) == (JobState.RUNNING, None)
    place.gate.touch()
    until(lambda: state(launcher, place.jobs[0]) == (JobState.ENDED, None))


def test_a_job_has_ended_when_its_keeper_says_how(place: Place) -> None:
    launcher = place.placed()
    keeper_process = place.process().parent()
    assert keeper_process is not None
    keeper_process.suspend()
    try:
        until(lambda: keeper_process.status() == psutil.STATUS_STOPPED)
        place.process().kill()
        until(lambda: place.process().status() == psutil.STATUS_ZOMBIE)
        assert state(launcher, place.jobs[0]) == (JobState.RUNNING, None)
    finally:
        keeper_process.resume()
    until(lambda: state(launcher, place.jobs[0]) == (JobState.ENDED, "SIGKILL"))


def test_a_number_that_belongs_to_another_process_is_not_taken_for_the_worker(
    place: Place,
) -> None:
    launcher = place.placed()
    files = JobFiles.of(place.place, 0)
    noted = json.loads(files.process.read_text())
    files.process.write_text(json.dumps({**noted, "start_ticks": noted["start_ticks"] + 1}))
    # The keeper lives and has told no end, so whatever the worker is, it has not ended.
    assert state(launcher, place.jobs[0]) == (JobState.RUNNING, None)
    assert launcher.cancel(place.jobs) == {0: None}
    assert place.process().is_running()
    lost = {"start_ticks": 0, "keeper_start_ticks": 0}
    files.process.write_text(json.dumps({**noted, **lost}))
    assert state(launcher, place.jobs[0]) == (JobState.ENDED, None)
    assert launcher.cancel(place.jobs) == {0: None}
    assert place.process().is_running()
    files.process.write_text(json.dumps({**noted, "boot": "another"}))
    assert state(launcher, place.jobs[0])[0] is JobState.UNKNOWN
    assert "started again" in str(launcher.cancel(place.jobs)[0])
    assert place.process().is_running()


def test_processes_of_another_machine_are_that_machines_to_tell(place: Place) -> None:
    launcher = place.launcher()
    job = PlacedJob(0, "1", "elsewhere", str(place.place / "0.log"))
    for ask in (launcher.status, launcher.cancel, lambda jobs: list(launcher.log(jobs[0]))):
        with pytest.raises(LaunchError, match="processes of elsewhere"):
            ask([job])


def test_a_log_is_followed_until_the_end(place: Place) -> None:
    launcher = place.placed()
    pieces = launcher.log(place.jobs[0], follow=True)
    text = next(pieces)
    place.gate.touch()
    assert (text + b"".join(pieces)).decode() == (place.place / "0.log").read_text()


def test_one_that_cannot_be_started_is_named_and_the_others_work(place: Place) -> None:
    (place.place / "1.log").mkdir()
    with pytest.raises(LaunchError, match=r"1 of 3 .* worker 1: Is a directory"):
        place.placed(workers=3)
    assert [job.index for job in place.jobs] == [0, 2]


def test_one_that_cannot_be_noted_is_ended(place: Place) -> None:
    (place.place / "1.process").mkdir()  # as on a disk that is full
    before = set(psutil.pids())
    with pytest.raises(LaunchError, match=r"1 of 3 .* worker 1: Is a directory: .*1\.process"):
        place.placed(workers=3)
    assert [job.index for job in place.jobs] == [0, 2]
    placed = {int(job.engine_id) for job in place.jobs}
    until(lambda: _stand_ins(place, set(psutil.pids()) - before) == placed)


def _stand_ins(place: Place, pids: set[int]) -> set[int]:
    """Those of processes that are workers, save what waits to be waited for."""
    found = set()
    for pid in pids:
        with suppress(psutil.Error):
            if str(place.python) in psutil.Process(pid).cmdline():
                found.add(pid)
    return found


def test_an_interpreter_that_is_not_there_is_named(place: Place) -> None:
    with pytest.raises(LaunchError, match="No such file or directory: /nowhere/python"):
        place.placed(python="/nowhere/python")


def test_unknown_options_are_named_together() -> None:
    with pytest.raises(InvalidInputError, match="'queue'.*'nice'.*python must be"):
        LocalLauncher({"queue": "x", "nice": True, "python": 3})


def test_the_command_does_not_wait_for_its_workers_and_leaves_no_child(place: Place) -> None:
    before = {process.pid for process in psutil.Process().children()}
    place.placed(workers=2)
    assert {process.pid for process in psutil.Process().children()} <= before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_what_another_user_has_written_names_no_process(place: Place) -> None:
    launcher = place.placed()
    os.chown(JobFiles.of(place.place, 0).process, 65534, -1)
    assert state(launcher, place.jobs[0])[0] is JobState.UNKNOWN
    assert launcher.cancel(place.jobs)[0] is not None
    assert place.process().is_running()


def test_files_of_a_job_that_are_gone_make_it_unknown(place: Place) -> None:
    launcher = place.placed()
    JobFiles.of(place.place, 0).process.unlink()
    assert state(launcher, place.jobs[0])[0] is JobState.UNKNOWN
    assert launcher.cancel(place.jobs)[0] == "the launch's own files are gone"
    missing = replace(place.jobs[0], log=str(place.place / "none.log"))
    with pytest.raises(LaunchError, match="cannot be read"):
        list(launcher.log(missing))
    os.kill(int(place.jobs[0].engine_id), signal.SIGTERM)
