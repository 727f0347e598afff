"""Which trials count, which are left out and why, and their ranks."""

from __future__ import annotations

import numpy as np
import pytest

from trialbook.analysis.searches.judged import judged
from trialbook.analysis.searches.slices import slices
from trialbook.errors import InvalidInputError, NotApplicableError


def test_only_complete_feasible_finite_trials_count(searched):
    search = searched("tuned")
    found = judged(search)
    assert len(found) == 69
    assert 3 not in found.numbers  # deleted: its number is a gap, and nothing moved up
    assert found.numbers.max() == 69
    assert dict(found.left_out) == {
        "pruned": 1,
        "failed": 1,
        "not finished": 2,
        "without a finite value": 2,
        "infeasible": 1,
    }
    assert search.values[found.infeasible, 0].tolist() == [77.0]


def test_the_best_is_the_best_that_counts(searched):
    search = searched("tuned")
    found = judged(search)
    assert found.maximize
    assert found.values[found.best] == found.values.max() < 77.0
    # The study's own best is the trial with infinity.
    assert found.best_index != search.best


def test_of_several_objectives_each_has_its_own_best(searched):
    search = searched("two objectives")
    assert judged(search, 0).values[judged(search, 0).best] == search.values[:, 0].min()
    assert judged(search, 1).values[judged(search, 1).best] == search.values[:, 1].max()
    with pytest.raises(InvalidInputError):
        judged(search, 2)


def test_ranks_are_shares_of_better_trials_and_equal_values_share_them(searched):
    found = slices(searched("tuned"))
    losses = found.judged.losses
    expected = [
        (np.sum(losses < loss) + (np.sum(losses == loss) - 1) / 2) / (len(losses) - 1)
        for loss in losses
    ]
    assert found.ranks == pytest.approx(expected)
    assert found.ranks[found.judged.best] == 0
    assert set(slices(searched("equal")).ranks) == {0.5}


def test_the_table_shows_values_as_the_objective_saw_them(searched):
    search = searched("branches")
    found = slices(search)
    names = [column.name for column in found.table().columns]
    for row in found.table().rows[:10]:
        index = int(np.searchsorted(search.numbers, row[0]))
        for name, cell in zip(names[3:], row[3:], strict=True):
            value = search.param(name).value(index)
            asked = search.param(name).given[index]
            assert cell == (None if not asked else "None" if value is None else value)


def test_without_params_or_trials_there_is_nothing(searched):
    with pytest.raises(NotApplicableError, match="no complete trial has a param"):
        slices(searched("without params"))
