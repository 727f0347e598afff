"""The cases that must come out right, each a recorded search that is run again from its book."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from trialbook.cli.main import exit_code_of_command
from trialbook.errors import RerunError, RestoreDataError
from trialbook.records.verdict import Verdict

from .conftest import HEAD, SEARCH

PLAIN = (
    """
import random
import numpy as np
import helper

@tracked_objective(config={"epochs": 3}, seed=1)
def objective(trial):
    lr = trial.suggest_float("lr", 1e-4, 1e-1, log=True)
    for epoch in range(trial.config["epochs"]):
        loss = helper.loss(lr) + random.random() + np.random.rand() + trial.rng.normal()
        trial.log({"loss": loss, "gap": 2 * loss})
        trial.report(loss, epoch)
        trial.should_prune()
    (trial.dir / "model.txt").write_text(repr(loss))
    trial.log_artifact(trial.dir / "model.txt")
    return loss
"""
    + SEARCH
)


def is_identical(report, *, points: int, artifacts: int = 0) -> bool:
    assert report.differences == (), report
    assert report.coordinates == ()
    assert (report.points, report.artifacts) == (points, artifacts)
    return report.verdict is Verdict.IDENTICAL


def test_an_edited_or_lost_objective_changes_nothing(project):
    project.write("helper.py", "def loss(lr):\n    return lr * 10\n")
    project.script(PLAIN.replace("n_trials=2", "n_trials=38"))
    project.write("train.py", "raise SystemExit('edited since')\n")
    project.write("helper.py", "raise SystemExit('edited since')\n")
    assert is_identical(project.rerun("s/37"), points=9, artifacts=1)  # the 38th in its process
    shutil.rmtree(project.root)
    assert is_identical(project.rerun("s/0"), points=9, artifacts=1)


def test_an_untracked_helper_module_is_restored_without_git(project):
    project.write(".gitignore", "ignored_helper.py\n")
    project.write("helper.py", "from ignored_helper import factor\nloss = lambda lr: lr * factor\n")
    project.write("ignored_helper.py", "factor = 10\n")
    project.write("train.py", "# committed\n")
    for command in (
        ["git", "init", "-q"],
        ["git", "add", "train.py", ".gitignore"],
        ["git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "first"],
    ):
        subprocess.run(command, cwd=project.root, check=True)
    project.script(PLAIN)
    shutil.rmtree(project.root)
    assert is_identical(project.rerun("s/0"), points=9, artifacts=1)


DATA = """
@tracked_objective(data={"train": INPUT})
def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    value = x * float(trial.data["train"].read_text())
    trial.log({"value": value})
    return value
"""


@pytest.fixture
def outside(tmp_path: Path, project) -> Path:
    """An input that lies outside the project, and a search that used it."""
    path = tmp_path / "train.csv"
    path.write_text("3.5")
    project.script(DATA.replace("INPUT", repr(str(path))) + SEARCH)
    return path


def test_a_changed_byte_in_the_data_stops_the_rerun_and_is_named(project, outside, tmp_path):
    kept = tmp_path / "kept.csv"
    shutil.copy(outside, kept)
    outside.write_text("3.6")
    with pytest.raises(RestoreDataError) as caught:
        project.rerun()
    for part in (
        "'train' has changed",
        "expected 3 bytes of sha256:",
        str(outside),
        "--allow data",
    ):
        assert part in str(caught.value)
    assert project.trial("s/0").reruns == ()
    assert is_identical(project.rerun(data={"train": kept}), points=1)
    allowed = project.rerun(allow=["data"])
    assert allowed.verdict is Verdict.DIFFERENT
    assert "other data than recorded" in allowed.reason
    assert [(item.kind, item.what) for item in allowed.coordinates] == [("data", "train")]
    assert allowed.differences[0].name == "value"


def test_missing_data_is_named_and_not_even_allowed(project, outside):
    outside.unlink()
    for allow in ((), ("data",)):
        with pytest.raises(RestoreDataError) as caught:
            project.rerun(allow=allow)
        assert "'train' is missing: expected 3 bytes of sha256:" in str(caught.value)
        assert str(outside) in str(caught.value)


def test_an_objective_that_reads_the_clock_or_global_state_is_different_from_there(project):
    project.script(
        """
import time

count = 0

@tracked_objective
def objective(trial):
    global count
    count += 1
    trial.suggest_float("x", 0, 1)
    for step in range(4):
        trial.log({"steady": float(step)}, step=10 * step)
        if step == 2:
            trial.log({"clock": time.time_ns() % 1e12}, step=10 * step)
        if step == 3:
            trial.log({"count": count}, step=10 * step)
    return float(count)
"""
        + SEARCH
    )
    report = project.rerun("s/1")
    assert report.verdict is Verdict.DIFFERENT
    first, *others = report.differences
    assert (first.what, first.name, first.step) == ("point", "clock", 20)
    assert isinstance(first.recorded, float)
    assert isinstance(first.rerun, float)
    assert [(d.what, d.name, d.recorded, d.rerun) for d in others] == [
        ("point", "count", 2.0, 1.0),
        ("returned", "returned", 2.0, 1.0),
    ]
    assert report.points == 6


def test_a_param_asked_by_another_name_is_not_comparable(project):
    project.script(
        """
import pathlib
flag = pathlib.Path.home() / "flag"

@tracked_objective
def objective(trial):
    lr = trial.suggest_float("rate" if flag.exists() else "lr", 0, 1)
    trial.log({"lr": lr})
    return lr
"""
        + SEARCH,
        env={"HOME": str(project.root.parent)},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(project.root.parent))
        (project.root.parent / "flag").touch()
        report = project.rerun()
    assert report.verdict is Verdict.NOT_COMPARABLE
    assert "param 'rate', which the recorded trial never asked for" in report.reason
    assert "lr" in report.reason


FAILING = """
class Diverged(Exception):
    pass

@tracked_objective
def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    for step in range(3):
        trial.log({"x": x * step}, step=step)
        if step == 1:
            raise Diverged(f"at {step}, {object()}")
    return x
"""


def test_a_failed_trial_is_identical_when_it_fails_at_the_same_place_alone(project, tmp_path):
    flag = tmp_path / "flag"
    project.script(
        FAILING.replace(
            "if step == 1", f"if step == (2 if Path({str(flag)!r}).exists() else 1)"
        ).replace("class Diverged", "from pathlib import Path\nclass Diverged")
        + SEARCH
    )
    assert project.trial("s/0").state == "FAIL"
    assert is_identical(project.rerun(), points=2)
    flag.touch()
    report = project.rerun()
    assert report.verdict is Verdict.DIFFERENT
    first = report.differences[0]
    assert (first.name, first.step, first.recorded) == ("x", 2, None)


def test_a_pruned_trial_is_identical_and_runs_no_point_more(project):
    project.script(
        """
@tracked_objective
def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    for step in range(10):
        trial.log({"value": x + step}, step=step)
        trial.report(x + step, step)
        if trial.should_prune():
            raise optuna.TrialPruned()
    return x

study = trialbook.create_study(
    study_name="s", storage=BOOK, seed=3, pruner=optuna.pruners.ThresholdPruner(upper=2.5)
)
study.optimize(objective, n_trials=1)
"""
    )
    trial = project.trial("s/0")
    assert trial.state == "PRUNED"
    assert 1 < len(trial.attempt.prune_answers) < 10
    assert is_identical(project.rerun(), points=2 * len(trial.attempt.prune_answers))


def test_a_script_with_argparse_is_executed_with_its_arguments(project):
    project.write(
        "train.py",
        HEAD
        + """
import argparse, sys

parser = argparse.ArgumentParser()
parser.add_argument("--scale", type=float, required=True)
arguments = parser.parse_args()
assert sys.argv[0] == "train.py"

@tracked_objective
def other(trial):
    raise AssertionError("not the recorded objective")

def make(scale):
    @tracked_objective
    def objective(trial):
        x = trial.suggest_float("x", 0, 1)
        trial.log({"scaled": scale * x})
        return scale * x
    return objective

study = trialbook.create_study(study_name="s", storage=BOOK, seed=3)
if len(study.trials) == 0:
    study.enqueue_trial({"x": 0.25})
study.optimize(make(arguments.scale), n_trials=2)
open("after.txt", "w").write("the search went on")
""",
    )
    project.run("train.py", "--scale", "2.5")
    trial = project.trial("s/1")
    (project.root / "after.txt").unlink()
    shutil.rmtree(project.root)
    assert is_identical(project.rerun("s/0"), points=1)
    assert is_identical(project.rerun("s/1"), points=1)
    assert trial.attempt.returned != 2.5 * 0.25


def test_links_data_and_output_in_the_code_tree_are_those_of_the_record(project):
    project.write("real.py", "def loss(x):\n    return x * 10\n")
    (project.root / "helper.py").symlink_to(project.root / "real.py")
    project.write("data/train.csv", "3.5")
    project.script(
        """
from pathlib import Path
import helper

@tracked_objective(data={"train": "data/train.csv"})
def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    trial.log({"loss": helper.loss(x), "data": float(trial.data["train"].read_text())})
    out = Path("out")
    out.mkdir(exist_ok=True)
    (out / f"{trial.number}.txt").write_text(repr(x))
    with open("log.txt", "a") as log:
        log.write(f"{x}\\n")
    trial.log_artifact(out / f"{trial.number}.txt")
    return x
"""
        + SEARCH
    )
    project.write("real.py", "def loss(x):\n    return x * 11\n")
    project.write("data/train.csv", "9.9")
    before = sorted(path.name for path in project.root.rglob("*"))
    assert is_identical(project.rerun("s/1"), points=2, artifacts=1)
    assert sorted(path.name for path in project.root.rglob("*")) == before
    assert len((project.root / "log.txt").read_text().splitlines()) == 2


def test_a_trial_that_was_not_tracked_is_refused_with_every_reason(project):
    project.script(
        """
study = optuna.create_study(study_name="s", storage=trialbook.BookStorage(BOOK))
study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
study.ask()
"""
    )
    with pytest.raises(RerunError, match="never executed under tracking|not tracked"):
        project.rerun("s/0", trust=True)
    with pytest.raises(RerunError, match="RUNNING"):
        project.rerun("s/1", trust=True)


REFUSED = [
    'trial.log({"m" * 600: 1.0})',
    'trial.log({"objective": 1.0})',
    'trial.log({"loss": 1.0}, step=2**63)',
    'trial.set_user_attr("k" * 600, 1)',
    'trial.set_user_attr("k", object())',
    'trial.log_artifact(__file__, name="n" * 600)',
]

REFUSING = (
    f"""
import zlib

@tracked_objective()
def objective(trial):
    trial.log({{"x": trial.suggest_float("x", 0.0, 1.0)}})
    for statement in {REFUSED!r}:
        try:
            exec(statement)
        except Exception as error:
            refusal = error
            trial.log({{statement[:20]: zlib.crc32(type(error).__name__.encode())}})
    raise refusal
"""
    + SEARCH
)


def test_what_the_book_refused_is_refused_again(project):
    project.script(REFUSING)
    trial = project.trial("s/0")
    assert trial.state == "FAIL"
    points = 1 + len(REFUSED)
    assert sum(series.count for series in trial.series) == points  # each was refused
    assert is_identical(project.rerun(), points=points)


NESTED = (
    """
@tracked_objective()
def inner(trial):
    return trial.suggest_float("y", 0.0, 1.0)

@tracked_objective()
def objective(trial):
    x = trial.suggest_float("x", 0.0, 1.0)
    nested = trialbook.create_study(study_name=f"nested-{trial.number}", storage=BOOK)
    nested.optimize(inner, n_trials=1)
    return x + nested.best_value
"""
    + SEARCH
)


def test_an_objective_that_opens_another_study_is_not_comparable(project):
    """What the other study's trials gave cannot be replayed: that makes no difference known."""
    project.script(NESTED)
    report = project.rerun("s/0")
    assert report.verdict is Verdict.NOT_COMPARABLE
    assert "opened another study, 'nested-0'" in report.reason


def test_an_objective_that_exits_is_identical_when_it_exits_again(project, monkeypatch):
    project.write(
        "train.py",
        """
        import sys

        def objective(trial):
            trial.suggest_float("x", 0.0, 1.0)
            sys.exit(*[[3], ["no such dataset"], []][trial.number])
        """,
    )
    monkeypatch.chdir(project.root)
    command = ("run", "train.py:objective", "--trials", "3", "--study", "s", "--isolation", "none")
    assert exit_code_of_command([*command, "--storage", str(project.book)]) == 1
    for number in range(3):
        report = project.rerun(f"s/{number}")
        assert is_identical(report, points=0), report
