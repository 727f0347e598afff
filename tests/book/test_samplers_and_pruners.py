"""Every sampler and pruner of Optuna runs on a book, and says there what it says in memory."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import optuna
import pytest
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.trial import TrialState

from trialbook.book.storage import BookStorage
from trialbook.records.execution import Seeds

SPACE = {"x": [0.0, 0.5, 1.0], "y": [-1.0, 0.0, 1.0]}

SAMPLERS: dict[str, Callable[[], BaseSampler]] = {
    "BruteForceSampler": lambda: optuna.samplers.BruteForceSampler(seed=1),
    "CmaEsSampler": lambda: optuna.samplers.CmaEsSampler(seed=1, n_startup_trials=2),
    "GPSampler": lambda: optuna.samplers.GPSampler(seed=1, n_startup_trials=3),
    "GridSampler": lambda: optuna.samplers.GridSampler(SPACE, seed=1),
    "NSGAIISampler": lambda: optuna.samplers.NSGAIISampler(seed=1, population_size=4),
    "NSGAIIISampler": lambda: optuna.samplers.NSGAIIISampler(seed=1, population_size=4),
    "PartialFixedSampler": lambda: optuna.samplers.PartialFixedSampler(
        {"x": 0.5}, optuna.samplers.RandomSampler(seed=1)
    ),
    "QMCSampler": lambda: optuna.samplers.QMCSampler(seed=1),
    "RandomSampler": lambda: optuna.samplers.RandomSampler(seed=1),
    "TPESampler": lambda: optuna.samplers.TPESampler(
        seed=1, n_startup_trials=3, multivariate=True, group=True, constant_liar=True
    ),
}

PRUNERS: dict[str, Callable[[], BasePruner]] = {
    "HyperbandPruner": lambda: optuna.pruners.HyperbandPruner(max_resource=8),
    "MedianPruner": lambda: optuna.pruners.MedianPruner(n_startup_trials=2),
    "NopPruner": lambda: optuna.pruners.NopPruner(),
    "PatientPruner": lambda: optuna.pruners.PatientPruner(
        optuna.pruners.MedianPruner(n_startup_trials=2), patience=1
    ),
    "PercentilePruner": lambda: optuna.pruners.PercentilePruner(30.0, n_startup_trials=2),
    "SuccessiveHalvingPruner": lambda: optuna.pruners.SuccessiveHalvingPruner(),
    "ThresholdPruner": lambda: optuna.pruners.ThresholdPruner(upper=1.2),
    "WilcoxonPruner": lambda: optuna.pruners.WilcoxonPruner(p_threshold=0.5),
}


def _concrete(module: Any, base: type) -> set[str]:
    return {
        name
        for name in module.__all__
        if inspect.isclass(kind := getattr(module, name)) and issubclass(kind, base)
        if kind is not base and not inspect.isabstract(kind)
    }


def test_none_is_left_out() -> None:
    assert _concrete(optuna.samplers, BaseSampler) == set(SAMPLERS)
    assert _concrete(optuna.pruners, BasePruner) == set(PRUNERS)


@pytest.fixture(autouse=True)
def _no_remarks() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna's experimental warnings and SciPy's remarks
        yield


def _optimized(study: optuna.Study, storage: BookStorage | None, trials: int) -> None:
    """Run trials; under tracking when there is a book."""
    step = 0.5 if isinstance(study.sampler, optuna.samplers.BruteForceSampler) else None

    def objective(trial: optuna.Trial) -> float:
        if storage is not None:
            storage.begin_attempt(trial._trial_id, snapshots=[], seeds=Seeds(trial=1))
        x = trial.suggest_float("x", 0, 1, step=step)
        y = trial.suggest_float("y", -1, 1, step=step)
        value = 0.0
        for epoch in range(8):
            value = (x - 0.3) ** 2 + (y - 0.1) ** 2 + (trial.number % 3) * epoch / 10
            trial.report(value, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return value

    study.optimize(objective, n_trials=trials)


HOW = pytest.mark.parametrize(
    ("url", "tracked"),
    [("sqlite", True), ("sqlite", False), ("postgresql", True)],
    indirect=["url"],
    ids=["sqlite-tracked", "sqlite-plain", "postgresql-tracked"],
)
"""What is not tracked is written through: on a server Optuna's suite for storages sees to that."""


def _told(study: optuna.Study) -> list[Any]:
    return [
        (t.number, t.state, t.params, t.values, t.intermediate_values, _comparable(t.system_attrs))
        for t in study.trials
    ]


def _comparable(attrs: dict[str, Any]) -> dict[str, Any]:
    """System attributes without pickled state, and with lists for tuples, as JSON has them."""
    return {
        key: [*value] if isinstance(value, tuple) else value
        for key, value in attrs.items()
        if not key.startswith(("cma:", "qmc:", "nsga")) and "parents" not in key
    }


@HOW
@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_a_sampler_samples_what_it_samples_in_memory(
    storage: BookStorage, name: str, tracked: bool
) -> None:
    if name == "GPSampler":
        pytest.importorskip("torch")
    trials = {"GridSampler": 9, "GPSampler": 6}.get(name, 14)
    study = optuna.create_study(storage=storage, sampler=SAMPLERS[name]())
    _optimized(study, storage if tracked else None, trials)
    memory = optuna.create_study(sampler=SAMPLERS[name](), study_name=study.study_name)
    _optimized(memory, None, trials)
    assert _told(study) == _told(memory)
    assert len(study.trials) == trials
    assert all(trial.state is not TrialState.FAIL for trial in study.trials)


@HOW
@pytest.mark.parametrize("name", sorted(PRUNERS))
def test_a_pruner_prunes_what_it_prunes_in_memory(
    storage: BookStorage, name: str, tracked: bool
) -> None:
    def study(where: BookStorage | None, called: str | None) -> optuna.Study:
        return optuna.create_study(
            storage=where,
            study_name=called,
            sampler=optuna.samplers.RandomSampler(seed=3),
            pruner=PRUNERS[name](),
        )

    ours = study(storage, None)
    _optimized(ours, storage if tracked else None, 20)
    memory = study(None, ours.study_name)  # Hyperband hashes the study's name
    _optimized(memory, None, 20)
    assert _told(ours) == _told(memory)
    if name != "NopPruner":
        assert any(trial.state is TrialState.PRUNED for trial in ours.trials)


@pytest.mark.parametrize("name", ["NSGAIISampler", "NSGAIIISampler", "TPESampler", "GPSampler"])
def test_several_objectives_and_constraints(storage: BookStorage, name: str) -> None:
    if name == "GPSampler":
        pytest.importorskip("torch")

    def optimized(study: optuna.Study) -> optuna.Study:
        def objective(trial: optuna.Trial) -> tuple[float, float]:
            x = trial.suggest_float("x", 0, 1)
            trial.set_constraint("small", x - 0.8)
            return x, 1 - x

        # The first three trials of the GP sampler are random, and each further one takes a second.
        study.optimize(objective, n_trials=5 if name == "GPSampler" else 10)
        return study

    directions = ["minimize", "maximize"]
    ours = optuna.create_study(storage=storage, directions=directions, sampler=SAMPLERS[name]())
    memory = optuna.create_study(directions=directions, sampler=SAMPLERS[name]())
    assert _told(optimized(ours)) == _told(optimized(memory))
    assert [t.number for t in ours.best_trials] == [t.number for t in memory.best_trials]
    assert ours.trials[0].constraints == memory.trials[0].constraints


def test_enqueued_and_copied_studies(storage: BookStorage) -> None:
    study = optuna.create_study(storage=storage, study_name="from")
    study.enqueue_trial({"x": 0.25, "y": 0.5}, user_attrs={"why": "a guess"})
    _optimized(study, storage, 3)
    assert study.trials[0].params == {"x": 0.25, "y": 0.5}
    assert study.trials[0].user_attrs == {"why": "a guess"}
    optuna.copy_study(
        from_study_name="from", from_storage=storage, to_storage=storage, to_study_name="to"
    )
    copied = optuna.load_study(study_name="to", storage=storage)
    assert _told(copied) == _told(study)
    assert [t.datetime_start for t in copied.trials] == [t.datetime_start for t in study.trials]
