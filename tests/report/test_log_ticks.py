"""Ticks of logarithmic axes."""

from __future__ import annotations

from itertools import pairwise
from math import log10

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trialbook.report.log_ticks import LogTicks, labels_of, log_ticks


def _ticks(low: float, high: float, letters: float = 30) -> LogTicks:
    return log_ticks(low, high, letters, lambda text: len(text) + 1.5)


@pytest.mark.parametrize(
    ("low", "high", "letters", "labels"),
    [
        (7e-6, 0.13, 30, "10⁻⁵ 10⁻⁴ 10⁻³ 10⁻² 10⁻¹"),
        (7e-6, 0.13, 18, "10⁻⁵ 10⁻³ 10⁻¹"),
        (0.8, 1250.0, 30, "1 10 100 1000"),
        (0.085, 3.5, 30, "0.1 1"),
        (0.2, 8.0, 30, "0.2 0.5 1 2 5"),
        (1.9, 5.3, 30, "2 3 4 5"),
        (0.99, 1.01, 18, "0.99 1 1.01"),
        (3e-5, 8e-5, 30, "3×10⁻⁵ 5×10⁻⁵"),
        (4e-9, 2e8, 18, "10⁻⁵ 10⁰ 10⁵"),
        (0.001, 1e4, 20, "0.01 1 100 10000"),
    ],
)
def test_labels_of_an_axis_have_one_format_and_are_powers_of_ten_where_two_are_in_view(
    low, high, letters, labels
):
    assert [label for _, label in _ticks(low, high, letters).labelled] == labels.split()


@given(st.floats(-300, 300), st.floats(1e-9, 600), st.floats(1, 100))
def test_labels_are_in_view_in_order_apart_and_all_different(exponent, decades, letters):
    low, high = 10.0**exponent, 10.0 ** min(exponent + decades, 307)
    if high <= low * (1 + 1e-9):
        return
    found = _ticks(low, high, letters)
    values = [value for value, _ in found.labelled]
    assert values == sorted(values)
    assert all(low * 0.999999 <= value <= high * 1.000001 for value in (*values, *found.marks))
    assert len({label for _, label in found.labelled}) == len(values) <= 9
    assert not set(values) & set(found.marks)
    scale = letters / (log10(high) - log10(low))
    for (left, one), (right, other) in pairwise(found.labelled):
        room = (len(one) + len(other)) / 2 + 1.5
        assert (log10(right) - log10(left)) * scale >= room or len(values) == 2


def test_numbers_that_differ_late_are_told_apart():
    assert labels_of([1.0000001, 1.0000002]) == ("1.0000001", "1.0000002")
    assert labels_of([]) == ()
