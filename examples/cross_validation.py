"""scikit-learn: choose a classifier by cross-validation and keep the fitted pipeline's scores.

    python examples/cross_validation.py
    trialbook show cross-validation/best
    trialbook rerun cross-validation/best

Needs scikit-learn: pip install "trialbook[examples]".
"""

from __future__ import annotations

import csv

import numpy as np
import optuna
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import trialbook
from trialbook import TrackedTrial, tracked_objective


def classifier(trial: optuna.Trial) -> LogisticRegression | SVC:
    """An unfitted classifier; which params there are depends on its family."""
    penalty = trial.suggest_float("C", 1e-2, 1e3, log=True)
    if trial.suggest_categorical("family", ["linear", "svm"]) == "linear":
        return LogisticRegression(C=penalty, max_iter=500)
    return SVC(C=penalty, gamma=trial.suggest_float("gamma", 1e-4, 1e-1, log=True))


@tracked_objective(data={"digits": "../studies/data/digits.csv.gz"}, config={"images": 300})
def objective(trial: TrackedTrial) -> float:
    """Mean accuracy over five folds of some of the handwritten digits."""
    table = np.loadtxt(trial.data["digits"], delimiter=",", skiprows=1)
    chosen = table[trial.rng.permutation(len(table))[: trial.config["images"]]]
    images, digits = chosen[:, :64], chosen[:, 64].astype(int)
    pipeline = make_pipeline(StandardScaler(), classifier(trial))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    scores = cross_val_score(pipeline, images, digits, cv=folds)
    for fold, score in enumerate(scores):
        trial.log({"fold_accuracy": score}, step=fold)
    listing = trial.dir / "folds.csv"
    with listing.open("w", newline="") as file:
        csv.writer(file).writerows([("fold", "accuracy"), *enumerate(scores)])
    trial.log_artifact(listing)
    return float(scores.mean())


if __name__ == "__main__":
    study = trialbook.create_study(
        study_name="cross-validation", direction="maximize", seed=11, load_if_exists=True
    )
    study.optimize(objective, n_trials=8)
    print(f"best accuracy {study.best_value:.4f} with {study.best_params}")
