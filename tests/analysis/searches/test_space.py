"""The space as trials met it: changes in mid-study and conditions, with no condition by chance."""

from __future__ import annotations

import math
from itertools import combinations

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import create_trial

from trialbook.analysis.searches.search import search
from trialbook.analysis.searches.space import _by_chance, space
from trialbook.book.storage import BookStorage
from trialbook.errors import NotApplicableError


def params(searched, study):
    return {param.name: param for param in space(searched(study)).params}


def test_ranges_and_scales_are_those_that_were_asked(searched):
    found = params(searched, "tuned")
    assert list(found) == ["lr", "momentum", "layers", "units", "optimizer"]
    lr = found["lr"]
    assert (lr.kind, lr.low, lr.high, lr.log, lr.step) == ("float", 1e-5, 1e-1, True, None)
    assert (found["units"].kind, found["units"].log) == ("int", True)
    assert found["optimizer"].choices == ("adam", "sgd", "rmsprop")
    # 70 complete, 2 infinite, one of each other state, 1 infeasible, 1 deleted.
    assert lr.asked_in == 76
    assert lr.asked == "always"
    assert lr.changes == ()


def test_a_range_that_changed_is_told_with_its_first_trial(searched):
    x = params(searched, "changed")["x"]
    assert [(one.high, one.first_trial, one.trials) for one in x.ranges] == [
        (1.0, 0, 25),
        (4.0, 25, 15),
    ]
    assert x.high == 4.0
    assert x.changes[1] == "from trial 25 on (15 trials): 0.0 to 4.0"
    assert "steps of 4" in params(searched, "changed")["n"].changes[1]


def test_a_param_that_hangs_on_a_choice_is_told_as_observed(searched):
    found = params(searched, "branches")
    kernel = found["kernel"].condition
    assert (kernel.on, kernel.values, set(kernel.without)) == (
        "model",
        ("svm",),
        {"forest", "linear"},
    )
    assert found["kernel"].asked.startswith("observed: asked only when model = svm (all ")
    degree = found["degree"].condition  # hangs on a param that hangs on another
    assert (degree.on, degree.values) == ("kernel", ("poly",))
    assert found["C"].condition.on == "model"


def test_values_that_one_trial_has_tell_no_condition(tmp_path):
    """Of few trials with a number of their own each, some set of numbers always fits."""
    model, kernel = CategoricalDistribution(["svm", "none"]), CategoricalDistribution(["a", "b"])
    size = FloatDistribution(0.0, 1.0)
    study = optuna.create_study(storage=BookStorage(str(tmp_path / "book.db")))
    for number in range(60):
        kinds, values = {"model": model}, {"model": "svm" if number < 7 else "none"}
        if number < 7:
            kinds |= {"C": size, "kernel": kernel}
            values |= {"C": number / 10, "kernel": "ab"[number % 2]}
        if number < 7 and number % 2:
            kinds |= {"degree": size}
            values |= {"degree": 0.5}
        study.add_trial(create_trial(params=values, distributions=kinds, value=0.0))
    found = {param.name: param for param in space(search(study)).params}
    assert found["C"].condition.on == "model"
    assert found["degree"].condition is None
    assert found["degree"].asked.startswith("not in 57 complete trials")


def test_what_hangs_on_nothing_that_is_known_gets_no_condition(searched):
    whim = params(searched, "branches")["whim"]
    assert whim.condition is None
    assert "no other param alone tells" in whim.asked


def test_a_study_without_params_is_refused(searched):
    with pytest.raises(NotApplicableError):
        space(searched("without params"))


def test_the_table_has_a_row_for_each_distribution(searched):
    table = space(searched("changed")).table()
    assert [row[0] for row in table.rows] == ["x", "x", "n", "n", "only", "stepped"]
    assert all(len(row) == len(table.columns) for row in table.rows)


@given(st.lists(st.integers(1, 3), min_size=1, max_size=4), st.data())
@settings(max_examples=40)
def test_chance_is_that_of_all_ways_to_pick(sizes, data):
    total = sum(sizes)
    asked = data.draw(st.integers(0, total))
    groups = [group for group, size in enumerate(sizes) for _ in range(size)]
    whole = 0
    for picked in combinations(range(total), asked):
        inside = [sum(groups[trial] == group for trial in picked) for group in range(len(sizes))]
        whole += all(count in (0, size) for count, size in zip(inside, sizes, strict=True))
    assert _by_chance(sizes, asked) == pytest.approx(whole / math.comb(total, asked))
