"""A trial that was killed and went on elsewhere, run again from the beginning."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest
from sqlalchemy import update

from trialbook.book import schema
from trialbook.book.book import Book
from trialbook.book.storage import BookStorage
from trialbook.book.verification import verify
from trialbook.records.execution import EndReason
from trialbook.records.verdict import Verdict

from .conftest import Project

_WALK = """
import os, random, signal
import numpy as np
try:
    import torch
except ImportError:
    torch = None

@tracked_objective
def objective(trial):
    weights = trial.dir / "weights.npz"
    step, x = 0, np.array([trial.suggest_float("x", 0, 1)])
    (trial.dir / "start.txt").write_text("begun")
    noise = np.random.normal()  # drawn anew by each attempt; the checkpoint sets it right
    found = trial.load_checkpoint()
    if found is not None:
        state = np.load(found)
        step, x = int(state["step"]), state["x"]
    while step < 8:
        x = x + random.random() + np.random.normal() + trial.rng.normal()
        if torch is not None:
            x = x + torch.randn(1).numpy()
        trial.log({"x": x[0], "twice": 2 * x[0]})
        trial.log({"late": x[0]}, step=100 - step)
        trial.report(x[0], step)
        if trial.should_prune():
            raise optuna.TrialPruned
        step += 1
        if step == 2:
            trial.log_artifact(trial.dir / "start.txt")
        if step % 3 == 0:
            np.savez(weights, step=step, x=x)
            trial.save_checkpoint(weights)
        if step == int(os.environ.get("DIE_AT", -1)):
            os.kill(os.getpid(), signal.SIGKILL)
    return float(x[0])

study = trialbook.create_study(study_name="s", storage=BOOK, seed=3, load_if_exists=True)
study.optimize(objective, n_trials=1)
"""


def killed(project: Project, step: int) -> None:
    """Run the script in a process that is killed after a step; a reaper gives its trial back."""
    project.script(_WALK, env={"DIE_AT": str(step)}, code=-signal.SIGKILL)
    storage = BookStorage(project.book)
    with storage.book.writing() as connection:
        connection.execute(update(schema.attempt).values(lease=0.0))
    assert len(storage.reap()) == 1
    with storage.book.writing() as connection:
        connection.execute(update(schema.trial).values(not_before=None))
    storage.close()


@pytest.mark.filterwarnings("ignore::trialbook.errors.TrialbookWarning")
def test_a_trial_killed_twice_and_gone_on_with_is_identical(project: Project) -> None:
    killed(project, 5)
    killed(project, 7)
    project.script(_WALK)
    trial = project.trial("s/0")
    assert [a.end_reason for a in trial.attempts] == [
        EndReason.LOST,
        EndReason.LOST,
        EndReason.COMPLETE,
    ]
    origins = [
        a.resumed_from and (a.resumed_from.attempt, a.resumed_from.number) for a in trial.attempts
    ]
    assert origins == [None, (1, 1), (2, 1)]
    assert {summary.metric: summary.count for summary in trial.series} == {
        "x": 8,
        "twice": 8,
        "late": 8,
        "objective": 8,
    }
    report = project.rerun()
    assert report.differences == ()
    assert report.verdict is Verdict.IDENTICAL
    assert report.points == 32
    assert report.artifacts == 1
    book = Book.open(project.book, create=False)
    assert verify(book).mismatches == ()
    book.close()


def test_the_documented_objective_works_as_it_is_written(project: Project) -> None:
    page = (Path(__file__).parents[2] / "docs" / "checkpoints.md").read_text()
    (script,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    project.write("train.py", script)
    project.run("train.py", env={"TRIALBOOK_STORAGE": str(project.book)})
    trial = project.trial("walk/2")
    assert trial.state == "COMPLETE"
    assert [len(attempt.checkpoints) for attempt in trial.attempts] == [5]


def test_what_an_earlier_attempt_ran_with_is_said_when_the_rerun_differs(project: Project) -> None:
    killed(project, 5)
    project.script(_WALK.replace("2 * x[0]", "3 * x[0]"))
    report = project.rerun()
    assert report.verdict is Verdict.DIFFERENT
    assert report.reason is not None
    assert "attempt 2 went on from a checkpoint of attempt 1, of which other code" in report.reason
    (first, *_) = report.differences
    assert (first.name, first.step) == ("twice", 0)
