"""``trialbook rerun`` as a program: output, exit codes, questions."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

PROJECT = """
import pathlib, time
import optuna, trialbook

FLAG = pathlib.Path(__file__).with_name("flag")

@trialbook.tracked_objective(data={"train": "DATA"}, config={"scale": 2.0})
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
    return value
"""


class Shell:
    """Runs the program in a directory with a project and a book."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data = root / "train.csv"
        self.data.write_text("3.5\n")
        project = root / "project"
        project.mkdir()
        text = textwrap.dedent(PROJECT).replace("DATA", str(self.data))
        (project / "tune.py").write_text(text)
        self.env = {
            **os.environ,
            "TRIALBOOK_STORAGE": str(root / "book.db"),
            "XDG_STATE_HOME": str(root / "state"),
            "XDG_CACHE_HOME": str(root / "cache"),
        }

    def __call__(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "trialbook", *arguments],
            cwd=self.root,
            env={**self.env, **env},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A project whose search was run once, by two workers."""
    shell = Shell(tmp_path_factory.mktemp("rerun"))
    ended = shell("run", "project/tune.py:objective", "--trials", "3", "--workers", "2",
                  "--seed", "1", "--study", "s")  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    (shell.root / "project" / "tune.py").unlink()
    return shell


def test_the_last_line_is_the_verdict_with_what_was_compared(shell):
    ended = shell("rerun", "s/0")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == [
        "s/0: identical (6 points, 1 param and 0 artifacts compared)"
    ]
    shown = shell("show", "s/0")
    assert "identical" in shown.stdout


def test_a_different_one_names_the_first_point_and_exits_4(shell):
    ended = shell("rerun", "s/1")
    assert ended.returncode == 4, ended.stderr
    *_, first, verdict = ended.stdout.splitlines()
    assert first.startswith(("the first difference is value at step 1:",
                             "the first difference is objective at step 1:"))  # fmt: skip
    assert "recorded" in first
    assert "in the rerun" in first
    assert verdict.startswith("s/1: different (6 points")


def test_what_cannot_be_compared_exits_5_with_the_reason(shell):
    ended = shell("rerun", "s/2")
    assert ended.returncode == 5, ended.stderr
    assert "looked at the study's trials" in ended.stdout
    assert ended.stdout.splitlines()[-1].startswith("s/2: not comparable")


def test_json_is_the_whole_report(shell):
    ended = shell("rerun", "s/1", "--format", "json")
    assert ended.returncode == 4
    report = json.loads(ended.stdout)
    assert report["verdict"] == "different"
    assert report["differences"][0]["step"] == 1
    assert report["reference"] == "s/1"


def test_csv_has_a_line_for_every_fact(shell):
    ended = shell("rerun", "s/0", "--format", "csv")
    rows = list(csv.reader(ended.stdout.splitlines()))
    assert ["rerun", "1", "verdict", "identical"] in rows
    assert ["rerun", "1", "points", "6"] in rows


@pytest.mark.slow
def test_several_times_end_in_the_worst_verdict(shell):
    ended = shell("rerun", "s/1", "--times", "2")
    assert ended.returncode == 4
    assert "SPREAD" in ended.stdout
    assert ended.stdout.splitlines()[-1].endswith("compared over 2 reruns)")


def test_changed_data_stop_it_and_can_be_mapped_or_allowed(shell, tmp_path):
    copy = tmp_path / "copy.csv"
    copy.write_bytes(shell.data.read_bytes())
    shell.data.write_text("3.6\n")
    try:
        stopped = shell("rerun", "s/0")
        assert stopped.returncode == 1
        assert "'train' has changed: expected 4 bytes" in stopped.stderr
        assert stopped.stdout == ""
        assert shell("rerun", "s/0", "--data", f"train={copy}").returncode == 0
        allowed = shell("rerun", "s/0", "--allow", "data")
        assert allowed.returncode == 0
        assert "other data than recorded, as allowed (train)" in allowed.stdout
    finally:
        shell.data.write_bytes(copy.read_bytes())


def test_code_from_elsewhere_is_asked_about(shell, tmp_path):
    elsewhere = {"XDG_STATE_HOME": str(tmp_path / "elsewhere")}
    asked = shell("rerun", "s/0", **elsewhere)
    assert asked.returncode == 2
    assert "--trust" in asked.stderr
    assert shell("rerun", "s/0", "--trust", **elsewhere).returncode == 0


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
    assert ended.returncode == code, ended.stderr
    assert ended.stdout == ""
    assert ended.stderr


def test_interrupting_it_leaves_nothing_running(shell, tmp_path):
    pid_file = tmp_path / "pid"
    (shell.root / "project" / "slow.py").write_text(
        "import os, pathlib, time, trialbook\n"
        "@trialbook.tracked_objective\n"
        "def objective(trial):\n"
        f"    again = os.path.exists({str(tmp_path / 'again')!r})\n"
        "    if again:\n"
        f"        part = pathlib.Path({str(pid_file) + '.part'!r})\n"
        "        part.write_text(str(os.getpid()))\n"
        f"        part.rename({str(pid_file)!r})\n"
        "        time.sleep(600)\n"
        "    return trial.suggest_float('x', 0, 1)\n"
    )
    ended = shell("run", "project/slow.py:objective", "--trials", "1", "--study", "slow")
    assert ended.returncode == 0, ended.stderr
    (tmp_path / "again").touch()
    process = subprocess.Popen(
        [sys.executable, "-m", "trialbook", "rerun", "slow/0"],
        cwd=shell.root,
        env=shell.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 60
        while not pid_file.exists():
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    child = int(pid_file.read_text())
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie"
