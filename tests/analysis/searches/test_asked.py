"""With which sampler and pruner trials ran, when a program changed them after some trials."""

from __future__ import annotations

import warnings
from pathlib import Path

import optuna
import pytest

import trialbook
from trialbook import analysis, tracked_objective
from trialbook.analysis.searches.asked import uses_text
from trialbook.analysis.searches.recorded_rule import rule_of
from trialbook.analysis.searches.search import Search, search
from trialbook.errors import NotApplicableError


@tracked_objective(seed=3)
def objective(trial):
    x = trial.suggest_float("x", 0.0, 1.0)
    trial.report(x, 0)
    return x


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Studies that were made with RandomSampler, of 12 trials each."""
    path = tmp_path_factory.mktemp("asked") / "book.db"
    storage = trialbook.BookStorage(path)
    random, tpe = optuna.samplers.RandomSampler, optuna.samplers.TPESampler
    median = optuna.pruners.MedianPruner(n_startup_trials=9)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=trialbook.errors.TrialbookWarning)
        study = trialbook.create_study(
            study_name="set", storage=storage, sampler=random(), pruner=median
        )
        study.optimize(objective, n_trials=4)
        study.sampler, study.pruner = tpe(), optuna.pruners.NopPruner()
        study.optimize(objective, n_trials=8)
        trialbook.create_study(study_name="loaded", storage=storage, sampler=random())
        loaded = optuna.create_study(
            study_name="loaded", storage=storage, load_if_exists=True, sampler=tpe()
        )
        loaded.optimize(objective, n_trials=12)
        kept = trialbook.create_study(study_name="kept", storage=storage, sampler=random())
        kept.optimize(objective, n_trials=12)
        made = optuna.create_study(study_name="optuna", storage=storage, sampler=random())
        made.optimize(objective, n_trials=12)
    storage.close()
    return path


def _search(book: Path, name: str) -> Search:
    return search(name, storage=book)


def test_a_sampler_that_was_set_later_is_found_with_its_trials(book: Path) -> None:
    found = _search(book, "set")

    assert [(use.component.name, use.trials) for use in found.samplers] == [
        ("RandomSampler", tuple(range(4))),
        ("TPESampler", tuple(range(4, 12))),
    ]
    assert uses_text(found.pruners, whole=False) == (
        "MedianPruner in trials 0-3, NopPruner in trials 4-11"
    )
    with pytest.raises(NotApplicableError, match=r"trials of TPESampler \(4-11\) are not indep"):
        analysis.expected_performance(found)
    points = analysis.metric_points(found, "objective", storage=book)
    assert "the pruner was changed in mid-study (MedianPruner(" in str(rule_of(found, points))


def test_what_trials_recorded_counts_and_not_what_the_study_was_made_with(book: Path) -> None:
    found = _search(book, "loaded")

    assert found.study.spec is not None
    assert found.study.spec.search.sampler is not None
    assert found.study.spec.search.sampler.name == "RandomSampler"
    assert [use.component.name for use in found.samplers] == ["TPESampler"]
    with pytest.raises(NotApplicableError, match="the trials of TPESampler are not independent"):
        analysis.expected_performance(found)


def test_random_trials_that_were_tracked_are_drawn(book: Path) -> None:
    for name in ("kept", "optuna"):
        found = _search(book, name)
        assert [use.trials for use in found.samplers] == [tuple(range(12))]
        assert analysis.expected_performance(found).trials == 12


def test_untracked_trials_tell_nothing(book: Path) -> None:
    storage = trialbook.BookStorage(book)
    study = trialbook.create_study(
        study_name="untracked", storage=storage, sampler=optuna.samplers.RandomSampler()
    )
    study.add_trial(optuna.trial.create_trial(value=1.0))
    storage.close()
    found = _search(book, "untracked")

    assert found.asked == ()
    assert [(use.component.name, use.trials) for use in found.samplers] == [("RandomSampler", ())]
