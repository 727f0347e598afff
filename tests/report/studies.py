"""Studies that reports and figures must stand: each function fills a book and gives the name.

They are made by ``add_trials``, so a book with all of them takes about a second; ``hostile`` texts
are those that something between here and a reader's eye would act upon.
"""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState, create_trial

from trialbook.book.storage import BookStorage

BEGUN = datetime(2026, 3, 1, 12, 0, 0)

HOSTILE = (
    "<script>alert(1)</script>",
    "<b>bold</b>&amp;<a href='javascript:alert(1)'>x</a>",
    r"$x_1^2$ \frac{1}{0} % # & _ {} ~ ^ \input{/etc/passwd}",
    "%{x} {{ 7*7 }} ${7*7} <%= 7 %>",
    "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627 rtl",
    "\u5b66\u7fd2\u7387 \U0001f600",
    "two\nlines\tand \x1b[31mred \x07 \u202e desrever",
    "=1+1",
    "2024-01-01",
    "x" * 300,
)
"""Names of params, metrics and choices."""


def empty(storage: BookStorage) -> str:
    """No trial."""
    return _study(storage, "empty", [])


def single(storage: BookStorage) -> str:
    """One complete trial."""
    return _study(storage, "single", [_trial(0, _PLAIN, random.Random(1))])


def all_failed(storage: BookStorage) -> str:
    """Five trials that failed."""
    rng = random.Random(2)
    return _study(
        storage, "all failed", [_trial(i, _PLAIN, rng, TrialState.FAIL) for i in range(5)]
    )


def all_pruned(storage: BookStorage) -> str:
    """Eight trials that were pruned after a few steps."""
    rng = random.Random(3)
    return _study(
        storage, "all pruned", [_trial(i, _PLAIN, rng, TrialState.PRUNED) for i in range(8)]
    )


def plain(storage: BookStorage, trials: int = 60) -> str:
    """Complete, pruned and failed trials with five params of all kinds, reports and times."""
    rng = random.Random(4)
    return _study(storage, "plain", [_any_state(i, _PLAIN, rng) for i in range(trials)], "maximize")


def many(storage: BookStorage, trials: int = 5000) -> str:
    """The same with thousands of trials (about 6 s)."""
    rng = random.Random(5)
    return _study(storage, "many", [_any_state(i, _PLAIN, rng) for i in range(trials)], "maximize")


def two_objectives(storage: BookStorage) -> str:
    """Forty trials with two objectives, one to be maximized."""
    rng = random.Random(6)
    trials = [_trial(i, _PLAIN, rng, objectives=2) for i in range(40)]
    return _study(storage, "two objectives", trials, "minimize", "maximize")


def three_objectives(storage: BookStorage) -> str:
    """Forty trials with three objectives."""
    rng = random.Random(7)
    trials = [_trial(i, _PLAIN, rng, objectives=3) for i in range(40)]
    return _study(storage, "three objectives", trials, "minimize", "maximize", "minimize")


def conditional(storage: BookStorage) -> str:
    """A space where a choice decides which params there are, and one range changed on the way."""
    rng = random.Random(8)
    trials = []
    for number in range(40):
        model = rng.choice(["svm", "forest", "linear"])
        space: dict[str, BaseDistribution] = {
            "model": CategoricalDistribution(["svm", "forest", "linear"])
        }
        if model == "svm":
            space["svm.C"] = FloatDistribution(1e-3, 1e3, log=True)
            space["svm.kernel"] = CategoricalDistribution(["rbf", "poly", None])
        elif model == "forest":
            space["forest.depth"] = IntDistribution(1, 8 if number < 20 else 16)
        trials.append(_trial(number, space, rng, fixed={"model": model}))
    return _study(storage, "conditional", trials)


def long_names(storage: BookStorage) -> str:
    """Ten params with names of about sixty characters, and long choices."""
    rng = random.Random(9)
    space: dict[str, BaseDistribution] = {}
    for index in range(10):
        name = f"optimizer.schedule.warmup_and_decay.parameter_group_{index}.coefficient"
        if index == 3:
            choices = [f"a_rather_long_choice_of_a_categorical_param_{c}" for c in "abcdef"]
            space[name] = CategoricalDistribution(choices)
        elif index % 2:
            space[name] = FloatDistribution(1e-6, 1.0, log=True)
        else:
            space[name] = IntDistribution(1, 64)
    return _study(storage, "long names", [_any_state(i, space, rng) for i in range(80)])


def hostile(storage: BookStorage) -> str:
    """Params, choices, metrics and the study itself have names that something would act upon."""
    rng = random.Random(10)
    space: dict[str, BaseDistribution] = {
        name: FloatDistribution(0.0, 1.0) if index % 2 else CategoricalDistribution(HOSTILE)
        for index, name in enumerate(HOSTILE)
    }
    name = " ".join(HOSTILE[:7])
    study = _study(storage, name, [_any_state(i, space, rng) for i in range(30)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        optuna.load_study(study_name=study, storage=storage).set_metric_names([HOSTILE[0]])
    return study


def strange_values(storage: BookStorage) -> str:
    """Infinite, huge, tiny, equal and negative values."""
    rng = random.Random(11)
    values = [math.inf, -math.inf, 1e300, -1e300, 1e-300, 0.0, -0.0, 0.5, 0.5, 0.5]
    trials = [_trial(i, _PLAIN, rng, values=[value]) for i, value in enumerate(values)]
    return _study(storage, "strange values", trials)


ALL: tuple[Callable[[BookStorage], str], ...] = (
    empty,
    single,
    all_failed,
    all_pruned,
    plain,
    two_objectives,
    three_objectives,
    conditional,
    long_names,
    hostile,
    strange_values,
)
"""All but ``many``, which takes longer."""

_PLAIN: dict[str, BaseDistribution] = {
    "lr": FloatDistribution(1e-5, 1e-1, log=True),
    "momentum": FloatDistribution(0.0, 1.0),
    "layers": IntDistribution(1, 6),
    "units": IntDistribution(8, 512, log=True),
    "optimizer": CategoricalDistribution(["adam", "sgd", "rmsprop"]),
}


def _study(storage: BookStorage, name: str, trials: Sequence[FrozenTrial], *directions: str) -> str:
    study = optuna.create_study(
        storage=storage, study_name=name, directions=list(directions) or ["minimize"]
    )
    study.add_trials(trials)
    return name


def _any_state(number: int, space: dict[str, BaseDistribution], rng: random.Random) -> FrozenTrial:
    chance = rng.random()
    if chance < 0.05:
        return _trial(number, space, rng, TrialState.FAIL)
    if chance < 0.35 and number > 3:
        return _trial(number, space, rng, TrialState.PRUNED)
    return _trial(number, space, rng)


def _trial(
    number: int,
    space: dict[str, BaseDistribution],
    rng: random.Random,
    state: TrialState = TrialState.COMPLETE,
    *,
    objectives: int = 1,
    values: list[float] | None = None,
    fixed: dict[str, object] | None = None,
) -> FrozenTrial:
    params = {name: _drawn(distribution, rng) for name, distribution in space.items()}
    params.update(fixed or {})
    level = 1 - sum(_unit(space[name], value) for name, value in params.items()) / (len(params) + 1)
    steps = {TrialState.COMPLETE: 12, TrialState.PRUNED: rng.randint(1, 6)}.get(state, 0)
    reports = {
        step: level * (1 - math.exp(-(step + 1) / 4)) + rng.gauss(0, 0.01) for step in range(steps)
    }
    if values is None and state == TrialState.COMPLETE:
        values = [level + rng.gauss(0, 0.05) * index for index in range(objectives)]
    trial = create_trial(
        state=state,
        values=values,
        params=params,
        distributions=space,
        intermediate_values=reports if objectives == 1 else None,
    )
    trial.datetime_start = BEGUN + timedelta(seconds=30 * number)
    trial.datetime_complete = trial.datetime_start + timedelta(seconds=20 + rng.random() * 100)
    return trial


def _drawn(distribution: BaseDistribution, rng: random.Random) -> object:
    if isinstance(distribution, CategoricalDistribution):
        return rng.choice(distribution.choices)
    assert isinstance(distribution, (FloatDistribution, IntDistribution))
    low, high = float(distribution.low), float(distribution.high)
    value = (
        math.exp(rng.uniform(math.log(low), math.log(high)))
        if distribution.log
        else rng.uniform(low, high)
    )
    return round(value) if isinstance(distribution, IntDistribution) else min(value, high)


def _unit(distribution: BaseDistribution, value: object) -> float:
    """Where a value lies in its range, from 0 to 1, bent so that params matter differently."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices.index(value) / len(distribution.choices)  # type: ignore[arg-type]
    assert isinstance(distribution, (FloatDistribution, IntDistribution))
    assert isinstance(value, (int, float))
    low, high = float(distribution.low), float(distribution.high)
    if distribution.log:
        return (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))
    return (value - low) / (high - low)
