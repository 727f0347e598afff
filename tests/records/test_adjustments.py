"""Changes of a study's budget and limits, as text."""

from __future__ import annotations

from typing import Any

import pytest

from trialbook.records.adjustments import Adjustment


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "none"),
        (12, "12"),
        (60.0, "60"),
        (1_000_000.5, "1000000.5"),
        (1_234_567.0, "1234567"),
        (0.5, "0.5"),
        ({"kind": "ß"}, '{"kind": "ß"}'),
    ],
)
def test_values_are_told_as_they_are_and_never_rounded(value: Any, text: str) -> None:
    assert Adjustment("limits.trial_s", None, value, 5, 0.0).texts == ("none", text)


@pytest.mark.parametrize(("finished", "text"), [(0, "0 trials"), (1, "1 trial"), (2, "2 trials")])
def test_they_tell_how_many_trials_had_finished(finished: int, text: str) -> None:
    found = Adjustment("budget.trials", 1, 2, finished, 0.0)
    assert found.text == f"after {text}: budget.trials 1 is now 2"
