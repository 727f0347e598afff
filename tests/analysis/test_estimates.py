"""Means, intervals and differences against SciPy, brute force and what must always hold."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from trialbook.analysis.estimates import estimate, paired_difference, unpaired_difference
from trialbook.errors import InvalidInputError

VALUES = np.array([0.91, 0.87, 0.95, 0.9, 0.82, 0.93, 0.88])
numbers = st.floats(-1e6, 1e6, allow_subnormal=False)


def test_the_t_interval_is_that_of_scipy():
    found = estimate(VALUES, level=0.9)
    assert found.interval is not None
    expected = stats.ttest_1samp(VALUES, 0).confidence_interval(0.9)
    assert (found.interval.low, found.interval.high) == pytest.approx(tuple(expected))
    assert found.interval.method == "Student's t"
    assert (found.count, found.lowest, found.highest) == (7, 0.82, 0.95)
    assert found.deviation == pytest.approx(math.sqrt(sum((VALUES - VALUES.mean()) ** 2) / 6))


def test_the_bootstrap_is_stated_in_full_and_the_same_each_time():
    first, second = (estimate(VALUES, method="bootstrap", seed=3) for _ in range(2))
    assert first == second
    assert first.interval is not None
    assert first.interval.method == "bootstrap, BCa, 9999 resamples, seed 3"
    # Of means of resamples, brute force: the percentiles are near, skewness moves them a little.
    draws = np.random.default_rng(0).choice(VALUES, (20_000, len(VALUES))).mean(axis=1)
    assert first.interval.low == pytest.approx(np.quantile(draws, 0.025), abs=0.01)
    assert first.interval.high == pytest.approx(np.quantile(draws, 0.975), abs=0.01)


@pytest.mark.parametrize(
    ("values", "method", "lacking"),
    [
        ([], "t", "two values"),
        ([1.0], "t", "two values"),
        ([0.1, 0.1, 0.1], "t", "equal"),
        ([1.0, math.inf], "t", "finite"),
        ([1.0, 2.0, 3.0, 4.0], "bootstrap", "fewer than 5"),
    ],
)
def test_where_there_is_no_interval_the_reason_is_said(values, method, lacking):
    found = estimate(np.array(values, float), method=method)
    assert found.interval is None
    assert lacking in found.lacking
    assert found.count == len(values)


def test_equal_values_have_no_spread_at_all():
    found = estimate(np.full(3, 0.1))
    assert (found.mean, found.deviation) == (0.1, 0.0)  # their sum divided by three is another one


def test_methods_and_levels_that_are_none_are_refused():
    with pytest.raises(InvalidInputError):
        estimate(VALUES, method="guess")
    with pytest.raises(InvalidInputError):
        estimate(VALUES, level=95)


@given(st.lists(numbers, max_size=12), st.sampled_from(["t", "bootstrap"]))
@example([0.0, 0.0, 0.0, 0.0, 2.2250738585072014e-308], "bootstrap")
def test_the_mean_is_within_its_values_and_its_interval(values, method):
    found = estimate(np.array(values, float), method=method)
    if values:
        assert min(values) - 1e-6 <= found.mean <= max(values) + 1e-6
    if found.interval is not None:
        assert found.interval.low <= found.mean + 1e-6
        assert found.interval.high >= found.mean - 1e-6
        assert np.isfinite((found.interval.low, found.interval.high)).all()
    assert (found.interval is None) == bool(found.lacking)


@pytest.mark.parametrize("values", [[1e308, -1e308, 3.0], [1e308, 1e308, 3.0], [1e200, 1.0, 2.0]])
def test_numbers_at_the_end_of_float64_have_no_interval(values):
    """Nor do they warn, which would fail here."""
    assert "not finite" in estimate(np.array(values)).lacking
    found = unpaired_difference(np.array(values), VALUES)
    assert (found.interval, found.p_value) == (None, None)
    assert "too large" in found.remark


def test_pairs_are_compared_by_the_exact_signed_ranks():
    first = np.array([0.91, 0.87, 0.95, 0.9, 0.82, 0.93])
    second = np.array([0.9, 0.89, 0.92, 0.86, 0.77, 0.87])
    found = paired_difference(first, second)
    differences = first - second
    ranks = stats.rankdata(np.abs(differences))
    observed = ranks[differences > 0].sum()
    # Every way in which the signs could have fallen.
    sums = [
        sum(rank for rank, positive in zip(ranks, signs, strict=True) if positive)
        for signs in itertools.product((False, True), repeat=len(ranks))
    ]
    middle = ranks.sum() / 2
    extreme = sum(abs(total - middle) >= abs(observed - middle) - 1e-9 for total in sums)
    assert found.p_value == pytest.approx(extreme / len(sums))
    assert found.mean == pytest.approx(0.17 / 6)
    assert found.paired
    expected = stats.ttest_rel(first, second).confidence_interval(0.95)
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == pytest.approx(tuple(expected))


def test_few_pairs_say_how_small_p_can_be():
    found = paired_difference(np.array([1.0, 2.0, 3.5]), np.array([0.5, 1.0, 2.0]))
    assert found.p_value == 0.25
    assert "with 3 pairs p cannot be below 0.25" in found.remark


def test_pairs_without_a_difference_do_not_make_p_smaller():
    found = paired_difference(np.array([1.0] * 7 + [2.0, 3.0]), np.array([1.0] * 8 + [1.5]))
    assert found.p_value == 0.5
    assert found.remark == "with 2 of 9 pairs that differ p cannot be below 0.5"
    assert "leaves out those that are 0" in found.test


def test_infinities_of_both_signs_have_no_mean():
    assert math.isnan(estimate(np.array([math.inf, -math.inf])).mean)


@pytest.mark.parametrize(
    ("first", "second", "remark"),
    [
        ([], [], "two pairs"),
        ([1.0], [2.0], "two pairs"),
        ([1.0, 2.0], [1.0, 2.0], "every difference is 0"),
        ([0.9] * 10, [0.8] * 10, "all differences are equal"),
    ],
)
def test_pairs_that_cannot_be_tested_say_why(first, second, remark):
    found = paired_difference(np.array(first), np.array(second))
    assert found.p_value is None
    assert remark in found.remark


def test_values_that_are_no_pairs_are_compared_by_welch():
    other = np.array([0.7, 0.74, 0.81])
    found = unpaired_difference(VALUES, other)
    expected = stats.ttest_ind(VALUES, other, equal_var=False)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert not found.paired
    assert found.count == 3
    assert found.interval is not None
    assert found.interval.low == pytest.approx(expected.confidence_interval(0.95).low)
    assert unpaired_difference(VALUES, other[:1]).p_value is None
    assert unpaired_difference(np.ones(3), np.zeros(2)).interval is None


def test_copies_of_one_run_are_not_taken_for_runs_without_error():
    found = unpaired_difference(VALUES, np.full(10, 0.7))
    assert found.p_value is None
    assert found.interval is None
    assert found.remark == "one side has no spread to judge by"
