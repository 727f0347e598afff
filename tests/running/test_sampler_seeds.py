"""The seed that a user's sampler was built with is the study's, and is never dropped unsaid."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import optuna
import pytest
from optuna import samplers

import trialbook
from trialbook import tracked_objective
from trialbook.errors import TrialbookWarning
from trialbook.records.config import ComponentSettings, SearchSettings
from trialbook.records.study import StudySpec
from trialbook.running.sampler_seeds import SamplerSeed, seed_of_sampler, seed_of_settings
from trialbook.tracking.seeding import trial_seed

GRID = {"x": [0.0, 0.25, 0.5, 0.75, 1.0], "kind": ["a", "b"]}

SAMPLERS: dict[str, Callable[[int | None], samplers.BaseSampler]] = {
    "random": lambda seed: samplers.RandomSampler(seed=seed),
    "tpe": lambda seed: samplers.TPESampler(seed=seed),
    "nsga2": lambda seed: samplers.NSGAIISampler(seed=seed),
    "nsga3": lambda seed: samplers.NSGAIIISampler(seed=seed),
    "cmaes": lambda seed: samplers.CmaEsSampler(seed=seed),
    "gp": lambda seed: samplers.GPSampler(seed=seed),
    "qmc": lambda seed: samplers.QMCSampler(seed=seed),
    "brute force": lambda seed: samplers.BruteForceSampler(seed=seed),
    "nested": lambda seed: samplers.PartialFixedSampler({}, samplers.TPESampler(seed=seed)),
}

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def objective(trial: Any) -> float:
    x: float = trial.suggest_float("x", 0, 1, step=0.25)
    return x + len(trial.suggest_categorical("kind", ["a", "b"]))


def params(study: optuna.Study) -> list[dict[str, Any]]:
    study.optimize(objective, n_trials=5)
    return [trial.params for trial in study.trials]


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_number_is_read_from_what_optuna_keeps(name: str) -> None:
    assert seed_of_sampler(SAMPLERS[name](4)) == SamplerSeed(4)
    assert seed_of_sampler(SAMPLERS[name](0)) == SamplerSeed(0)
    assert seed_of_sampler(SAMPLERS[name](None)) is None


@pytest.mark.parametrize("build", [SAMPLERS["tpe"], lambda s: samplers.GridSampler(GRID, seed=s)])
def test_a_new_study_repeats_what_a_sampler_with_this_seed_searched(build: Any, url: str) -> None:
    found = [params(trialbook.create_study(storage=url, sampler=build(seed))) for seed in (4, 4, 5)]
    assert found[0] == found[1] != found[2]


def test_what_cannot_be_read_back_is_digested_the_same_each_time() -> None:
    def mixed(inner: int) -> samplers.BaseSampler:
        return samplers.QMCSampler(seed=4, independent_sampler=samplers.RandomSampler(seed=inner))

    def used(draws: int) -> samplers.BaseSampler:
        sampler = samplers.RandomSampler(seed=4)
        sampler._rng.rng.random(draws)
        return sampler

    def grid(seed: int | None) -> samplers.BaseSampler:
        return samplers.GridSampler(GRID, seed=seed)

    for build, is_fresh in ((mixed, True), (used, False), (grid, True)):
        found = [seed_of_sampler(build(number)) for number in (5, 5, 6)]
        assert found[0] == found[1] != found[2]
        assert found[0] is not None
        assert (found[0].is_given, found[0].is_fresh) == (False, is_fresh)
    assert seed_of_sampler(grid(None)) is None


def test_a_sampler_by_name_brings_its_seed_too(url: str) -> None:
    inner = {"name": "RandomSampler", "settings": {"seed": 3}}
    assert seed_of_settings(ComponentSettings("QMCSampler", {"independent_sampler": inner})) == (
        SamplerSeed(3)
    )
    spec = StudySpec(SearchSettings(sampler=ComponentSettings("RandomSampler", {"seed": 3})))
    study = trialbook.create_study(storage=url, spec=spec)
    assert (study.spec.search.seed, study.spec.seed_from_sampler) == (3, True)


def test_a_seed_of_the_study_comes_first_and_a_warning_says_so(url: str) -> None:
    with pytest.warns(TrialbookWarning, match=r"has seed 7, .* built with seed 4: .* follows 7"):
        study = trialbook.create_study(storage=url, seed=7, sampler=samplers.TPESampler(seed=4))
    assert (study.spec.search.seed, study.spec.seed_from_sampler) == (7, False)


def test_the_recorded_seed_stands_when_a_sampler_is_passed_again(url: str) -> None:
    def loaded(sampler: samplers.BaseSampler, *allow: str) -> StudySpec:
        return trialbook.load_study(study_name="s", storage=url, sampler=sampler, allow=allow).spec

    sampler = samplers.RandomSampler(seed=4)
    study = trialbook.create_study(study_name="s", storage=url, sampler=sampler)
    params(study)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for again in (sampler, samplers.RandomSampler(seed=4), samplers.RandomSampler()):
            assert loaded(again).search.seed == 4
    other = samplers.RandomSampler(seed=5)
    with pytest.warns(TrialbookWarning, match="built with seed 5, but .* goes on with its seed 4"):
        assert loaded(other).search.seed == 4
    changed = loaded(other, "settings")
    assert (changed.search.seed, changed.changes) == (5, ("after 5 trials: seed 4 is now 5",))


def test_the_decorators_seed_comes_before_the_samplers_for_trials(url: str) -> None:
    seeds: list[int] = []
    for own in (None, 8):

        @tracked_objective(seed=own)
        def tracked(trial: Any) -> float:
            seeds.append(trial.seed)
            return objective(trial)

        study = trialbook.create_study(storage=url, sampler=samplers.RandomSampler(seed=7))
        study.optimize(tracked, n_trials=1)
        assert study.spec.search.seed == 7
    assert seeds == [trial_seed(7, 0), trial_seed(8, 0)]
