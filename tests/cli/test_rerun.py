"""``trialbook rerun`` as a user calls it: output, exit codes, questions."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from trialbook.cli.main import exit_code_of_command

PROJECT = """
import os, pathlib, time
import optuna, trialbook

PLACE = pathlib.Path("PLACE")

@trialbook.tracked_objective(data={"train": "PLACE/train.csv"}, config={"scale": 2.0})
def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    for step in range(3):
        value = x * trial.config["scale"] + step
        if trial.number == 1 and step == 1:
            value = time.time()
        trial.log({"value": value}, step=step)
        trial.report(value, step)
    trial.should_prune()
    if trial.number == 2:
        trial.study.best_value
    if trial.number == 3 and (PLACE / "again").exists():
        (PLACE / "part").write_text(str(os.getpid()))
        (PLACE / "part").rename(PLACE / "pid")
        time.sleep(600)
    return value
"""


class Ended(NamedTuple):
    """What a command ended with."""

    code: int
    out: str
    err: str


class Shell:
    """Runs the command line in a directory with a project and a book."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data = root / "train.csv"
        self.data.write_text("3.5\n")
        project = root / "project"
        project.mkdir()
        text = textwrap.dedent(PROJECT).replace("PLACE/", f"{root}/")
        (project / "tune.py").write_text(text.replace('"PLACE"', repr(str(root))))
        self.capture: pytest.CaptureFixture[str] | None = None

    def enter(self, patch: pytest.MonkeyPatch) -> None:
        """Go to the directory, where its book, key and cache are found."""
        patch.chdir(self.root)
        patch.setenv("TRIALBOOK_STORAGE", str(self.root / "book.db"))
        patch.setenv("XDG_STATE_HOME", str(self.root / "state"))
        patch.setenv("XDG_CACHE_HOME", str(self.root / "cache"))

    def __call__(self, *arguments: str) -> Ended:
        assert self.capture is not None
        self.capture.readouterr()
        code = exit_code_of_command(arguments)
        return Ended(code, *self.capture.readouterr())


@pytest.fixture(scope="module")
def recorded_shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A project whose search was run once, and whose code is gone."""
    shell = Shell(tmp_path_factory.mktemp("rerun"))
    with pytest.MonkeyPatch.context() as patch:
        shell.enter(patch)
        search = ("project/tune.py:objective", "--trials", "4", "--seed", "1", "--study", "s")
        assert exit_code_of_command(["run", *search, "--isolation", "none"]) == 0
    (shell.root / "project" / "tune.py").unlink()
    return shell


@pytest.fixture
def shell(
    recorded_shell: Shell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Shell]:
    recorded_shell.enter(monkeypatch)
    recorded_shell.capture = capsys
    yield recorded_shell
    recorded_shell.capture = None


def test_the_last_line_is_the_verdict_with_what_was_compared(shell):
    ended = shell("rerun", "s/0")
    assert ended.code == 0, ended.err
    assert ended.out.splitlines() == ["s/0: identical (6 points, 1 param and 0 artifacts compared)"]
    assert "identical" in shell("show", "s/0").out


def test_a_different_one_names_the_first_point_and_exits_4(shell):
    ended = shell("rerun", "s/1")
    assert ended.code == 4, ended.err
    *_, first, verdict = ended.out.splitlines()
    assert first.startswith(("the first difference is value at step 1:",
                             "the first difference is objective at step 1:"))  # fmt: skip
    assert "recorded" in first
    assert "in the rerun" in first
    assert verdict.startswith("s/1: different (6 points")


def test_what_cannot_be_compared_exits_5_with_the_reason(shell):
    ended = shell("rerun", "s/2")
    assert ended.code == 5, ended.err
    assert "looked at the study's trials" in ended.out
    assert ended.out.splitlines()[-1].startswith("s/2: not comparable")


def test_json_is_the_whole_report(shell):
    ended = shell("rerun", "s/1", "--format", "json")
    assert ended.code == 4
    report = json.loads(ended.out)
    assert report["verdict"] == "different"
    assert report["differences"][0]["step"] == 1
    assert report["reference"] == "s/1"


@pytest.mark.slow
def test_several_times_end_in_the_worst_verdict(shell):
    ended = shell("rerun", "s/1", "--times", "2")
    assert ended.code == 4
    assert "SPREAD" in ended.out
    assert ended.out.splitlines()[-1].endswith("compared over 2 reruns)")


def test_changed_data_stop_it_and_can_be_mapped_or_allowed(shell, tmp_path):
    copy = tmp_path / "copy.csv"
    copy.write_bytes(shell.data.read_bytes())
    shell.data.write_text("3.6\n")
    try:
        stopped = shell("rerun", "s/0")
        assert stopped.code == 1
        assert "'train' has changed: expected 4 bytes" in stopped.err
        assert stopped.out == ""
        mapped = shell("rerun", "s/0", "--data", f"train={copy}", "--format", "csv")
        assert mapped.code == 0
        rows = list(csv.reader(mapped.out.splitlines()))
        assert ["rerun", "1", "verdict", "identical"] in rows
        assert ["rerun", "1", "points", "6"] in rows
        allowed = shell("rerun", "s/0", "--allow", "data")
        assert allowed.code == 0
        assert "other data than recorded, as allowed (train)" in allowed.out
    finally:
        shell.data.write_bytes(copy.read_bytes())


def test_code_from_elsewhere_is_asked_about(shell, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
    asked = shell("rerun", "s/0")
    assert asked.code == 2
    assert "--trust" in asked.err
    assert shell("rerun", "s/0", "--trust").code == 0


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("rerun", "s/99"), 3),
        (("rerun", "nothing/0"), 3),
        (("rerun", "s"), 2),
        (("rerun", "s/0", "--data", "train"), 2),
        (("rerun", "s/0", "--data", "other=x"), 2),
        (("rerun", "s/0", "--times", "0"), 2),
        (("rerun", "s/0", "--rtol", "-1"), 2),
        (("rerun", "s/0", "--storage", "/nonexistent/book.db"), 3),
    ],
)
def test_bad_input_is_refused(shell, arguments, code):
    ended = shell(*arguments)
    assert ended.code == code, ended.err
    assert ended.out == ""
    assert ended.err


def test_interrupting_it_leaves_nothing_running(shell):
    (shell.root / "again").touch()
    process = subprocess.Popen(
        [sys.executable, "-m", "trialbook", "rerun", "s/3"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 120
        while not (shell.root / "pid").exists():
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130
    child = int((shell.root / "pid").read_text())
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie"
