"""Expected validation performance, against every draw there is, and what it refuses."""

from __future__ import annotations

from itertools import product

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

import trialbook
from trialbook.analysis.searches.distribution import value_distribution
from trialbook.analysis.searches.expected import _weights, expected_performance
from trialbook.analysis.searches.search import search
from trialbook.errors import InvalidInputError, NotApplicableError

from .over_time import executed, spans

SPACE = {"x": FloatDistribution(0.0, 1.0)}


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    storage = trialbook.BookStorage(tmp_path_factory.mktemp("expected") / "book.db")
    yield storage
    storage.close()


def study_of(book, name, values, sampler=None, direction="maximize", more=()):
    study = trialbook.create_study(
        storage=book,
        study_name=name,
        direction=direction,
        sampler=sampler or optuna.samplers.RandomSampler(seed=1),
    )
    trials = [
        create_trial(params={"x": i / len(values)}, distributions=SPACE, value=value)
        for i, value in enumerate(values)
    ]
    study.add_trials([*trials, *more])
    return executed(search(name, storage=book))


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=5), st.integers(1, 4))
def test_it_is_the_mean_over_every_draw(values, budget):
    weights = _weights(len(values), np.array([budget]))[0]
    every = [max(draw) for draw in product(values, repeat=budget)]
    assert weights.sum() == pytest.approx(1.0)
    assert weights @ np.sort(values) == pytest.approx(np.mean(every), abs=1e-9)


def test_minimizing_mirrors_maximizing(book):
    values = np.random.default_rng(5).normal(size=30).tolist()
    up = expected_performance(study_of(book, "up", values))
    down = expected_performance(study_of(book, "down", [-v for v in values], direction="minimize"))
    assert down.expected == pytest.approx(-up.expected)
    assert down.low == pytest.approx(-up.high)
    assert (up.low <= up.expected + 1e-12).all()
    assert up.expected[0] == pytest.approx(np.mean(values))
    assert (np.diff(up.expected) >= 0).all()
    assert up.budgets.tolist() == list(range(1, 31))


def test_trials_that_were_added_are_not_taken_as_drawn(book):
    study_of(book, "added", [i / 20 for i in range(20)])
    found = search("added", storage=book)
    with pytest.raises(NotApplicableError, match="20 trials with a value did not run under track"):
        expected_performance(found)
    ran = spans(found, [(at, float(at), at + 0.5, "complete", "w") for at in range(12)])
    with pytest.raises(NotApplicableError, match="8 trials with a value did not run under track"):
        expected_performance(ran)
    assert "did not run under tracking" in value_distribution(ran).no_band


def test_the_band_covers_what_it_should(book):
    # The mean of one draw has a known interval: about 1.96 standard errors on both sides.
    values = np.random.default_rng(7).normal(size=200)
    found = expected_performance(study_of(book, "band", values.tolist()))
    error = values.std() / np.sqrt(len(values))
    assert found.low[0] == pytest.approx(values.mean() - 1.96 * error, abs=0.2 * error)
    assert found.high[0] == pytest.approx(values.mean() + 1.96 * error, abs=0.2 * error)
    again = expected_performance(executed(search("band", storage=book)))
    assert (again.low == found.low).all()
    assert len(found.budgets) <= 100
    assert found.budgets[-1] == 200


def test_what_is_left_out_is_counted(book):
    failed = [create_trial(state=TrialState.FAIL) for _ in range(2)]
    chosen = [
        create_trial(
            params={"x": 0.5},
            distributions=SPACE,
            value=99.0,
            system_attrs={"fixed_params": {"x": 0.5}},
        )
    ]
    broken = [
        create_trial(
            params={"x": 0.5},
            distributions=SPACE,
            value=98.0,
            system_attrs={"constraints": [1.0]},
        )
    ]
    found = expected_performance(
        study_of(book, "left out", list(range(12)), more=[*failed, *chosen, *broken])
    )
    assert (found.trials, found.failed, found.enqueued, found.infeasible) == (12, 2, 1, 1)
    assert found.expected[-1] < 11.0


@pytest.mark.parametrize(
    ("name", "reason", "settings"),
    [
        ("tpe", "not independent draws", {"sampler": optuna.samplers.TPESampler(seed=1)}),
        ("few", "too few", {"values": [1.0, 2.0]}),
        ("odd", "infinite", {"values": [*range(12), float("inf")]}),
        (
            "pruned",
            "were pruned",
            {"more": [create_trial(state=TrialState.PRUNED, value=0.0)]},
        ),
        (
            "changed",
            "search space was changed",
            {
                "more": [
                    create_trial(
                        params={"x": 1.5},
                        distributions={"x": FloatDistribution(0.0, 2.0)},
                        value=0.0,
                    )
                ]
            },
        ),
    ],
)
def test_what_would_mislead_is_refused_with_the_reason(book, name, reason, settings):
    found = study_of(book, name, settings.pop("values", list(range(12))), **settings)
    with pytest.raises(NotApplicableError, match=reason):
        expected_performance(found)


def test_an_unknown_sampler_is_refused(book):
    study = optuna.create_study(storage=book, study_name="plain optuna")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=12)
    with pytest.raises(NotApplicableError, match="not recorded"):
        expected_performance(search("plain optuna", storage=book))


def test_an_objective_that_is_not_there_is_refused(book):
    found = study_of(book, "one objective", list(range(12)))
    with pytest.raises(InvalidInputError, match="no objective 1") as refused:
        expected_performance(found, 1)
    assert refused.value.hint == "the study has one objective, and its index is 0"
