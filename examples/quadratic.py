"""Plain Python: descend a valley step by step, and prune the descents that go badly.

    python examples/quadratic.py
    trialbook best quadratic
    trialbook rerun quadratic/best

No machine learning and nothing to install besides Trialbook.
"""

from __future__ import annotations

import optuna

import trialbook
from trialbook import TrackedTrial, tracked_objective


@tracked_objective(config={"steps": 20, "start": [4.0, -3.0]})
def objective(trial: TrackedTrial) -> float:
    """Height after gradient descent with momentum in the valley x**2 + 10 y**2."""
    rate = trial.suggest_float("rate", 1e-3, 0.2, log=True)
    momentum = trial.suggest_float("momentum", 0.0, 0.99)
    x, y = trial.config["start"]
    speed_x = speed_y = 0.0
    height = x**2 + 10 * y**2
    for step in range(trial.config["steps"]):
        speed_x = momentum * speed_x - rate * 2 * x
        speed_y = momentum * speed_y - rate * 20 * y
        x, y = x + speed_x, y + speed_y
        height = x**2 + 10 * y**2
        trial.log({"height": height, "speed": (speed_x**2 + speed_y**2) ** 0.5}, step=step)
        trial.report(height, step)
        if trial.should_prune():
            raise optuna.TrialPruned()
    return height


if __name__ == "__main__":
    study = trialbook.create_study(
        study_name="quadratic",
        seed=3,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=5),
        load_if_exists=True,
    )
    study.optimize(objective, n_trials=20)
    pruned = len(study.get_trials(states=[optuna.trial.TrialState.PRUNED]))
    print(f"best height {study.best_value:.6f}; {pruned} of {len(study.trials)} trials pruned")
