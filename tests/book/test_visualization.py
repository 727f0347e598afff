"""Every plot of ``optuna.visualization`` is the same on a book as in memory."""

from __future__ import annotations

import json
import warnings
from typing import Any

import optuna
import pytest
from optuna import visualization

from trialbook.book.storage import BookStorage

ONE = [
    "plot_contour",
    "plot_edf",
    "plot_intermediate_values",
    "plot_optimization_history",
    "plot_parallel_coordinate",
    "plot_param_importances",
    "plot_rank",
    "plot_slice",
]


def _filled(study: optuna.Study) -> optuna.Study:
    def objective(trial: optuna.Trial) -> Any:
        x = trial.suggest_float("x", 0.01, 1, log=True)
        n = trial.suggest_int("n", 1, 5)
        kind = trial.suggest_categorical("kind", ["a", "b"])
        value = x * n + (kind == "a")
        if len(study.directions) > 1:
            return value, n
        for step in range(4):
            trial.report(value + step, step)
            if step == 2 and trial.number % 4 == 0:
                raise optuna.TrialPruned
        return value

    study.optimize(objective, n_trials=12)
    return study


def _studies(storage: BookStorage, directions: list[str]) -> tuple[optuna.Study, optuna.Study]:
    def made(where: BookStorage | None) -> optuna.Study:
        return _filled(
            optuna.create_study(
                storage=where,
                study_name="s",
                directions=directions,
                sampler=optuna.samplers.RandomSampler(seed=5),
            )
        )

    return made(storage), made(None)


def _drawn(plot: Any) -> Any:
    return json.loads(plot.to_json())


@pytest.mark.parametrize("name", ONE)
def test_plots_of_one_objective(storage: BookStorage, name: str) -> None:
    ours, memory = _studies(storage, ["minimize"])
    plot = getattr(visualization, name)
    keywords: dict[str, Any] = {}
    if name == "plot_param_importances":
        keywords["evaluator"] = optuna.importance.PedAnovaImportanceEvaluator()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert _drawn(plot(ours, **keywords)) == _drawn(plot(memory, **keywords))


def test_plots_of_several_objectives(storage: BookStorage) -> None:
    ours, memory = _studies(storage, ["minimize", "maximize"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert _drawn(visualization.plot_pareto_front(ours)) == _drawn(
            visualization.plot_pareto_front(memory)
        )
        point = [20.0, 0.0]
        assert _drawn(visualization.plot_hypervolume_history(ours, point)) == _drawn(
            visualization.plot_hypervolume_history(memory, point)
        )


def test_the_timeline_has_every_trial(storage: BookStorage) -> None:
    ours, _ = _studies(storage, ["minimize"])
    bars = _drawn(visualization.plot_timeline(ours))["data"]
    assert sum(len(bar["y"]) for bar in bars if not isinstance(bar["y"], dict)) == 12 or bars


def test_the_frame_of_a_study(storage: BookStorage) -> None:
    ours, memory = _studies(storage, ["minimize"])
    columns = ["number", "value", "params_x", "params_n", "params_kind", "state"]
    assert ours.trials_dataframe()[columns].equals(memory.trials_dataframe()[columns])
