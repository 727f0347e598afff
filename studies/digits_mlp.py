"""Tune a small neural network that reads handwritten digits, epoch by epoch.

``digits-mlp.yaml`` beside this file says how the search goes; this file says what one trial is.
Run it with ``trialbook run studies/digits-mlp.yaml``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from trialbook import TrackedTrial, tracked_objective

Images = NDArray[np.float64]  # shape (images, 64), each pixel 0.0 to 1.0
Digits = NDArray[np.int64]  # shape (images,), 0 to 9
DIGITS = np.arange(10)


def split(
    path: Path, validation_fraction: float, split_seed: int
) -> tuple[Images, Images, Digits, Digits]:
    """Images and digits for training and validation; the same split for every trial."""
    table = np.loadtxt(path, delimiter=",", skiprows=1)
    images, digits = table[:, :64] / 16.0, table[:, 64].astype(np.int64)
    parts = train_test_split(
        images, digits, test_size=validation_fraction, random_state=split_seed, stratify=digits
    )
    return parts[0], parts[1], parts[2], parts[3]


def suggested(trial: optuna.Trial, seed: int) -> MLPClassifier:
    """An untrained network with the params of this trial."""
    layers = [trial.suggest_int("units_1", 8, 128, log=True)]
    if trial.suggest_int("layers", 1, 2) == 2:
        layers.append(trial.suggest_int("units_2", 8, 64, log=True))
    solver = trial.suggest_categorical("solver", ["adam", "sgd"])
    return MLPClassifier(
        hidden_layer_sizes=layers,
        activation=trial.suggest_categorical("activation", ["relu", "tanh"]),
        solver=solver,
        learning_rate_init=trial.suggest_float("learning_rate", 1e-4, 1.0, log=True),
        alpha=trial.suggest_float("l2_penalty", 1e-6, 1e-1, log=True),
        batch_size=trial.suggest_categorical("batch_size", [32, 64, 128]),
        momentum=trial.suggest_float("momentum", 0.0, 0.95) if solver == "sgd" else 0.9,
        random_state=seed,
    )


def save(model: MLPClassifier, path: Path) -> None:
    """Write the weights. ``np.savez`` dates every entry 1980, so equal weights are equal bytes."""
    arrays: dict[str, Any] = {}
    for layer, (weights, biases) in enumerate(zip(model.coefs_, model.intercepts_, strict=True)):
        arrays[f"weights_{layer}"] = weights
        arrays[f"biases_{layer}"] = biases
    np.savez(path, **arrays)


@tracked_objective(data={"digits": "data/digits.csv.gz"})
def objective(trial: TrackedTrial) -> float:
    """Train with the params of one trial; the value is the validation accuracy at the end."""
    train_x, valid_x, train_y, valid_y = split(
        trial.data["digits"], trial.config["validation_fraction"], trial.config["split_seed"]
    )
    model = suggested(trial, trial.seed)
    accuracy = 0.0
    # Matrices this small gain nothing from threads: with two BLAS threads each, two workers on two
    # cores took twice as long.
    with threadpool_limits(limits=1):
        for epoch in range(trial.config["epochs"]):
            model.partial_fit(train_x, train_y, classes=DIGITS)
            probabilities = model.predict_proba(valid_x)
            accuracy = float(np.mean(probabilities.argmax(axis=1) == valid_y))
            metrics = {
                "train_loss": model.loss_,
                "val_loss": log_loss(valid_y, probabilities, labels=DIGITS),
                "val_accuracy": accuracy,
            }
            trial.log(metrics, step=epoch)
            trial.report(accuracy, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned()
    save(model, trial.dir / "model.npz")
    trial.log_artifact(trial.dir / "model.npz")
    return accuracy
