"""``trialbook worker`` as launchers and users start it: real processes, signals, exit codes."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from trialbook.book.reading import Reader
from trialbook.book.storage import BookStorage
from trialbook.cli.main import exit_code_of_command
from trialbook.records.coordinates import Kind
from trialbook.records.execution import EndReason, LaunchState
from trialbook.records.launches import DRAIN, LaunchRecord
from trialbook.restoring.lock import locked

from .test_run import wait_until

SLOW = """
    import os, pathlib, time
    def objective(trial):
        place = pathlib.Path(os.environ.get("SIGNS", "."))
        (place / f"began-{trial.number}").touch()
        while trial.number and not (place / "go").exists():
            time.sleep(0.01)
        return trial.suggest_float("x", 0, 1)
"""

SECRET = """
    def objective(trial):
        return trial.suggest_float("x", 0, 1) + len(trial.config["api_key"])
"""


class Site:
    """A book with a study that ran one trial elsewhere, and an empty directory to work in."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.place = place
        self.book = place / "book.db"
        self.signs = place / "signs"
        self.empty = place / "empty"
        self.signs.mkdir()
        self.empty.mkdir()
        monkeypatch.setenv("TRIALBOOK_STORAGE", str(self.book))
        monkeypatch.setenv("SIGNS", str(self.signs))

    def ran(
        self, code: str, *, budget: int = 3, lease_s: float = 60, isolation: str = "none"
    ) -> None:
        """A study ``s`` whose first trial ran in a directory that is gone."""
        project = self.place / "project"
        project.mkdir()
        (project / "train.py").write_text(dedent(code))
        (project / "s.yaml").write_text(
            f"objective: train.py:objective\nbudget: {{trials: {budget}}}\nlease: {lease_s}\n"
            f"isolation: {isolation}\n"
        )
        with pytest.MonkeyPatch.context() as elsewhere:
            elsewhere.setenv("XDG_STATE_HOME", str(self.place / "another home"))
            elsewhere.chdir(project)
            assert exit_code_of_command(["run", "s.yaml", "--trials", "1"]) == 0
        for file in project.iterdir():
            file.unlink()
        project.rmdir()
        with closing(BookStorage(str(self.book), create=False)) as storage:
            # The file's budget, which the flag has replaced.
            study_id = storage.get_study_id_from_name("s")
            record = storage.get_study_record(study_id)
            assert record.spec is not None
            search = replace(record.spec.search, trials=budget)
            storage.set_study_spec(study_id, replace(record.spec, search=search))

    def started(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """A worker as a program of its own, where nothing but the book is."""
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "trialbook", "worker", *arguments],
            cwd=self.empty,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def trials(self):
        with closing(BookStorage(str(self.book), create=False)) as storage:
            return list(Reader(storage.book).trials("s"))

    def launched(self, engine: str = "local") -> str:
        """A launch whose worker somebody is about to start."""
        with closing(BookStorage(str(self.book), create=False)) as storage:
            study_id = storage.get_study_id_from_name("s")
            launch = LaunchRecord("0a1b2c3d", study_id, "s", engine, 0.0, "here", None, 1)
            storage.launches.add(launch)
        return "0a1b2c3d/0"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path, monkeypatch)


def test_a_placed_worker_is_trusted_preempted_and_drained(site: Site) -> None:
    site.ran(SLOW, budget=2, lease_s=1, isolation="auto")
    job = site.launched()
    assert exit_code_of_command(["worker", "s"]) == 2  # nobody trusts the study here

    preempted = site.started("--job", job, "--trust", "--grace", "1", "--", "s")
    wait_until(lambda: (site.signs / "began-1").exists())
    preempted.send_signal(signal.SIGTERM)
    _, said = preempted.communicate(timeout=120)
    assert preempted.returncode == 0, said
    assert "given back to be tried again" in said
    assert site.trials()[1].state == "WAITING"

    (site.signs / "began-1").unlink()
    drained = site.started("--job", job, "--trust", "--", "s")
    wait_until(lambda: (site.signs / "began-1").exists())
    with closing(BookStorage(str(site.book), create=False)) as storage:
        storage.launches.ask(job.partition("/")[0], DRAIN)
    # It hears of it with the renewal of its lease, while its trial runs.
    assert drained.stderr is not None
    for line in drained.stderr:
        if "was asked to leave, and finishes its trial first" in line:
            break
    (site.signs / "go").touch()
    drained.communicate(timeout=120)
    assert drained.returncode == 0
    trials = site.trials()
    assert [trial.state for trial in trials] == ["COMPLETE", "COMPLETE"]
    first, second = trials[1].attempts
    assert first.end_reason is EndReason.PREEMPTED
    assert second.end_reason is EndReason.COMPLETE
    with closing(BookStorage(str(site.book), create=False)) as storage:
        digest = second.coordinates.of(Kind.EXECUTION)
        assert digest is not None
        launch = storage.snapshot(digest).state_as(LaunchState)
        workers = storage.leases.workers(storage.get_study_id_from_name("s"))
    assert (launch.launcher, launch.job_id) == ("local", job)
    assert [worker.identity.launch for worker in workers] == [None, job, job]
    assert {worker.state for worker in workers} == {"left"}


def test_what_no_record_holds_is_asked_for(
    site: Site, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (site.place / "secret.yaml").write_text("api_key: not a real one\n")
    code = (
        "from trialbook import tracked_objective\n"
        f"@tracked_objective(config={str(site.place / 'secret.yaml')!r})"
    )
    site.ran(code + SECRET.replace("\n    ", "\n"), budget=2)
    capfd.readouterr()
    monkeypatch.chdir(site.empty)
    assert exit_code_of_command(["worker", "--trust", "s"]) == 2
    said = capfd.readouterr().err
    assert "api_key" in said
    assert "--config FILE" in said
    given = ["worker", "--trust", "--config", str(site.place / "secret.yaml"), "s"]
    assert exit_code_of_command(given) == 0
    out, said = capfd.readouterr()
    assert "the worker leaves: the budget is met" in said
    assert out == ""
    assert [trial.state for trial in site.trials()] == ["COMPLETE"] * 2


def test_a_signal_before_the_first_trial_ends_a_worker_as_one_that_is_preempted(
    recorded_book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Path(os.environ["XDG_CACHE_HOME"]) / "trialbook" / "code"
    kept.mkdir(parents=True)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with closing(BookStorage(str(recorded_book), create=False)) as storage:
        reference = storage.reference(storage.get_study_id_from_name("s"))
    assert reference is not None
    site = Site(tmp_path, monkeypatch)
    arguments = ("--trust", "--storage", str(recorded_book), "s")
    with locked(kept / f"{reference.coordinates.code}.lock", print, "does the same"):
        worker = site.started(*arguments, TMPDIR=str(temporary))
        assert worker.stderr is not None
        assert "waiting for another process" in worker.stderr.readline()
        worker.send_signal(signal.SIGTERM)
        _, said = worker.communicate(timeout=120)
    assert worker.returncode == 0, said
    assert "a signal asked the run to stop" in said
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nothing"], 3, "there is no study 'nothing'"),
        (["s", "--pinned", "x"], 2, "pins nothing"),
        (["s", "--job", "x"], 2, "names no job"),
        (["s", "--trust", "--job", "0f0f0f0f/1"], 3, "no launch '0f0f0f0f'"),
        (["s", "--data", "x"], 2, "NAME=PATH"),
        (["s", "--trust", "--data", "x=y"], 2, "no input 'x'"),
        (["s", "--trust", "--supply", "x=y"], 1, "not in the record"),
        (["s", "--pinned", f"book:{'0' * 64}"], 2, "BOOK:CODE"),
    ],
)
def test_what_cannot_be_is_refused(
    recorded_book: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    message: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    found = exit_code_of_command(["worker", *arguments, "--storage", str(recorded_book)])
    said = capfd.readouterr().err
    assert message in said
    assert found == code
    assert "Traceback" not in said


@pytest.fixture(scope="module")
def recorded_book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A book with a study whose only trial has run, and two to go."""
    place = tmp_path_factory.mktemp("recorded")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        site = Site(place, patch)
        site.ran("def objective(trial):\n    return trial.suggest_float('x', 0, 1)\n")
    return site.book
