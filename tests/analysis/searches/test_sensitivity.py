"""The neighbourhood of the best trial, against the same computed by loops."""

from __future__ import annotations

from itertools import combinations
from statistics import median

import numpy as np
import pytest

from trialbook.analysis.searches import sensitivity as module
from trialbook.analysis.searches.axes import param_axes
from trialbook.analysis.searches.sensitivity import sensitivity
from trialbook.errors import NotApplicableError


def effects(found):
    return {one.axis.name: one for one in found.effects}


def distances(search, found, name):
    """Gower's distance of every trial from the best in all params but one, one by one."""
    trials = found.judged
    best = trials.best_index
    result = []
    for index in trials.indices:
        parts = []
        for axis in param_axes(search):
            if axis.name == name:
                continue
            here, there = axis.positions[index], axis.positions[best]
            if np.isnan(here) and np.isnan(there):
                continue
            if np.isnan(here) or np.isnan(there):
                parts.append(1.0)
            elif axis.is_categorical:
                parts.append(float(here != there))
            else:
                parts.append(abs(axis.scaled[index] - axis.scaled[best]))
        result.append(sum(parts) / len(parts) if parts else 0.0)
    return np.array(result)


@pytest.mark.parametrize("study", ["tuned", "branches", "changed", "odd choices"])
def test_near_trials_are_those_within_gowers_distance(searched, study):
    search = searched(study)
    found = sensitivity(search, radius=0.3)
    for name, one in effects(found).items():
        if np.isnan(one.best):
            assert one.reason == "the best trial does not have it"
            continue
        near = distances(search, found, name) <= 0.3 + 1e-12
        near &= one.axis.given[found.judged.indices]
        near[found.judged.best] = False
        assert one.near.tolist() == np.flatnonzero(near).tolist(), name


def test_the_effect_is_the_median_of_all_slopes(searched):
    found = sensitivity(searched("tuned"), radius=0.35)
    one = effects(found)["lr"]
    losses = found.judged.losses[one.near]
    slopes = [
        (losses[b] - losses[a]) / (one.distance[b] - one.distance[a])
        for a, b in combinations(range(len(losses)), 2)
        if one.distance[a] != one.distance[b]
    ]
    assert one.slope == pytest.approx(median(slopes))
    assert one.effect == pytest.approx(median(slopes) / 10)
    assert one.low <= one.effect <= one.high
    # By construction the value falls by 2 over each half of the range, that is 0.2 per tenth.
    assert one.effect == pytest.approx(0.2, abs=0.04)


def test_the_effect_of_a_choice_is_the_shift_to_the_others(searched):
    found = sensitivity(searched("tuned"), radius=0.35)
    one = effects(found)["optimizer"]
    losses = found.judged.losses[one.near]
    same, other = losses[one.distance == 0], losses[one.distance == 1]
    assert one.effect == pytest.approx(median(b - a for a in same for b in other))


def test_within_tolerance_is_a_stretch_without_a_worse_trial(searched):
    found = sensitivity(searched("tuned"), radius=0.35, tolerance=0.3)
    one = effects(found)["lr"]
    low, high = one.good
    assert low <= one.best <= high
    limit = found.judged.losses[found.judged.best] + found.tolerance
    positions = one.axis.positions[found.judged.indices[one.near]]
    losses = found.judged.losses[one.near]
    inside = (positions >= low) & (positions <= high)
    assert (losses[inside] <= limit).all()
    for outside, nearest in ((positions < low, np.argmax), (positions > high, np.argmin)):
        if outside.any():
            at = np.flatnonzero(outside)[nearest(positions[outside])]
            assert losses[at] > limit


def test_good_choices_are_those_whose_median_is_within_tolerance(searched):
    found = sensitivity(searched("tuned"), radius=0.35, tolerance=0.7)
    one = effects(found)["optimizer"]
    members = np.append(one.near, found.judged.best)
    chosen = one.axis.positions[found.judged.indices[members]]
    limit = found.judged.losses[found.judged.best] + found.tolerance
    expected = [
        label
        for index, label in enumerate(one.axis.choices)
        if index == one.best or np.median(found.judged.losses[members][chosen == index]) <= limit
    ]
    assert list(one.good_choices) == expected
    assert len(expected) > 1


def test_too_few_near_trials_are_said_and_nothing_is_made_up(searched):
    found = sensitivity(searched("many"))
    for one in found.effects:
        assert one.effect is None
        assert one.reason.startswith("too few trials near the best")
    assert all(row[3] is None and row[7] for row in found.table().rows)


def test_a_single_value_has_no_effect(searched):
    assert effects(sensitivity(searched("changed")))["only"].reason == "it has a single value"


def test_of_very_many_near_trials_the_nearest_are_taken(searched, monkeypatch):
    search = searched("tuned")
    monkeypatch.setattr(module, "MOST", 10)
    found = sensitivity(search, radius=1.0)
    one = effects(found)["lr"]
    far = distances(search, found, "lr")
    far[found.judged.best] = np.inf
    assert len(one.near) == 10
    assert far[one.near].max() <= np.sort(far)[9] + 1e-12


def test_the_best_of_an_objective_is_the_middle_of_its_neighbourhood(searched):
    search = searched("two objectives")
    first, second = sensitivity(search, 0), sensitivity(search, 1)
    assert first.judged.best != second.judged.best


@pytest.mark.parametrize(
    ("study", "reason"),
    [("few", "at least 10"), ("equal", "same value"), ("without params", "no complete trial")],
)
def test_what_would_mislead_is_refused(searched, study, reason):
    with pytest.raises(NotApplicableError, match=reason):
        sensitivity(searched(study))


@pytest.mark.parametrize(
    ("distance", "there"),
    [
        ([0.0, 0.0, 1.0, 1.0, 1.0], False),
        ([0.0, 0.0, 0.0, 1.0, 1.0, 1.0], True),
        ([0.0] + [1.0] * 18, False),
        ([0.0] + [1.0] * 19, True),
        ([0.1, 0.2, 0.3, 0.4, 0.5], True),
        ([at / 200 for at in range(200)], True),
    ],
)
def test_so_few_trials_that_no_interval_has_its_level_have_none(distance, there):
    losses = np.arange(len(distance)) ** 1.5
    low, high = module._slope(np.array(distance), losses)[2:]
    assert (low is not None) == there
    assert (high is not None) == there
