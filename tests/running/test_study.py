"""Studies of a book: created, resumed, refused; and searched as if never interrupted."""

from __future__ import annotations

import optuna
import pytest

import trialbook
from trialbook.errors import NotABookError, NotFoundError, SettingsDifferError
from trialbook.records.config import ComponentSettings, SearchSettings
from trialbook.records.execution import Seeds
from trialbook.records.study import StudySpec
from trialbook.records.workers import Claim
from trialbook.running.trust import created_here


def objective(trial):
    x = trial.suggest_float("x", -5, 5)
    y = trial.suggest_int("y", 1, 64, log=True)
    kind = trial.suggest_categorical("kind", ["a", "b", "c"])
    return x**2 + y + len(kind)


def params(study):
    return [trial.params for trial in study.trials]


SEARCHES = {
    "random": ComponentSettings("RandomSampler"),
    "tpe": ComponentSettings("TPESampler", {"n_startup_trials": 4}),
    "tpe multivariate": ComponentSettings(
        "TPESampler", {"multivariate": True, "n_startup_trials": 4}
    ),
    "nsga2": ComponentSettings("NSGAIISampler", {"population_size": 4}),
    "qmc": ComponentSettings("QMCSampler"),
}


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("name", SEARCHES)
def test_a_resumed_search_equals_an_uninterrupted_one(name, tmp_path):
    spec = StudySpec(SearchSettings(sampler=SEARCHES[name], seed=11))
    whole = trialbook.create_study(study_name="s", storage=f"sqlite:///{tmp_path}/a.db", spec=spec)
    whole.optimize(objective, n_trials=16)
    url = f"sqlite:///{tmp_path}/b.db"
    trialbook.create_study(study_name="s", storage=url, spec=spec).optimize(objective, n_trials=5)
    for n_trials in (1, 4, 6):
        trialbook.load_study(study_name="s", storage=url).optimize(objective, n_trials=n_trials)
    assert params(trialbook.load_study(study_name="s", storage=url)) == params(whole)


def test_without_a_seed_a_resumed_search_does_not_repeat_itself(url):
    spec = StudySpec(SearchSettings(sampler=ComponentSettings("RandomSampler")))
    for _ in range(3):
        study = trialbook.create_study(study_name="s", storage=url, load_if_exists=True, spec=spec)
        study.optimize(objective, n_trials=3)
    assert len({tuple(p.values()) for p in params(study)}) == 9


def test_the_recorded_sampler_and_pruner_come_back(url):
    spec = StudySpec(
        SearchSettings(
            sampler=ComponentSettings("TPESampler", {"multivariate": True}),
            pruner=ComponentSettings(
                "PatientPruner",
                {"patience": 2, "wrapped_pruner": {"name": "MedianPruner", "settings": {}}},
            ),
            seed=2,
        )
    )
    with pytest.warns(optuna.exceptions.ExperimentalWarning):
        trialbook.create_study(study_name="s", storage=url, spec=spec)
        study = trialbook.load_study(study_name="s", storage=url)
    assert study.sampler._multivariate is True
    assert isinstance(study.pruner, optuna.pruners.PatientPruner)
    assert isinstance(study.pruner._wrapped_pruner, optuna.pruners.MedianPruner)
    assert study.spec.search.seed == 2


def test_other_settings_are_refused_by_name_unless_allowed(url):
    trialbook.create_study(study_name="s", storage=url, seed=1)
    with pytest.raises(SettingsDifferError, match="TPESampler is now RandomSampler"):
        trialbook.create_study(
            study_name="s",
            storage=url,
            load_if_exists=True,
            sampler=optuna.samplers.RandomSampler(),
        )
    with pytest.raises(SettingsDifferError, match="seed 1 is now 2"):
        trialbook.load_study(study_name="s", storage=url, seed=2)
    with pytest.raises(SettingsDifferError, match="n_warmup_steps 0 is now 3"):
        trialbook.load_study(
            study_name="s", storage=url, pruner=optuna.pruners.MedianPruner(n_warmup_steps=3)
        )
    with pytest.raises(SettingsDifferError, match="minimize"):
        trialbook.create_study(
            study_name="s", storage=url, load_if_exists=True, direction="maximize"
        )
    changed = trialbook.load_study(study_name="s", storage=url, seed=2, allow=("settings",))
    assert changed.spec.search.seed == 2
    assert changed.spec.changes == ("after 0 trials: seed 1 is now 2",)


def test_naming_a_default_is_no_difference(url):
    trialbook.create_study(study_name="s", storage=url)
    trialbook.create_study(
        study_name="s",
        storage=url,
        load_if_exists=True,
        sampler=optuna.samplers.TPESampler(),
        pruner=optuna.pruners.MedianPruner(),
    )


def test_a_pruner_that_the_user_built_must_be_passed_again(url):
    pruner = optuna.pruners.NopPruner()
    trialbook.create_study(study_name="s", storage=url, pruner=pruner).optimize(
        objective, n_trials=1
    )
    study = trialbook.load_study(study_name="s", storage=url)
    assert len(study.trials) == 1
    with pytest.raises(SettingsDifferError, match="pruner=NopPruner"):
        study.optimize(objective, n_trials=1)
    assert len(study.trials) == 1  # nothing was begun
    study = trialbook.load_study(study_name="s", storage=url, pruner=pruner)
    study.optimize(objective, n_trials=1)
    assert len(study.trials) == 2


def test_a_sampler_that_the_user_built_must_be_passed_again(url):
    trialbook.create_study(
        study_name="s", storage=url, sampler=optuna.samplers.RandomSampler(seed=1)
    ).optimize(objective, n_trials=1)
    study = trialbook.load_study(study_name="s", storage=url)
    assert len(study.trials) == 1
    with pytest.raises(SettingsDifferError, match="pass it again"):
        study.optimize(objective, n_trials=1)
    study = trialbook.load_study(
        study_name="s", storage=url, sampler=optuna.samplers.RandomSampler()
    )
    study.optimize(objective, n_trials=1)


def test_optunas_own_manners(url):
    study = trialbook.create_study(storage=url)
    assert study.study_name.startswith("no-name-")
    assert trialbook.load_study(study_name=None, storage=url).study_name == study.study_name
    with pytest.raises(optuna.exceptions.DuplicatedStudyError):
        trialbook.create_study(study_name=study.study_name, storage=url)
    with pytest.raises(NotFoundError, match="no study 'nowhere'"):
        trialbook.load_study(study_name="nowhere", storage=url)
    with pytest.raises(NotABookError):
        trialbook.create_study(storage=optuna.storages.InMemoryStorage())


def test_the_default_book_is_found_by_walking_up(tmp_path, monkeypatch):
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    trialbook.create_study(study_name="s")
    assert (tmp_path / ".trialbook" / ".gitignore").read_text().strip() == "*"
    monkeypatch.chdir(inner)
    assert trialbook.load_study(study_name="s").study_name == "s"


def test_enqueued_trials_and_fixed_distributions(url):
    study = trialbook.create_study(study_name="s", storage=url, seed=4)
    study.enqueue_trial({"x": 1.5})
    study.optimize(objective, n_trials=2)
    assert study.trials[0].params["x"] == 1.5
    trial = study.ask({"z": optuna.distributions.FloatDistribution(0, 1)})
    assert set(trial.params) == {"z"}


def test_a_study_whose_maker_was_killed_is_made_to_the_end(url):
    """Its name was in the book, its settings were not: it is as good as new."""
    storage = trialbook.BookStorage(url)
    study_id = storage.create_new_study([optuna.study.StudyDirection.MAXIMIZE], "s")
    bare = storage.get_study_record(study_id)
    with pytest.raises(SettingsDifferError, match="maximize"):
        trialbook.create_study(
            study_name="s", storage=storage, load_if_exists=True, direction="minimize"
        )
    study = trialbook.create_study(
        study_name="s", storage=storage, load_if_exists=True, direction="maximize", seed=3
    )
    assert (study.uid, study.spec.search.seed) == (bare.uid, 3)
    assert study.spec.search.sampler is not None
    assert created_here(storage.get_study_record(study_id))


def test_a_study_that_holds_something_is_not_made_anew(url):
    storage = trialbook.BookStorage(url)
    study_id = storage.create_new_study([optuna.study.StudyDirection.MINIMIZE], "s")
    storage.set_study_system_attr(study_id, "from", "elsewhere")
    study = trialbook.create_study(study_name="s", storage=storage, load_if_exists=True, seed=3)
    assert study.spec.search.seed is None
    assert not created_here(storage.get_study_record(study_id))


def test_only_a_study_without_a_past_is_discarded(url):
    storage = trialbook.BookStorage(url)
    empty = trialbook.create_study(study_name="empty", storage=storage)
    used = trialbook.create_study(study_name="used", storage=storage)
    used.optimize(objective, n_trials=1)
    empty.set_user_attr("key", "value")
    assert storage.discard_untouched_study(empty._study_id)
    assert not storage.discard_untouched_study(empty._study_id)
    assert not storage.discard_untouched_study(used._study_id)
    assert [s.study_name for s in storage.get_all_studies()] == ["used"]


@pytest.mark.filterwarnings("ignore:Choices for a categorical distribution:UserWarning")
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("multivariate", [False, True])
def test_choices_that_are_tuples_come_back_as_tuples(url, multivariate):
    def layered(trial):
        layers = trial.suggest_categorical("layers", [(64,), (64, 64), ((1, 2), "x")])
        assert isinstance(layers, tuple)
        return len(layers) + trial.suggest_float("x", 0, 1)

    settings = {"multivariate": multivariate, "n_startup_trials": 2}
    spec = StudySpec(SearchSettings(sampler=ComponentSettings("TPESampler", settings), seed=1))
    trialbook.create_study(study_name="s", storage=url, spec=spec).optimize(layered, n_trials=3)
    for _ in range(2):  # as each trial of a run does: a storage that has seen nothing yet
        trialbook.load_study(study_name="s", storage=url).optimize(layered, n_trials=2)
    study = trialbook.load_study(study_name="s", storage=url)
    assert len(study.trials) == 7
    assert {type(trial.params["layers"]) for trial in study.trials} == {tuple}


def test_a_claimed_trial_says_what_was_returned_that_is_no_result(tmp_path):
    storage = trialbook.BookStorage(tmp_path / "book.db")
    study = trialbook.create_study(storage=storage, study_name="s")
    values = iter([float("nan"), 0.5, (1.0, 2.0)])

    def objective(trial):
        storage.begin_attempt(trial._trial_id, snapshots=[], seeds=Seeds(1))
        return next(values)

    said = []
    for _ in range(3):
        study.enqueue_trial({})
        claim = storage.claim(study._study_id)
        assert isinstance(claim, Claim)
        said.append(study.run_claimed(claim.trial_id, objective).unusable)
    assert said == ["returned NaN", "", "returned 2 values"]
    storage.close()
