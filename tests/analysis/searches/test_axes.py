"""Params as axes: ranges that changed, scales, choices that look alike."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from trialbook.analysis.searches.axes import choice_texts, param_axes, param_axis
from trialbook.analysis.searches.search import ParamColumn
from trialbook.errors import NotFoundError

from .spaces import ODD_CHOICES


def column(internal, distributions, space=None):
    internal = np.array(internal, dtype=np.float64)
    if space is None:
        space = np.where(np.isnan(internal), -1, 0)
    return ParamColumn("p", internal, np.array(space), tuple(distributions))


class TestNumeric:
    def test_ranges_that_differ_are_united(self):
        axis = param_axis(
            column([0.5, 4.0, 2.0], [FloatDistribution(0, 1), FloatDistribution(-4, 4)], [0, 1, 1])
        )
        assert (axis.low, axis.high) == (-4.0, 4.0)
        assert axis.scaled.tolist() == [4.5 / 8, 1.0, 0.75]

    def test_a_log_scale_is_scaled_by_its_logarithm(self):
        axis = param_axis(column([1e-4, 1e-2, 1.0], [FloatDistribution(1e-4, 1, log=True)]))
        assert axis.scaled == pytest.approx([0.0, 0.5, 1.0])

    def test_a_trial_without_the_param_has_no_place(self):
        axis = param_axis(column([3, math.nan], [IntDistribution(1, 5)]))
        assert axis.scaled[0] == 0.5
        assert math.isnan(axis.scaled[1])
        assert axis.cell(math.nan) is None
        assert axis.cell(3.0) == 3

    def test_a_single_value_lies_in_the_middle(self):
        axis = param_axis(column([3, 3], [IntDistribution(3, 3)]))
        assert axis.single
        assert axis.scaled.tolist() == [0.5, 0.5]

    def test_few_allowed_values_are_levels(self):
        levels = param_axis(column([2], [IntDistribution(2, 10, step=4)])).levels(5)
        assert levels.tolist() == [2, 6, 10]
        assert param_axis(column([2], [IntDistribution(1, 100)])).levels(20) is None
        assert param_axis(column([2], [FloatDistribution(1, 3)])).levels(20) is None
        halves = param_axis(column([0.5], [FloatDistribution(0, 1, step=0.5)])).levels(20)
        assert halves.tolist() == [0, 0.5, 1]

    def test_whole_numbers_whose_steps_differ_may_be_any(self):
        kinds = [IntDistribution(2, 10, step=2), IntDistribution(2, 10, step=4)]
        assert param_axis(column([2, 6], kinds, [0, 1])).levels(20).tolist() == list(range(2, 11))

    @given(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6), st.lists(st.floats(0, 1)), st.booleans())
    def test_scaling_goes_back(self, low, width, places, log):
        axis = param_axis(column([low], [FloatDistribution(low, low + width, log=log)]))
        if axis.single:
            return
        places = np.array(places)
        assert axis.scaled_of(axis.unscaled(places)) == pytest.approx(
            places, abs=1e-6 * (low + width) / width
        )


class TestChoices:
    def test_choices_that_look_the_same_are_told_apart(self):
        assert choice_texts(["1", 1, "a", None, "None", True]) == (
            "'1'",
            "1",
            "a",
            "None",
            "'None'",
            "True",
        )

    @pytest.mark.filterwarnings("ignore:Choices for a categorical")
    def test_every_odd_choice_has_its_own_label_and_place(self):
        kind = CategoricalDistribution(ODD_CHOICES)
        axis = param_axis(column(range(len(ODD_CHOICES)), [kind]))
        assert len(set(axis.choices)) == len(ODD_CHOICES)
        assert axis.positions.tolist() == list(range(len(ODD_CHOICES)))
        assert axis.cell(5.0) == "(64, 64)"

    def test_choices_of_several_distributions_are_united_by_value_and_type(self):
        kinds = [CategoricalDistribution(["a", 1]), CategoricalDistribution([True, "b", "a"])]
        axis = param_axis(column([0, 1, 0, 1, 2], kinds, [0, 0, 1, 1, 1]))
        assert axis.choices == ("a", "1", "True", "b")
        assert [axis.cell(p) for p in axis.positions] == ["a", "1", "True", "b", "a"]

    def test_a_number_that_became_a_choice_is_a_choice(self):
        kinds = [IntDistribution(1, 9), CategoricalDistribution(["auto", 2])]
        axis = param_axis(column([2, 7, 0, 1], kinds, [0, 0, 1, 1]))
        assert [axis.cell(p) for p in axis.positions] == ["2", "7", "auto", "2"]


def test_an_unknown_name_is_refused_with_a_near_one(searched):
    with pytest.raises(NotFoundError, match="momentum"):
        param_axes(searched("tuned"), ["momentun"])


def test_params_come_in_the_order_that_is_asked_for(searched):
    names = [axis.name for axis in param_axes(searched("tuned"), ["units", "lr"])]
    assert names == ["units", "lr"]
