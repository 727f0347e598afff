"""``trialbook run`` as a user meets it: real processes, real signals, exit codes, two streams."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

import pytest

from trialbook.book.book import Book
from trialbook.book.reading import Reader
from trialbook.book.storage import BookStorage
from trialbook.records.execution import EndReason

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


def run(*arguments: str, timeout: float = 90) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*START, *arguments], capture_output=True, text=True, timeout=timeout, check=False
    )


def trials(study: str = "train"):
    book = Book.open(None, create=False, read_only=True)
    try:
        return list(Reader(book).trials(study))
    finally:
        book.close()


def wait_until(condition, timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def test_an_objective_is_run_to_its_budget_and_then_nothing_starts(lab: Path) -> None:
    first = run("train.py:objective", "--trials", "4", "--workers", "2", "--seed", "1")
    assert first.returncode == 0, first.stderr
    assert first.stderr.splitlines()[0] == "train: 0 done, 4 to go"
    assert first.stdout.count("COMPLETE") == 3
    assert "\x1b" not in first.stdout + first.stderr
    again = run("train.py::objective", "--trials", "4")
    assert again.returncode == 0, again.stderr
    assert again.stderr.splitlines()[0] == "train: 4 done, 0 to go"
    assert again.stdout == first.stdout
    more = run("train.py:objective", "--trials", "5")
    assert more.stderr.splitlines()[0] == "train: 4 done, 1 to go"
    assert len(trials()) == 5


def test_a_study_file_with_flags_on_top(lab: Path) -> None:
    (lab / "studies").mkdir()
    (lab / "in.csv").write_text("data")
    (lab / "train.py").write_text(
        "def objective(trial):\n"
        "    trial.set_user_attr('config', trial.config)\n"
        "    trial.set_user_attr('data', trial.data['train'].read_text())\n"
        "    return trial.suggest_float('x', 0, 1)\n"
    )
    (lab / "studies" / "s.yaml").write_text(
        "objective: ../train.py:objective\nbudget: {trials: 1}\n"
        "config: {model: {depth: 1, rate: 0.5}}\ndirection: maximize\n"
    )
    result = run(
        *("studies/s.yaml", "--study", "other", "--trials", "2", "--set", "model.rate=1e-3"),
        *("--data", "train=in.csv", "--isolation", "fresh", "--max-failures", "1"),
    )
    assert result.returncode == 0, result.stderr
    done = trials("other")
    assert len(done) == 2
    assert done[0].user_attrs["config"] == {"model": {"depth": 1, "rate": 0.001}}
    assert done[0].user_attrs["data"] == "data"


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
    lab: Path, arguments: list[str], code: int, message: str
) -> None:
    result = run(*arguments, "--trials", "2") if "--trials" not in arguments else run(*arguments)
    assert message in result.stderr
    assert result.returncode == code, result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    book = lab / ".trialbook" / "book.db"
    if book.exists():
        storage = BookStorage(book, create=False)
        assert storage.get_all_studies() == []
        storage.close()


def test_every_fault_of_a_study_file_is_shown(lab: Path) -> None:
    (lab / "s.yaml").write_text("objectve: train.py:objective\nsampler: TPE\nworkers: 0\n")
    result = run("s.yaml")
    assert result.returncode == 2
    for text in ("did you mean 'objective'?", "did you mean 'TPESampler'?", "workers"):
        assert text in result.stderr


def test_debug_shows_the_traceback_of_the_users_code(lab: Path) -> None:
    (lab / "train.py").write_text("def broken():\n    return 1 / 0\nbroken()\n")
    result = run("train.py:objective", "--trials", "1", "--debug")
    assert result.returncode == 3
    assert "return 1 / 0" in result.stderr
    assert f"at: {lab / 'train.py'}:2" in result.stderr


def test_first_failures_end_the_run_with_the_last_error(lab: Path) -> None:
    (lab / "train.py").write_text("def objective(trial):\n    raise OSError(f'{trial.number}!')\n")
    result = run("train.py:objective", "--trials", "9")
    assert result.returncode == 1
    assert "OSError: 2!" in result.stderr.splitlines()[-3]
    assert [trial.state for trial in trials()] == ["FAIL"] * 3


def test_changed_code_stops_with_the_ways_out(lab: Path) -> None:
    run("train.py:objective", "--trials", "1")
    (lab / "train.py").write_text(dedent(QUICK) + "\n# edited\n")
    result = run("train.py:objective", "--trials", "2")
    assert result.returncode == 2
    assert "train.py" in result.stderr
    assert "--allow code" in result.stderr
    assert "--study" in result.stderr


def started_slow(lab: Path, *arguments: str, **settings) -> subprocess.Popen[str]:
    (lab / "train.py").write_text(dedent(SLOW))
    process = subprocess.Popen(
        [*START, "train.py:objective", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **settings,
    )
    wait_until(lambda: len(list(lab.glob("began-*"))) == 2)
    return process


def test_ctrl_c_once_finishes_what_runs(lab: Path) -> None:
    process = started_slow(lab, "--trials", "6", "--workers", "2")
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    (lab / "go").touch()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "finishing 2 running trials; press Ctrl-C again to abandon them at once" in err
    assert [trial.state for trial in trials()] == ["COMPLETE"] * 2
    assert out.count("COMPLETE") == 2
    again = run("train.py:objective", "--trials", "6", "--workers", "2")
    assert again.stderr.splitlines()[0] == "train: 2 done, 4 to go"
    assert [trial.state for trial in trials()] == ["COMPLETE"] * 6


@pytest.mark.parametrize(
    "signals", [[signal.SIGINT, signal.SIGINT], [signal.SIGINT, signal.SIGTERM]]
)
def test_ctrl_c_twice_abandons_what_runs(lab: Path, signals: list[signal.Signals]) -> None:
    process = started_slow(lab, "--trials", "6", "--workers", "2")
    for number in signals:
        process.send_signal(number)
        time.sleep(0.3)
    process.communicate(timeout=60)
    assert process.returncode == 130
    done = trials()
    assert [trial.state for trial in done] == ["FAIL"] * 2
    assert {trial.attempt.end_reason for trial in done} == {EndReason.ABANDONED}
    assert all(trial.attempt.outcome.stdout.size_bytes > 0 for trial in done)
    (lab / "go").touch()
    again = run("train.py:objective", "--trials", "3")
    assert again.stderr.splitlines()[0] == "train: 0 done, 3 to go", "abandoned ones don't count"
    assert [trial.state for trial in trials()] == ["FAIL"] * 2 + ["COMPLETE"] * 3


def test_ctrl_c_from_a_terminal_reaches_the_command_alone(lab: Path) -> None:
    """The terminal sends SIGINT to its whole foreground process group."""
    main, sub = pty.openpty()
    (lab / "train.py").write_text(dedent(SLOW))
    pid = os.fork()
    if pid == 0:
        os.setsid()
        import fcntl
        import termios

        fcntl.ioctl(sub, termios.TIOCSCTTY, 0)
        for descriptor in (0, 1, 2):
            os.dup2(sub, descriptor)
        os.execv(START[0], [*START, "train.py:objective", "--trials", "4", "--workers", "2"])
    os.close(sub)
    wait_until(lambda: len(list(lab.glob("began-*"))) == 2)
    os.write(main, b"\x03")
    seen = b""
    while b"Ctrl-C again" not in seen:
        seen += os.read(main, 65536)
    (lab / "go").touch()
    try:
        while data := os.read(main, 65536):
            seen += data
    except OSError:
        pass  # the end of a terminal whose other side has closed
    os.close(main)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 130
    assert [trial.state for trial in trials()] == ["COMPLETE"] * 2
    assert b"2 running" in seen


def test_ctrl_c_ends_a_hanging_import(lab: Path) -> None:
    (lab / "train.py").write_text(
        "import pathlib, time\npathlib.Path(__file__).with_name('importing').touch()\n"
        "time.sleep(600)\n"
    )
    process = subprocess.Popen(
        [*START, "train.py:objective", "--trials", "2"], stderr=subprocess.PIPE, text=True
    )
    wait_until((lab / "importing").exists)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert trials() == []


def test_a_study_of_another_machine_asks_for_trust(
    lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Optuna unpickles what the book holds for some samplers."""
    assert run("train.py:objective", "--trials", "1").returncode == 0
    monkeypatch.setenv("XDG_STATE_HOME", str(lab / "elsewhere"))
    refused = run("train.py:objective", "--trials", "2")
    assert refused.returncode == 2
    assert "nothing shows that the study was created on this machine" in refused.stderr
    assert "add --trust" in refused.stderr
    assert len(trials()) == 1
    trusted = run("train.py:objective", "--trials", "2", "--trust")
    assert trusted.returncode == 0, trusted.stderr
    assert len(trials()) == 2
