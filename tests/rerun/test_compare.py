"""The comparison, on values alone."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution, distribution_to_json

from trialbook.errors import InvalidInputError
from trialbook.records.series import Series
from trialbook.records.study import ArtifactRecord, ParamRecord
from trialbook.records.verdict import Verdict
from trialbook.rerun.compare import Tolerance, compared, same_distribution
from trialbook.rerun.results import End, Results

EXACT = Tolerance()
LR = distribution_to_json(FloatDistribution(0.0, 1.0))


def series(
    metric: str, values: list[float], steps: list[int] | None = None, at: float = 0.0
) -> Series:
    count = len(values)
    return Series(
        metric,
        np.array(range(count) if steps is None else steps, np.int64),
        np.array(values, np.float64),
        at + np.arange(count, dtype=np.float64),
    )


def results(**parts: object) -> Results:
    whole = {
        "end": End("COMPLETE"),
        "params": (ParamRecord("lr", 0.1, 0.1, LR),),
        "returned": 0.5,
        "values": (0.5,),
        "prune_answers": (False, False),
        "series": {"loss": series("loss", [3.0, 2.0, 1.0])},
        "artifacts": (ArtifactRecord("model", "a" * 64, 3, "text/plain"),),
    }
    return Results(**{**whole, **parts})  # type: ignore[arg-type]


def test_the_same_results_are_identical_whatever_the_clock_said():
    later = {"loss": series("loss", [3.0, 2.0, 1.0], at=1e9)}
    comparison = compared(results(), results(series=later), EXACT)
    assert comparison.verdict is Verdict.IDENTICAL
    assert (comparison.points, comparison.params, comparison.artifacts) == (3, 1, 1)


def test_the_first_point_is_the_one_that_was_recorded_first():
    recorded = {"a": series("a", [1.0, 2.0, 3.0], at=100.0), "b": series("b", [1.0, 2.0], at=0.0)}
    again = {"a": series("a", [9.0, 2.0, 3.0]), "b": series("b", [1.0, 7.0])}
    first = compared(results(series=recorded), results(series=again), EXACT).differences[0]
    assert (first.what, first.name, first.step, first.index) == ("point", "b", 1, 1)
    assert (first.recorded, first.rerun) == (2.0, 7.0)


def test_a_test_metric_is_compared_and_its_values_are_not_told():
    recorded = {"test:accuracy": series("test:accuracy", [0.7311, 0.75])}
    for again in ([0.9222, 0.75], [0.7311], [0.7311, 0.75, 0.9222]):
        comparison = compared(
            results(series=recorded), results(series={"test:accuracy": series("t", again)}), EXACT
        )
        assert comparison.verdict is Verdict.DIFFERENT
        assert not any(str(value) in repr(comparison) for value in (0.7311, 0.75, 0.9222))


@pytest.mark.parametrize(
    ("recorded", "again"),
    [
        (0.0, -0.0),
        (1.0, math.nextafter(1.0, 2.0)),
        (math.nan, 1.0),
        (struct.unpack("<d", struct.pack("<Q", 0x7FF8000000000001))[0], math.nan),
        (math.inf, -math.inf),
    ],
)
def test_other_bits_are_a_difference(recorded, again):
    one, other = {"m": series("m", [recorded])}, {"m": series("m", [again])}
    assert compared(results(series=one), results(series=other), EXACT).verdict is Verdict.DIFFERENT


@given(st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.floats())))
def test_any_points_are_identical_to_themselves(points):
    steps, values = [step for step, _ in points], [value for _, value in points]
    both = [results(series={"m": series("m", values, steps)}) for _ in range(2)]
    comparison = compared(*both, EXACT)
    assert comparison.verdict is Verdict.IDENTICAL
    assert comparison.points == len(points)


def test_another_step_is_named_with_both_steps():
    one, other = {"m": series("m", [1.0], [3])}, {"m": series("m", [1.0], [4])}
    difference = compared(results(series=one), results(series=other), EXACT).differences[0]
    assert difference.step == 3
    assert "step 4" in difference.rerun


def test_a_tolerance_covers_points_and_what_was_returned():
    one = results(series={"m": series("m", [1.0])}, returned=1.0)
    other = results(series={"m": series("m", [1.0 + 1e-9])}, returned=1.0 + 1e-9)
    assert compared(one, other, EXACT).verdict is Verdict.DIFFERENT
    assert compared(one, other, Tolerance(rtol=1e-6)).verdict is Verdict.WITHIN_TOLERANCE
    assert compared(one, other, Tolerance(atol=1e-12)).verdict is Verdict.DIFFERENT
    assert all(d.tolerated for d in compared(one, other, Tolerance(rtol=1e-6)).differences)


def test_what_a_tolerance_does_not_cover_is_named_before_what_it_does():
    one = results(series={"m": series("m", [1.0] * 30)})
    other = results(series={"m": series("m", [1.0 + 1e-9] * 29 + [2.0])})
    comparison = compared(one, other, Tolerance(rtol=1e-6))
    assert comparison.verdict is Verdict.DIFFERENT
    assert (comparison.differences[0].index, comparison.differences[0].tolerated) == (29, False)


def test_no_tolerance_covers_a_param_an_artifact_an_end_or_a_prune_answer():
    wide = Tolerance(rtol=1.0, atol=1e9)
    for other in (
        results(params=(ParamRecord("lr", 0.2, 0.2, LR),)),
        results(params=()),
        results(artifacts=(ArtifactRecord("model", "b" * 64, 3, "text/plain"),)),
        results(artifacts=()),
        results(end=End("PRUNED")),
        results(prune_answers=(False,)),
        results(prune_answers=(False, True)),
        results(returned="0.5"),
        results(series={}),
    ):
        assert compared(results(), other, wide).verdict is Verdict.DIFFERENT
        assert compared(other, results(), wide).verdict is Verdict.DIFFERENT


def test_points_that_one_side_lacks_are_a_difference():
    short = results(series={"loss": series("loss", [3.0, 2.0])})
    for one, other, point in ((results(), short, (1.0, None)), (short, results(), (None, 1.0))):
        differences = compared(one, other, EXACT).differences
        assert (differences[0].recorded, differences[0].rerun) == point
        assert differences[0].step == 2
        assert [d.what for d in differences] == ["point", "series"]


def test_a_rerun_that_was_stopped_is_judged_by_what_it_reached():
    stopped = Results(end=End("FAIL"), series={"loss": series("loss", [3.0])})
    comparison = compared(results(), stopped, EXACT, cut_short=True)
    assert comparison.differences == ()
    assert comparison.points == 1
    wrong = Results(end=End("FAIL"), series={"loss": series("loss", [4.0])})
    assert compared(results(), wrong, EXACT, cut_short=True).differences[0].what == "point"


def test_a_failed_trial_is_the_same_when_it_fails_with_the_same_exception():
    failed = results(end=End("FAIL", exception="ValueError"), returned=None, values=None)
    assert compared(failed, failed, EXACT).verdict is Verdict.IDENTICAL
    other = replace(failed, end=End("FAIL", exception="KeyError"))
    difference = compared(failed, other, EXACT).differences[0]
    assert (difference.recorded, difference.rerun) == ("FAIL (ValueError)", "FAIL (KeyError)")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (End("FAIL", exit_code=3), End("FAIL", exit_code=3), True),
        (End("FAIL", exit_code=3), End("FAIL", exit_code=4), False),
        (End("FAIL", exit_code=0), End("FAIL"), True),
        (End("FAIL", signal="SIGKILL"), End("FAIL", signal="SIGSEGV"), False),
    ],
)
def test_an_end_is_the_same_with_the_same_status_and_signal(one, other, same):
    ended = results(end=one, returned=None, values=None)
    found = compared(ended, replace(ended, end=other), EXACT).differences
    assert [difference.what for difference in found] == ([] if same else ["end"])


def test_addresses_in_a_returned_text_are_no_difference():
    one = results(returned="<object object at 0x7f00aa>")
    other = results(returned="<object object at 0x7fffbb>")
    assert compared(one, other, EXACT).verdict is Verdict.IDENTICAL
    assert compared(one, results(returned="<object>"), EXACT).verdict is Verdict.DIFFERENT


def test_several_returned_values_are_compared_one_by_one():
    one, other = results(returned=[1.0, 2.0]), results(returned=[1.0, 3.0])
    difference = compared(one, other, EXACT).differences[0]
    assert (difference.name, difference.recorded, difference.rerun) == ("returned[1]", 2.0, 3.0)


def test_a_million_points_take_moments_and_few_are_listed():
    values = np.random.default_rng(0).normal(size=1_000_000)
    one = results(series={"m": series("m", list(values))})
    other = results(series={"m": series("m", list(values + 1))})
    comparison = compared(one, other, EXACT)
    assert comparison.points == 1_000_000
    assert len(comparison.differences) < 20


def test_key_order_is_no_other_distribution():
    document = json.loads(LR)
    shuffled = json.dumps({"attributes": document["attributes"], "name": document["name"]})
    assert same_distribution(LR, shuffled)
    assert not same_distribution(LR, LR.replace("1.0", "2.0"))


@pytest.mark.parametrize("bounds", [(-1.0, 0.0), (0.0, math.nan), (math.inf, 0.0)])
def test_a_tolerance_must_be_a_finite_bound(bounds):
    with pytest.raises(InvalidInputError):
        Tolerance(*bounds)
