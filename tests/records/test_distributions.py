"""Distributions survive their text, tuples among the choices included."""

from __future__ import annotations

import json

import pytest
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    json_to_distribution,
)

from trialbook.records.distributions import distribution_of, distribution_text

pytestmark = pytest.mark.filterwarnings("ignore:Choices for a categorical:UserWarning")


MAKERS = {
    "float": lambda: FloatDistribution(1e-4, 1.0, log=True),
    "int": lambda: IntDistribution(1, 9, step=2),
    "plain": lambda: CategoricalDistribution(("a", None, 1, 1.5, True)),
    "tuples": lambda: CategoricalDistribution(((64,), (64, 64), ())),
    "nested": lambda: CategoricalDistribution(((1, (2, 3)), "x")),
    "lists": lambda: CategoricalDistribution(([64], [64, 64])),
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_distribution_comes_back_as_it_was(name):
    distribution = MAKERS[name]()
    again = distribution_of(distribution_text(distribution))
    assert again == distribution
    if isinstance(distribution, CategoricalDistribution):
        assert repr(again.choices) == repr(distribution.choices)


def test_optuna_reads_the_text_too():
    text = distribution_text(CategoricalDistribution(((1, 2), (3,))))
    assert json.loads(text)["tuples"] is True
    assert json_to_distribution(text).choices == ([1, 2], [3])


def test_only_tuples_are_remembered():
    plain = CategoricalDistribution(("tuples", "b"))
    assert "true" not in distribution_text(plain)
    assert distribution_of(distribution_text(plain)) == plain
    mixed = CategoricalDistribution(((1, 2), [3]))
    assert "tuples" not in distribution_text(mixed)
