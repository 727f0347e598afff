"""``trialbook run`` as a user meets it: real processes, real signals, exit codes, two streams."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

import pytest

from trialbook.book.book import Book
from trialbook.book.reading import Reader
from trialbook.book.storage import BookStorage
from trialbook.cli.main import exit_code_of_command
from trialbook.records.execution import EndReason
from trialbook.running.outcome import RunEnd, RunOutcome
from trialbook.running.progress import RunState, TrialEnd

from ..terminals import OnTerminal

START = [sys.executable, "-c", "from trialbook.cli.main import main; main()", "run"]

QUICK = """
    def objective(trial):
        return trial.suggest_float("x", 0, 1) + trial.suggest_int("n", 1, 3)
"""

SLOW = """
    import pathlib, time
    def objective(trial):
        place = pathlib.Path(__file__).parent
        print("before the signal", flush=True)
        (place / f"began-{trial.number}").touch()
        while not (place / "go").exists():
            time.sleep(0.01)
        return trial.suggest_float("x", 0, 1)
"""


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRIALBOOK_STORAGE", raising=False)
    (tmp_path / "train.py").write_text(dedent(QUICK))
    return tmp_path


class Said(NamedTuple):
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(lab: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Runs the command in this process; its workers are processes as always."""

    def run(*arguments: str) -> Said:
        capfd.readouterr()
        code = exit_code_of_command(["run", *arguments])
        return Said(code, *capfd.readouterr())

    return run


def trials(study: str = "train"):
    book = Book.open(None, create=False, read_only=True)
    try:
        return list(Reader(book).trials(study))
    finally:
        book.close()


def wait_until(condition: Callable[[], object], timeout_s: float = 120.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def test_an_objective_is_run_to_its_budget_and_then_nothing_starts(lab: Path, run) -> None:
    first = subprocess.run(
        [*START, "train.py:objective", "--trials", "4", "--workers", "2", "--seed", "1"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert first.returncode == 0, first.stderr
    assert first.stderr.splitlines()[0] == "train: 0 done, 4 to go"
    assert first.stdout.count("COMPLETE") == 3
    assert "\x1b" not in first.stdout + first.stderr
    again = run("train.py::objective", "--trials", "4")
    assert again.code == 0, again.err
    assert again.err.splitlines()[0] == "train: 4 done, 0 to go"
    assert again.out == first.stdout
    assert len(trials()) == 4


def test_a_study_file_with_flags_on_top(lab: Path, run) -> None:
    (lab / "studies").mkdir()
    (lab / "in.csv").write_text("data")
    (lab / "train.py").write_text(
        "def objective(trial):\n"
        "    trial.set_user_attr('config', trial.config)\n"
        "    trial.set_user_attr('data', trial.data['train'].read_text())\n"
        "    return trial.suggest_float('x', 0, 1)\n"
    )
    (lab / "studies" / "s.yaml").write_text(
        "objective: ../train.py:objective\nbudget: {trials: 5}\nisolation: fresh\n"
        "config: {model: {depth: 1, rate: 0.5}}\ndirection: maximize\n"
    )
    result = run(
        *("studies/s.yaml", "--study", "other", "--trials", "1", "--set", "model.rate=1e-3"),
        *("--data", "train=in.csv", "--isolation", "none", "--max-failures", "1"),
    )
    assert result.code == 0, result.err
    (done,) = trials("other")
    assert done.user_attrs["config"] == {"model": {"depth": 1, "rate": 0.001}}
    assert done.user_attrs["data"] == "data"
    book = Book.open(None, create=False, read_only=True)
    study = Reader(book).study("other")
    book.close()
    assert study.directions == ("maximize",)
    assert study.spec.isolation == "none"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nothing.yaml"], 2, "cannot be read"),
        (["train.py"], 3, "train.py:objective"),
        (["nothing.py:objective"], 3, "there is no such file"),
        (["train.py:objectiv"], 3, "did you mean 'objective'?"),
        (["train.py:objective", "--set", "x"], 2, "sets nothing"),
        (["train.py:objective", "--data", "x"], 2, "maps nothing"),
        (["train.py:objective", "--gpus-per-worker", "99"], 2, "visible"),
        (["train.py:objective", "--trials", "0"], 2, "trials"),
    ],
)
def test_bad_input_says_what_and_leaves_nothing(
    lab: Path, run, arguments: list[str], code: int, message: str
) -> None:
    result = run(*arguments, "--trials", "2") if "--trials" not in arguments else run(*arguments)
    assert message in result.err
    assert result.code == code, result.err
    assert result.out == ""
    assert "Traceback" not in result.err
    book = lab / ".trialbook" / "book.db"
    if book.exists():
        storage = BookStorage(book, create=False)
        assert storage.get_all_studies() == []
        storage.close()


def test_every_fault_of_a_study_file_is_shown(lab: Path, run) -> None:
    (lab / "s.yaml").write_text("objectve: train.py:objective\nsampler: TPE\nworkers: 0\n")
    result = run("s.yaml")
    assert result.code == 2
    for text in ("did you mean 'objective'?", "did you mean 'TPESampler'?", "workers"):
        assert text in result.err


def test_debug_shows_the_traceback_of_the_users_code(lab: Path, run) -> None:
    (lab / "train.py").write_text("def broken():\n    return 1 / 0\nbroken()\n")
    result = run("train.py:objective", "--trials", "1", "--debug")
    assert result.code == 3
    assert "return 1 / 0" in result.err
    assert f"at: {lab / 'train.py'}:2" in result.err


def test_first_failures_end_the_run_with_the_last_error(lab: Path, run) -> None:
    (lab / "train.py").write_text("def objective(trial):\n    raise OSError(f'{trial.number}!')\n")
    result = run("train.py:objective", "--trials", "9", "--isolation", "none")
    assert result.code == 1
    assert "OSError: 2!" in result.err.splitlines()[-3]
    assert [trial.state for trial in trials()] == ["FAIL"] * 3


@pytest.mark.parametrize(
    ("end", "states", "code", "says"),
    [
        (RunEnd.BUDGET, {"PRUNED": 1}, 0, ""),
        (RunEnd.BUDGET, {"FAIL": 1}, 1, "every trial of this run failed"),
        (RunEnd.TIME, {"FAIL": 1}, 1, "the time is over"),
        (RunEnd.BUDGET, {"RUNNING": 1}, 5, "1 trial is RUNNING elsewhere"),
        (RunEnd.BUDGET, {"PRUNED": 1, "RUNNING": 2}, 5, "2 trials are RUNNING elsewhere"),
        (RunEnd.TIME, {"RUNNING": 1}, 0, "the time is over"),
        (RunEnd.PREEMPTED, {"RUNNING": 1}, 0, "the same command goes on"),
        (RunEnd.DRAINED, {"FAIL": 1}, 130, "the same command goes on"),
        (RunEnd.ABANDONED, {}, 130, "the same command goes on"),
    ],
)
def test_the_code_says_how_a_run_ended(
    lab: Path, run, monkeypatch: pytest.MonkeyPatch, end: RunEnd, states, code: int, says: str
) -> None:
    ended = tuple(
        TrialEnd(number, state, None, None)
        for number, state in enumerate(state for state in states if state != "RUNNING")
    )
    outcome = RunOutcome("train", end, RunState("train", 1, 1, states=states), ended)
    monkeypatch.setattr("trialbook.running.run.run_study", lambda *_: outcome)
    said = run("train.py:objective")
    assert (said.code, said.out) == (code, "")
    assert says in said.err


def test_a_run_that_is_not_as_recorded_is_refused_with_the_ways_out(
    lab: Path, run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other code; and another machine: Optuna unpickles what the book holds for some samplers."""
    first = ("train.py:objective", "--isolation", "none", "--trials")
    assert run(*first, "1").code == 0
    (lab / "train.py").write_text(dedent(QUICK) + "\n# edited\n")
    edited = run(*first, "2")
    assert edited.code == 2
    assert "train.py" in edited.err
    assert "--allow code" in edited.err
    assert "--study" in edited.err

    (lab / "train.py").write_text(dedent(QUICK))
    monkeypatch.setenv("XDG_STATE_HOME", str(lab / "elsewhere"))
    refused = run(*first, "2")
    assert refused.code == 2
    assert "nothing shows that the study was created on this machine" in refused.err
    assert "add --trust" in refused.err
    assert len(trials()) == 1
    trusted = run(*first, "2", "--trust")
    assert trusted.code == 0, trusted.err
    assert len(trials()) == 2


class Started:
    """The command as a program; what it writes goes to files, to be looked at while it runs."""

    def __init__(self, place: Path, *arguments: str) -> None:
        self._files = [place / "stdout.txt", place / "stderr.txt"]
        with self._files[0].open("w") as out, self._files[1].open("w") as err:
            self.process = subprocess.Popen([*START, *arguments], stdout=out, stderr=err)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    @property
    def out(self) -> str:
        return self._files[0].read_text()

    @property
    def err(self) -> str:
        return self._files[1].read_text()

    def ends(self) -> int:
        return self.process.wait(timeout=120)


@contextmanager
def started(place: Path, *arguments: str, begins: tuple[str, ...]) -> Iterator[Started]:
    """A run that has come so far that files are there; killed in the end if it still runs."""
    program = Started(place, *arguments)
    try:
        wait_until(lambda: all((place / name).exists() for name in begins))
        yield program
    finally:
        program.process.kill()
        program.process.wait()


AGAIN = "press Ctrl-C again to abandon"


def test_ctrl_c_once_finishes_what_runs(lab: Path, run) -> None:
    (lab / "train.py").write_text(dedent(SLOW))
    slow = ("train.py:objective", "--trials", "6", "--workers", "2")
    with started(lab, *slow, begins=("began-0", "began-1")) as program:
        program.send(signal.SIGINT)
        wait_until(lambda: f"finishing 2 running trials; {AGAIN} them at once" in program.err)
        assert program.process.poll() is None
        (lab / "go").touch()
        assert program.ends() == 130
        assert program.out.count("COMPLETE") == 2
    assert [trial.state for trial in trials()] == ["COMPLETE"] * 2
    again = run("train.py:objective", "--trials", "6")
    assert again.err.splitlines()[0] == "train: 2 done, 4 to go"
    assert [trial.state for trial in trials()] == ["COMPLETE"] * 6


def test_ctrl_c_and_another_signal_abandon_what_runs(lab: Path) -> None:
    (lab / "train.py").write_text(dedent(SLOW))
    for number, second in enumerate((signal.SIGINT, signal.SIGTERM)):
        slow = ("train.py:objective", "--trials", "3")
        with started(lab, *slow, begins=(f"began-{number}",)) as program:
            program.send(signal.SIGINT)
            wait_until(lambda: AGAIN in program.err)
            program.send(second)
            assert program.ends() == 130
            # Abandoned ones don't count.
            assert program.err.splitlines()[0] == "train: 0 done, 3 to go"
    done = trials()
    assert [trial.state for trial in done] == ["FAIL"] * 2
    assert {trial.attempt.end_reason for trial in done} == {EndReason.ABANDONED}
    assert all(trial.attempt.outcome.stdout.size_bytes > 0 for trial in done)


def test_ctrl_c_from_a_terminal_reaches_the_command_alone(lab: Path) -> None:
    """The terminal sends SIGINT to its whole foreground process group."""
    (lab / "train.py").write_text(dedent(SLOW))
    with OnTerminal("run", "train.py:objective", "--trials", "4") as terminal:
        wait_until((lab / "began-0").exists)
        terminal.shows("1 running")
        terminal.type("\x03")
        terminal.shows("Ctrl-C again")
        (lab / "go").touch()
        assert terminal.ends()[0] == 130
    assert [trial.state for trial in trials()] == ["COMPLETE"]


def test_ctrl_c_ends_a_hanging_import(lab: Path) -> None:
    (lab / "train.py").write_text(
        "import pathlib, time\npathlib.Path(__file__).with_name('importing').touch()\n"
        "time.sleep(600)\n"
    )
    with started(lab, "train.py:objective", "--trials", "2", begins=("importing",)) as program:
        program.send(signal.SIGINT)
        assert program.ends() == 130
    assert trials() == []
