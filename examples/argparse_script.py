"""A script that parses its arguments at the top, as many scripts do, and is tracked all the same.

    python examples/argparse_script.py --trials 5 --noise 0.1
    trialbook show argparse-script/best
    trialbook rerun argparse-script/best

The objective reads ``options``, which exist only after the script has parsed its arguments, so it
cannot be imported alone. A rerun executes the recorded script with its recorded arguments; its
``optimize`` call then runs the one trial that is asked for, and the process ends there.
"""

from __future__ import annotations

import argparse
import math

import trialbook
from trialbook import TrackedTrial, tracked_objective

parser = argparse.ArgumentParser(description="Fit the frequency of a noisy wave.")
parser.add_argument("--trials", type=int, default=10, help="trials to run now")
parser.add_argument("--noise", type=float, default=0.05, help="standard deviation of the noise")
parser.add_argument("--study", default="argparse-script", help="name of the study")
options = parser.parse_args()

TRUE_FREQUENCY = 1.7


@tracked_objective
def objective(trial: TrackedTrial) -> float:
    """Mean squared error of a wave of the suggested frequency and phase."""
    frequency = trial.suggest_float("frequency", 0.5, 3.0)
    phase = trial.suggest_float("phase", 0.0, 1.0)
    times = [0.05 * index for index in range(200)]
    noise = trial.rng.normal(scale=options.noise, size=len(times))
    error = 0.0
    for time, disturbance in zip(times, noise, strict=True):
        seen = math.sin(TRUE_FREQUENCY * time + 0.4) + float(disturbance)
        error += (math.sin(frequency * time + phase) - seen) ** 2
    print(f"frequency {frequency:.3f}, phase {phase:.3f}: error {error / len(times):.4f}")
    trial.log({"error": error / len(times)})
    return error / len(times)


study = trialbook.create_study(study_name=options.study, seed=5, load_if_exists=True)
study.optimize(objective, n_trials=options.trials)
print(f"best frequency {study.best_params['frequency']:.3f} (true: {TRUE_FREQUENCY})")
