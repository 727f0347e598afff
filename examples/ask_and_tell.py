"""Ask-and-tell: the loop is yours; each evaluation between ``ask`` and ``tell`` is tracked.

    python examples/ask_and_tell.py
    trialbook show ask-and-tell
    trialbook diff ask-and-tell/0 ask-and-tell/best

A beam that would break raises; its trial is kept as failed, with the traceback.
"""

from __future__ import annotations

import optuna

import trialbook
from trialbook import TrackedTrial, tracked_objective


@tracked_objective(config={"load_kg": 12.0, "strength_mpa": 30.0})
def weight_kg(trial: TrackedTrial) -> float:
    """Weight of a beam of 1 m that carries the load; raises when it would break."""
    width_mm = trial.suggest_int("width_mm", 5, 50)
    height_mm = trial.suggest_int("height_mm", 5, 80)
    bending_nmm = trial.config["load_kg"] * 9.81 * 1000 / 4
    stress_mpa = 6 * bending_nmm / (width_mm * height_mm**2)
    trial.log({"stress_mpa": stress_mpa})
    if stress_mpa > trial.config["strength_mpa"]:
        raise ValueError(f"breaks: {stress_mpa:.1f} MPa")
    return width_mm * height_mm * 1000 * 0.7e-6


def main() -> None:
    """Fifteen beams, the first one chosen by hand."""
    study = trialbook.create_study(study_name="ask-and-tell", seed=1, load_if_exists=True)
    if not study.trials:
        study.enqueue_trial({"width_mm": 30, "height_mm": 50})
    for _ in range(15):
        trial = study.ask()
        try:
            study.tell(trial, weight_kg(trial))
        except ValueError as error:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            print(f"trial {trial.number}: {error}")
    print(f"lightest beam {study.best_value:.2f} kg: {study.best_params}")


if __name__ == "__main__":
    main()
