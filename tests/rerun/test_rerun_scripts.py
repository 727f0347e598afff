"""Reruns that execute the recorded script."""

from __future__ import annotations

import shutil

import pytest

from trialbook.errors import RerunError
from trialbook.records.verdict import Verdict


def assert_identical(project, *references: str) -> None:
    for reference in references:
        report = project.rerun(reference)
        assert report.verdict is Verdict.IDENTICAL, report
        assert report.params > 0


def test_ask_and_tell_with_a_plain_optuna_study_on_a_book(project):
    project.script(
        """
@tracked_objective
def objective(trial):
    x = trial.suggest_float("x", -1, 1)
    trial.log({"x": x})
    if x < 0:
        raise ValueError("negative")
    return x

storage = trialbook.BookStorage(BOOK)
sampler = optuna.samplers.RandomSampler(seed=1)
study = optuna.create_study(study_name="s", storage=storage, sampler=sampler)
for x in (0.5, -0.5):
    study.enqueue_trial({"x": x}, user_attrs={"given": x})
    trial = study.ask()
    assert trial.user_attrs["given"] == trial.params.get("x", trial.user_attrs["given"])
    try:
        value = objective(trial)
    except ValueError:
        value = None
    study.tell(trial, value, None if value is not None else optuna.trial.TrialState.FAIL)
print(study.best_value)
"""
    )
    assert [project.trial(f"s/{n}").state for n in (0, 1)] == ["COMPLETE", "FAIL"]
    assert project.trial("s/1").attempt.outcome.exception == "ValueError"
    book_before = project.book.stat().st_mtime_ns
    for reference in ("s/0", "s/1"):
        report = project.rerun(reference, trust=True)
        assert report.verdict is Verdict.IDENTICAL, report
    assert project.book.stat().st_mtime_ns >= book_before
    assert len(project.trial("s/0").reruns) == 1


def test_partials_objects_and_lambdas_are_found_by_their_searches(project):
    project.write(
        "pkg/__init__.py",
        "",
    )
    project.write("pkg/model.py", "def loss(x, scale):\n    return x * scale\n")
    project.write(
        "pkg/search.py",
        """
        import functools, sys
        import trialbook
        from . import model

        def scaled(trial, scale):
            value = model.loss(trial.suggest_float("x", 0, 1), scale)
            trial.log({"value": value})
            return value

        class Objective:
            def __init__(self, scale):
                self.scale = scale
            def __call__(self, trial):
                return scaled(trial, self.scale)

        scale = float(sys.argv[1])
        for name, objective in (
            ("partial", functools.partial(scaled, scale=scale)),
            ("object", Objective(scale)),
            ("lambda", lambda trial: scaled(trial, scale)),
        ):
            study = trialbook.create_study(study_name=name, storage=BOOK, seed=1)
            study.optimize(trialbook.tracked_objective(objective), n_trials=2)
        """,
    )
    project.run("-m", "pkg.search", "2.0")
    shutil.rmtree(project.root)
    assert_identical(project, "partial/0", "object/1", "lambda/0")


def test_a_script_that_leaves_before_its_search_is_not_comparable(project, tmp_path):
    flag = tmp_path / "flag"
    project.script(
        f"""
import pathlib
if pathlib.Path({str(flag)!r}).exists():
    raise LookupError("nothing to do")

@tracked_objective
def objective(trial):
    return trial.suggest_float("x", 0, 1)

study = trialbook.create_study(study_name="s", storage=BOOK, seed=1)
study.optimize(objective, n_trials=1)
"""
    )
    flag.touch()
    report = project.rerun()
    assert report.verdict is Verdict.NOT_COMPARABLE
    assert "LookupError: nothing to do before it ran the trial" in report.reason


def test_an_objective_defined_in_a_script_and_its_exceptions_are_the_scripts_own(project):
    project.script(
        """
class Diverged(Exception):
    pass

@tracked_objective
def objective(trial):
    x = trial.suggest_categorical("x", [1, 2])
    trial.log({"x": x})
    if trial.number == 0:
        raise Diverged
    if trial.number == 1:
        raise SystemExit(3)
    return float(x)

if __name__ == "__main__":
    study = trialbook.create_study(study_name="s", storage=BOOK, seed=1)
    for _ in range(3):
        try:
            study.optimize(objective, n_trials=1)
        except (Diverged, SystemExit):
            pass
"""
    )
    assert project.trial("s/0").attempt.outcome.exception == "__main__.Diverged"
    assert_identical(project, "s/0", "s/2")


def test_several_objectives_attributes_and_threads(project):
    project.script(
        """
import numpy as np

def make():
    @tracked_objective
    def objective(trial):
        x = trial.suggest_float("x", 0, 1)
        trial.set_constraint("c", x - 0.5)
        trial.log({"scale": trial.study.user_attrs["scale"], "noise": trial.rng.normal()})
        return x, 1 - x
    return objective

study = trialbook.create_study(
    study_name="s", storage=BOOK, seed=1, directions=["minimize", "maximize"]
)
study.set_user_attr("scale", 3.0)
study.optimize(make(), n_trials=4, n_jobs=2)
"""
    )
    report = project.rerun("s/3")
    assert (report.verdict, report.points) == (Verdict.IDENTICAL, 2), report


def test_a_search_in_memory_beside_it_is_the_scripts_own_business(project):
    project.script(
        """
inner = optuna.create_study()
inner.optimize(lambda trial: trial.suggest_float("y", 0, 1) * 0, n_trials=3)
offset = float(len(inner.trials))

def make(offset):
    @tracked_objective
    def objective(trial):
        nested = optuna.create_study()
        nested.optimize(lambda t: t.suggest_float("z", 0, 1) * 0 + 1, n_trials=2)
        return trial.suggest_float("x", 0, 1) + offset + nested.best_value
    return objective

for name in ("other", "s"):
    offset += 10
    study = trialbook.create_study(study_name=name, storage=BOOK, seed=1)
    study.optimize(make(offset), n_trials=1)
"""
    )
    assert_identical(project, "s/0", "other/0")


def test_what_runs_in_no_file_is_refused_before_anything_runs(project):
    source = (
        "import trialbook\n"
        "def objective(trial): return trial.suggest_float('x', 0, 1)\n"
        f"study = trialbook.create_study(study_name='s', storage={str(project.book)!r}, seed=1)\n"
        "study.optimize(trialbook.tracked_objective(objective), n_trials=1)\n"
    )
    project.run("-W", "ignore", "-c", source)
    with pytest.raises(RerunError, match="cannot be found again"):
        project.rerun()
    assert project.trial("s/0").reruns == ()
