"""optuna-integration's callbacks on a tracked trial: they report, prune, and are recorded."""

from __future__ import annotations

import numpy as np
import optuna
import pytest

import trialbook
from trialbook.book.reading import Reader


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # LightGBM's and the integration's own deprecations
def test_lightgbm_pruning_callback(url):
    lightgbm = pytest.importorskip("lightgbm", reason="LightGBM is not installed")
    from optuna_integration import LightGBMPruningCallback
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import train_test_split

    def objective(trial):
        features, target = load_breast_cancer(return_X_y=True)
        train_x, valid_x, train_y, valid_y = train_test_split(features, target, random_state=0)
        train = lightgbm.Dataset(train_x, train_y)
        settings = {
            "objective": "binary",
            "metric": "auc",
            "verbosity": -1,
            "num_threads": 1,
            "seed": trial.seed % 2**31,
            "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1, log=True),
        }
        model = lightgbm.train(
            settings,
            train,
            num_boost_round=20,
            valid_sets=[lightgbm.Dataset(valid_x, valid_y, reference=train)],
            callbacks=[LightGBMPruningCallback(trial, "auc")],
        )
        return model.best_score["valid_0"]["auc"]

    study = trialbook.create_study(study_name="s", storage=url, direction="maximize", seed=1)
    study.optimize(trialbook.tracked_objective(objective), n_trials=10)
    states = [trial.state for trial in study.trials]
    assert optuna.trial.TrialState.PRUNED in states
    assert optuna.trial.TrialState.COMPLETE in states
    reader = Reader(study._storage.book)
    pruned = reader.trial(f"s/{states.index(optuna.trial.TrialState.PRUNED)}")
    assert pruned.attempt.prune_answers[-1] is True
    reports = reader.series(pruned.attempt.attempt_id)["objective"]
    assert len(reports) == len(pruned.attempt.prune_answers)
    assert np.isfinite(reports.values).all()
