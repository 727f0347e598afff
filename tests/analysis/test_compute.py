"""Where attempts ran and what they took: real ones on two hosts, and books in every state."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState

from trialbook import analysis
from trialbook.analysis.compute import ComputeUse, DeviceCompute
from trialbook.analysis.places import Hardware, seen_gpus
from trialbook.book.computing import attempt_sums
from trialbook.book.reading import Reader
from trialbook.book.removal import remove_trial
from trialbook.book.storage import BookStorage
from trialbook.cli.main import exit_code_of_command
from trialbook.records.coordinates import Kind, Snapshot
from trialbook.records.coverage import Coverage
from trialbook.records.environment import EnvironmentState, Interpreter, Machine
from trialbook.records.execution import EndReason, EntryPoint, LaunchState, OutcomeState, Seeds
from trialbook.records.workers import Claim, Holder, WorkerIdentity

SEARCH = """
import time
import optuna, trialbook
from trialbook import tracked_objective

@tracked_objective(seed=1)
def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    until = time.process_time() + 0.1
    while time.process_time() < until:
        pass
    return x

if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = trialbook.create_study(study_name="digits", seed=1, load_if_exists=True)
    study.optimize(objective, n_trials=2)
"""


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A book with trials of two hosts: each process has a host name of its own."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("a host name of its own needs root and unshare")
    place = tmp_path_factory.mktemp("hosts")
    (place / "search.py").write_text(SEARCH)
    home = {f"XDG_{kind}_HOME": str(place / kind) for kind in ("STATE", "CACHE")}
    for host, devices in (("node1", None), ("node2", "0,1")):
        own = {} if devices is None else {"CUDA_VISIBLE_DEVICES": devices}
        named = ("unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', host)
        done = subprocess.run(
            [*named, sys.executable, "search.py"],
            cwd=place,
            env={**os.environ, **home, **own, "TRIALBOOK_STORAGE": str(place / "book.db")},
            capture_output=True,
            text=True,
            timeout=120,
        )
        if "unshare:" in done.stderr:
            pytest.skip(f"no host name of its own here: {done.stderr.strip()}")
        assert done.returncode == 0, done.stderr
    return place / "book.db"


def test_real_attempts_are_added_up_by_host(hosts: Path) -> None:
    use = analysis.compute("digits", storage=hosts)
    assert [(h.host, h.attempts, h.running, h.without_cpu) for h in use.hosts] == [
        ("node1", 2, 0, 0),
        ("node2", 2, 0, 0),
    ]
    for host in use.hosts:
        assert 0.15 <= host.cpu_s < 20  # in ticks of the kernel's clock
        assert host.wall_s >= 0.15
        (hardware,) = host.hardware
        assert hardware.cpus is not None
        assert hardware.cpus >= 1
    assert use.cpu_h == pytest.approx(sum(host.cpu_s for host in use.hosts) / 3600)
    if not Path("/dev/nvidiactl").exists():  # a mask alone makes no GPU
        assert (use.devices, use.gpu_h, use.without_gpus) == ((), 0, 0)
    assert [row.host for row in analysis.trial_rows("digits", storage=hosts)] == (
        ["node1"] * 2 + ["node2"] * 2
    )


def test_the_pages_say_where_each_trial_ran(hosts: Path, capsys: pytest.CaptureFixture) -> None:
    def said(*arguments: str) -> str:
        assert exit_code_of_command([*arguments, "--storage", str(hosts)]) == 0
        return capsys.readouterr().out

    page = said("show", "digits")
    assert "  compute     under 0.01 CPU-hours\n" in page
    (row,) = [line for line in page.splitlines() if line.lstrip().startswith("3  COMPLETE")]
    assert " node2 " in row
    for listed in (page, said("status", "digits")):
        rows = listed.partition("COMPUTE\n")[2].splitlines()
        assert rows[0].split() == ["HOST", "HARDWARE", "ATTEMPTS", "CPU-HOURS"]
        assert [row.split()[0] for row in rows[1:3]] == ["node1", "node2"]
    assert "  ran on      node2: " in said("show", "digits/3")
    page = said("diff", "digits/0", "digits/3")
    (line,) = [line for line in page.partition("RAN ON")[2].splitlines() if " host " in line]
    assert line.split() == ["host", "node1", "node2"]
    assert "host" not in said("diff", "digits/0", "digits/1")

    trial = json.loads(said("show", "digits/3", "--format", "json"))
    assert [place["host"] for place in trial["places"]] == ["node2"]
    study = json.loads(said("show", "digits", "--format", "json"))
    assert [row["host"] for row in study["trials"]] == ["node1", "node1", "node2", "node2"]
    status = json.loads(said("status", "digits", "--format", "json"))
    assert status["compute"] == study["compute"]
    assert [host["host"] for host in status["compute"]["hosts"]] == ["node1", "node2"]
    assert status["compute"]["cpu_s"] == pytest.approx(
        sum(host["cpu_s"] for host in status["compute"]["hosts"])
    )
    facts = said("status", "digits", "--format", "csv").splitlines()
    assert "compute,node2,attempts,2" in facts
    assert "attempt,1,host,node2" in said("show", "digits/3", "--format", "csv").splitlines()


def _worker(number: int, host: str) -> WorkerIdentity:
    job = f"99_{number}"
    return WorkerIdentity(f"{number:032}", host, number, "slurm", job, launch=f"0a1b2c3d/{number}")


def _snapshots(host: str, gpus: tuple[str, ...], mask: str | None, pid: int = 1) -> list[Snapshot]:
    machine = Machine("Linux", "6", "x86_64", None, None, "EPYC", (), 64, 8, 1, gpus)
    python = Interpreter("CPython", "3.12", "", "", "", "", {}, "0")
    entry = EntryPoint("script", path="search.py")
    launch = LaunchState(host, None, pid, "", (), "", entry, {}, (), "fork", gpus=mask)
    whole = Coverage.of(())
    return [
        Snapshot.of(Kind.ENVIRONMENT, whole, EnvironmentState(python, machine, ())),
        Snapshot.of(Kind.EXECUTION, whole, launch),
    ]


def _attempt(
    storage: BookStorage, study_id: int, worker: WorkerIdentity, snapshots: list[Snapshot]
) -> Claim:
    storage.leases.register(worker, study_id)
    claim = storage.claim(study_id, holder=Holder(worker))
    assert isinstance(claim, Claim)
    storage.begin_attempt(
        claim.trial_id, snapshots=snapshots, seeds=Seeds(trial=1), claimed=claim.attempt
    )
    return claim


def _finish(storage: BookStorage, claim: Claim, cpu_s: float | None) -> None:
    attempt = storage.held_attempt(claim.trial_id)
    assert attempt is not None
    # A text that looks like what is looked for.
    outcome = OutcomeState(EndReason.COMPLETE, message=',"cpu_s":1000,', cpu_s=cpu_s)
    attempt.end(outcome)
    storage.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, [1.0])


def test_lost_running_and_deleted_attempts(storage: BookStorage) -> None:
    study_id = storage.create_new_study([StudyDirection.MINIMIZE], "digits")
    h200 = "NVIDIA H200, 143771 MiB"
    one, two = _worker(1, "one"), _worker(2, "two")
    with_gpus = _snapshots("one", (h200,) * 4, "1,2")
    for cpu_s in (1.5, 2.0, 1e-7, None):
        _finish(storage, _attempt(storage, study_id, one, with_gpus), cpu_s)
    removed = _attempt(storage, study_id, one, with_gpus)
    _finish(storage, removed, 100.0)
    remove_trial(storage.book, Reader(storage.book).trial(f"digits/{removed.number}"))
    lost = _attempt(storage, study_id, two, _snapshots("two", (), None))
    storage.flush()
    storage._held.pop(lost.trial_id)
    storage.end_dead_attempt(lost.trial_id, OutcomeState(EndReason.LOST, cpu_s=0.25))
    storage.leases.register(two, study_id)
    _attempt(storage, study_id, two, [])  # again, and of this one nothing was captured
    use = analysis.compute("digits", storage=storage)
    first, second = use.hosts
    assert (first.host, first.attempts, first.running, first.without_cpu) == ("one", 4, 0, 1)
    assert first.cpu_s == pytest.approx(3.5 + 1e-7)
    assert first.hardware == (Hardware("EPYC", 8, (h200, h200)),)
    assert first.devices == (DeviceCompute(h200, pytest.approx(2 * first.wall_s)),)
    assert first.wall_s > 0
    assert (second.host, second.attempts, second.running) == ("two", 1, 1)
    assert (second.cpu_s, second.devices, second.without_gpus) == (0.25, (), 0)
    assert use.gpu_h == pytest.approx(2 * first.wall_s / 3600)
    assert (use.attempts, use.without_cpu, use.without_gpus) == (5, 1, 0)
    search = analysis.search("digits", storage=storage)
    gpus = analysis.attempt_gpus(search, storage=storage)
    assert [gpus[attempt.attempt_id] for attempt in search.attempts] == [2] * 4 + [0, None]
    spent = analysis.compute_history(search, gpus=gpus)
    assert spent.gpu_h is not None
    assert spent.gpu_h[-1] == pytest.approx(use.gpu_h)
    assert spent.worker_h[-1] == pytest.approx((first.wall_s + second.wall_s) / 3600)
    assert (spent.running, spent.without_gpus) == (1, 0)
    trial = Reader(storage.book).trial("digits/0").attempts[0]
    assert (trial.launcher, trial.job, trial.launch) == ("slurm", "99_1", "0a1b2c3d/1")


def test_attempts_that_each_have_a_process_are_added_up_by_where_they_ran(
    storage: BookStorage,
) -> None:
    study_id = storage.create_new_study([StudyDirection.MINIMIZE], "digits")
    masks = ("0", "0", ',"isolation":', None)
    for pid, mask in enumerate(masks):
        seen = _snapshots("one", ("A", "B"), mask, pid)
        _finish(storage, _attempt(storage, study_id, _worker(1, "one"), seen), 1.0)
    storage.flush()
    # As many snapshots are read as there are rows: one for each place, and not one for each trial.
    assert [row.ended for row in attempt_sums(storage.book, study_id)] == [2, 1, 1]
    (host,) = analysis.compute("digits", storage=storage).hosts
    assert host.hardware == tuple(Hardware("EPYC", 8, g) for g in (("A",), (), ("A", "B")))
    assert (host.attempts, host.cpu_s, host.without_gpus) == (4, 4.0, 0)


def test_a_study_whose_trials_nobody_executed(storage: BookStorage) -> None:
    study_id = storage.create_new_study([StudyDirection.MINIMIZE], "digits")
    trial_id = storage.create_new_trial(study_id)
    storage.set_trial_intermediate_value(trial_id, 0, 1.0)
    storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
    assert analysis.compute("digits", storage=storage) == ComputeUse(())


@pytest.mark.parametrize(
    ("installed", "mask", "seen"),
    [
        ((), None, ()),
        ((), "0,1", ()),
        (("A", "A"), None, ("A", "A")),
        (("A", "A"), "", ()),
        (("A", "A"), "-1", ()),
        (("A", "A"), "1", ("A",)),
        (("A", "B"), "1,0", ("B", "A")),
        (("A", "B"), "GPU-5f3b,GPU-77aa", ("A or B", "A or B")),
        (("A",), "MIG-1,MIG-2", ("A",)),
        (("A", "B"), "0,7", ("A or B", "A or B")),
    ],
)
def test_the_gpus_that_a_worker_saw(
    installed: tuple[str, ...], mask: str | None, seen: tuple[str, ...]
) -> None:
    assert seen_gpus(installed, mask) == seen


def test_the_job_of_an_attempt_is_named_once(
    storage: BookStorage, capsys: pytest.CaptureFixture
) -> None:
    study_id = storage.create_new_study([StudyDirection.MINIMIZE], "digits")
    local = WorkerIdentity("3" * 32, "one", 3, "local", "0a1b2c3d/3", launch="0a1b2c3d/3")
    for worker in (_worker(1, "one"), local):
        _finish(storage, _attempt(storage, study_id, worker, []), 1.0)
    storage.close()
    for number, job in enumerate(("0a1b2c3d/1, slurm 99_1", "0a1b2c3d/3, local")):
        assert exit_code_of_command(["show", f"digits/{number}", "--storage", storage.url]) == 0
        page = capsys.readouterr().out
        assert f"  ran on      one\n  job         {job}\n" in page
        (line,) = [row for row in page.partition("ATTEMPTS")[2].splitlines() if " complete " in row]
        assert f"  one   {job}  " in line
    assert exit_code_of_command(["diff", "digits/0", "digits/1", "--storage", storage.url]) == 0
    rows = capsys.readouterr().out.partition("RAN ON\n")[2].splitlines()[1:]
    assert [row.split() for row in rows[:3]] == [
        ["launcher", "slurm", "local"],
        ["job", "0a1b2c3d/1", "0a1b2c3d/3"],
        ["job", "of", "the", "engine", "99_1", "-"],
    ]
