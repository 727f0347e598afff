"""Studies whose spaces have everything that an analysis over the space must stand."""

from __future__ import annotations

import math
import random
import warnings
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState, create_trial

from trialbook.book.reading import Reader
from trialbook.book.removal import remove_trial
from trialbook.book.storage import BookStorage
from trialbook.records.references import trial_reference

ODD_CHOICES = (None, True, 1, "1", "None", (64, 64), 0.5, "x" * 300, "<b>\u202e$_%")
LR = FloatDistribution(1e-5, 1e-1, log=True)
PLAIN: dict[str, BaseDistribution] = {
    "lr": LR,
    "momentum": FloatDistribution(0.0, 1.0),
    "layers": IntDistribution(1, 6),
    "units": IntDistribution(8, 512, log=True),
    "optimizer": CategoricalDistribution(["adam", "sgd", "rmsprop"]),
}


def drawn(space: dict[str, BaseDistribution], rng: random.Random) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, kind in space.items():
        if isinstance(kind, CategoricalDistribution):
            found[name] = rng.choice(kind.choices)
        else:
            low, high = kind.low, kind.high
            value = (
                math.exp(rng.uniform(math.log(low), math.log(high)))
                if kind.log
                else rng.uniform(low, high)
            )
            found[name] = round(value) if isinstance(kind, IntDistribution) else value
    return found


def trial(
    params: dict[str, Any],
    space: dict[str, BaseDistribution],
    value: float | None = 0.5,
    state: TrialState = TrialState.COMPLETE,
    **more: Any,
) -> FrozenTrial:
    return create_trial(
        state=state, value=value, params=params, distributions=space, system_attrs=more
    )


def tuned(storage: BookStorage) -> str:
    """Seventy trials where lr decides; with all states, infinities, a NaN and a gap in numbers."""
    rng = random.Random(1)
    trials = []
    for _ in range(70):
        params = drawn(PLAIN, rng)
        value = 1 - abs(math.log10(params["lr"]) + 3) / 2 + 0.05 * params["momentum"]
        trials.append(trial(params, PLAIN, value + rng.gauss(0, 0.02)))
    for value in (math.inf, -math.inf):
        trials.append(trial(drawn(PLAIN, rng), PLAIN, value))
    for state in (TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING, TrialState.WAITING):
        value = 99.0 if state is TrialState.PRUNED else None
        trials.append(trial(drawn(PLAIN, rng), PLAIN, value, state))
    trials.append(trial(drawn(PLAIN, rng), PLAIN, 77.0, constraints=[1.0]))
    name = made(storage, "tuned", trials, "maximize")
    reader = Reader(storage.book)
    remove_trial(storage.book, reader.trial(trial_reference("tuned/3")))
    return name


def branches(storage: BookStorage) -> str:
    """Params that hang on others, on two levels, and one that hangs on nothing that is known."""
    rng = random.Random(2)
    trials = []
    for number in range(60):
        space: dict[str, BaseDistribution] = {
            "model": CategoricalDistribution(["svm", "forest", "linear"])
        }
        params: dict[str, Any] = {"model": rng.choice(["svm", "forest", "linear"])}
        if params["model"] == "svm":
            more: dict[str, BaseDistribution] = {
                "C": FloatDistribution(1e-3, 1e3, log=True),
                "kernel": CategoricalDistribution(["rbf", "poly", None]),
            }
            params |= drawn(more, rng)
            space |= more
            if params["kernel"] == "poly":
                space["degree"] = IntDistribution(2, 5)
                params["degree"] = rng.randint(2, 5)
        if rng.random() < 0.5:
            space["whim"] = FloatDistribution(0, 1)
            params["whim"] = rng.random()
        # One failed before it had asked for all: it must contradict nothing.
        if number == 59:
            params, space = {"model": "svm"}, {"model": space["model"]}
        state = TrialState.FAIL if number == 59 else TrialState.COMPLETE
        trials.append(trial(params, space, rng.random() if number < 59 else None, state))
    return made(storage, "branches", trials)


def changed(storage: BookStorage) -> str:
    """Ranges that changed on the way; one that has a single value."""
    rng = random.Random(3)
    trials = []
    for number in range(40):
        late = number >= 25
        space: dict[str, BaseDistribution] = {
            "x": FloatDistribution(0.0, 4.0 if late else 1.0),
            "n": IntDistribution(2, 10, step=4 if late else 2),
            "only": IntDistribution(3, 3),
            "stepped": FloatDistribution(0.0, 1.0, step=0.25),
        }
        params = {
            "x": rng.uniform(0, space["x"].high),  # type: ignore[attr-defined]
            "n": rng.choice([2, 6, 10]),
            "only": 3,
            "stepped": rng.randint(0, 4) / 4,
        }
        trials.append(trial(params, space, (params["x"] - 2) ** 2 + rng.gauss(0, 0.1)))
    return made(storage, "changed", trials)


def odd_choices(storage: BookStorage) -> str:
    """Choices of all types, some of which look the same."""
    rng = random.Random(4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kind = CategoricalDistribution(ODD_CHOICES)  # type: ignore[arg-type]
    space: dict[str, BaseDistribution] = {"odd": kind, "y": FloatDistribution(-1, 1)}
    trials = []
    for number in range(45):
        # Choices that are equal (True and 1) can only be told apart by their index.
        params = {"odd": ODD_CHOICES[number % 9], "y": rng.uniform(-1, 1)}
        trials.append(trial(params, space, params["y"] + 0.01 * (number % 9)))
    return made(storage, "odd choices", trials)


def equal(storage: BookStorage) -> str:
    """All values are the same."""
    rng = random.Random(5)
    return made(storage, "equal", [trial(drawn(PLAIN, rng), PLAIN, 1.0) for _ in range(30)])


def few(storage: BookStorage) -> str:
    """Nine trials."""
    rng = random.Random(6)
    return made(storage, "few", [trial(drawn(PLAIN, rng), PLAIN, rng.random()) for _ in range(9)])


def without_params(storage: BookStorage) -> str:
    """Trials that asked for nothing."""
    return made(storage, "without params", [trial({}, {}, float(i)) for i in range(30)])


def two_objectives(storage: BookStorage) -> str:
    """The first hangs on lr and is minimized, the second on momentum and is maximized."""
    rng = random.Random(7)
    trials = []
    for _ in range(50):
        params = drawn(PLAIN, rng)
        values = [abs(math.log10(params["lr"]) + 3), 1 - (params["momentum"] - 0.5) ** 2]
        trials.append(create_trial(values=values, params=params, distributions=PLAIN))
    return made(storage, "two objectives", trials, "minimize", "maximize")


def many(storage: BookStorage) -> str:
    """Thirty params in 25 trials."""
    rng = random.Random(8)
    space: dict[str, BaseDistribution] = {f"p{i}": FloatDistribution(0, 1) for i in range(30)}
    trials = []
    for _ in range(25):
        params = drawn(space, rng)
        trials.append(trial(params, space, params["p7"]))
    return made(storage, "many", trials)


ALL = (
    tuned,
    branches,
    changed,
    odd_choices,
    equal,
    few,
    without_params,
    two_objectives,
    many,
)


def made(storage: BookStorage, name: str, trials: list[FrozenTrial], *directions: str) -> str:
    study = optuna.create_study(
        storage=storage, study_name=name, directions=list(directions) or ["minimize"]
    )
    study.add_trials(trials)
    return name
