"""The ranking of trials, held against Optuna's own."""

from __future__ import annotations

import math
import warnings

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trialbook.book.ranking import Contender, front, is_feasible, ranked

_NUMBERS = st.one_of(
    st.integers(-3, 3).map(float), st.sampled_from([math.inf, -math.inf, 0.0, -0.0, 1e308])
)


@st.composite
def populations(draw: st.DrawFn) -> tuple[list[str], list[tuple[list[float], float | None]]]:
    directions = draw(st.lists(st.sampled_from(["minimize", "maximize"]), min_size=1, max_size=4))
    values = st.lists(_NUMBERS, min_size=len(directions), max_size=len(directions))
    constraint = st.one_of(st.none(), st.sampled_from([-1.0, 0.0, 0.5]))
    return directions, draw(st.lists(st.tuples(values, constraint), max_size=12))


def _study(directions, population):
    study = optuna.create_study(directions=directions)
    for values, constraint in population:
        attrs = {} if constraint is None else {"constraints": [constraint]}
        study.add_trial(optuna.trial.create_trial(values=values, system_attrs=attrs))
    return study


def _contenders(study):
    return [
        Contender(
            t.number,
            tuple(t.values),
            is_feasible(study._storage.get_trial(t._trial_id).system_attrs),
        )
        for t in study.trials
    ]


@settings(max_examples=150, deadline=None)
@given(populations())
def test_the_front_is_that_of_optuna(population):
    study = _study(*population)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = [t.number for t in study.best_trials]
    assert [c.number for c in front(_contenders(study), population[0])] == expected


@settings(max_examples=150, deadline=None)
@given(populations().filter(lambda p: len(p[0]) == 1))
def test_the_best_trial_is_that_of_optuna(population):
    study = _study(*population)
    order = ranked(_contenders(study), population[0][0])
    try:
        expected = study.best_trial.number
    except ValueError:
        assert order == []
    else:
        # Where the best breaks a constraint, Optuna takes the best of the others.
        assert order[0].number == expected


def test_equal_values_keep_the_order_of_the_trials_and_nan_comes_last():
    values = [2.0, math.nan, 1.0, 2.0, 1.0, -math.inf, math.inf]
    contenders = [Contender(number, (value,)) for number, value in enumerate(values)]
    assert [c.number for c in ranked(contenders, "minimize")] == [5, 2, 4, 0, 3, 6, 1]
    assert [c.number for c in ranked(contenders, "maximize")] == [6, 0, 3, 2, 4, 5, 1]


@pytest.mark.parametrize(
    ("attrs", "feasible"),
    [
        ({}, True),
        ({"constraints": [0.0, -1.0]}, True),
        ({"constraints": [0.0, 0.1]}, False),
        ({"constraints:memory": 1.0}, False),
        ({"constraints:memory": 0.0, "constraints:time": -2}, True),
        ({"constraints": [math.nan]}, False),
        ({"constraints": None}, True),
        ({"constraint": 5.0}, True),
    ],
)
def test_feasible_means_that_no_constraint_is_above_zero(attrs, feasible):
    assert is_feasible(attrs) is feasible
