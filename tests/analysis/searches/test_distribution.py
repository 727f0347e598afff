"""The empirical distribution against SciPy's, and when it has a band."""

from __future__ import annotations

import numpy as np
import optuna
import pytest
from scipy.stats import ecdf

import trialbook
from trialbook import analysis
from trialbook.errors import NotApplicableError

from .over_time import executed, search_of, trial


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    storage = trialbook.BookStorage(tmp_path_factory.mktemp("distribution") / "book.db")
    yield storage
    storage.close()


def test_it_is_scipys_and_has_a_band_where_trials_are_independent(book):
    values = np.random.default_rng(1).integers(0, 12, 100).astype(float)
    made = search_of(
        book, [trial(float(value)) for value in values], sampler=optuna.samplers.RandomSampler()
    )
    assert "did not run under tracking" in analysis.value_distribution(made).no_band
    found = analysis.value_distribution(executed(made))
    expected = ecdf(values).cdf
    assert found.share == pytest.approx(expected.evaluate(found.values))
    assert found.half_width == pytest.approx(0.13581, abs=1e-5)  # printed for n = 100
    assert found.low.min() == 0.0
    assert found.high.max() == 1.0
    assert found.no_band == ""
    assert found.numbers[0] == np.argmin(values)


def test_the_band_holds_as_often_as_it_says():
    rng = np.random.default_rng(2)
    n, held = 40, 0
    half = np.sqrt(np.log(2 / 0.05) / (2 * n))
    for _ in range(400):
        uniform = np.sort(rng.random(n))
        steps = np.arange(n + 1) / n
        away = max(np.abs(uniform - steps[1:]).max(), np.abs(uniform - steps[:-1]).max())
        held += away <= half
    assert held / 400 >= 0.93


def test_dependent_trials_have_no_band(book):
    adaptive = search_of(book, [trial(1.0), trial(0.5, "p")], sampler=optuna.samplers.TPESampler())
    found = analysis.value_distribution(adaptive)
    assert found.half_width is None
    assert "TPESampler" in found.no_band
    assert np.isnan(found.low).all()
    assert found.left_out == (("pruned", 1),)
    with pytest.raises(NotApplicableError, match="1 failed"):
        analysis.value_distribution(search_of(book, [trial(None, "f")]))
