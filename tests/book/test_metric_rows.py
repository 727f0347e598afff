"""One metric of all trials: which points are given, in portions of any size."""

from __future__ import annotations

from collections.abc import Callable
from math import nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState

from trialbook.book import metric_rows as module
from trialbook.book import series_rows
from trialbook.book.attempt import Attempt
from trialbook.book.metric_rows import MetricRow, Thinned, metric_names, metric_rows
from trialbook.book.storage import BookStorage
from trialbook.records.series import Series

Begin = Callable[..., Attempt]


def _series(start: int, count: int) -> Series:
    steps = np.arange(start, start + count)
    return Series("a", steps, steps * 10.0, steps * 0.5)


@given(st.lists(st.integers(0, 7), max_size=6), st.integers(1, 9))
def test_thinning_keeps_every_so_many_th_point_and_the_last(lengths: list[int], every: int) -> None:
    thinned = Thinned("a", every)
    start = 0
    for length in lengths:
        thinned.add(_series(start, length))
        start += length
    kept = thinned.series.steps.tolist()
    assert kept == [n for n in range(start) if n % every == 0 or n == start - 1]
    assert thinned.series.values.tolist() == [n * 10.0 for n in kept]
    assert thinned.points == start


@pytest.mark.parametrize("portion", [1, 9, 1000])
def test_every_trial_has_its_points(
    begin: Begin,
    storage: BookStorage,
    study_id: int,
    portion: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(series_rows, "FOLD_POINTS", 10)
    monkeypatch.setattr(module, "_PORTION_POINTS", portion)
    monkeypatch.setattr(module, "_LEAST", 6)
    monkeypatch.setattr(module, "KEPT", 1)
    lengths = [3, 0, 6, 14, 1]
    for length in lengths:
        attempt = begin()
        for step in range(length):
            attempt.log({"a": nan if step == 1 else float(step), "b": 1.0}, step, 0.0)
            if step % 4 == 3:
                storage.flush()
        if length != 1:  # the last one goes on
            storage.set_trial_state_values(attempt.trial_id, TrialState.COMPLETE, [1.0])
    storage.create_new_trial(study_id)
    storage.flush()
    found = {row.number: row for row in metric_rows(storage.book, study_id, "a")}
    assert {number: row.points for number, row in found.items()} == {0: 3, 2: 6, 3: 14, 4: 1}
    assert _steps(found[0]) == [0, 1, 2]
    assert _steps(found[2]) == [0, 1, 2, 3, 4, 5]
    assert _steps(found[3]) == [0, 3, 6, 9, 12, 13]
    np.testing.assert_array_equal(found[0].series.values, [0.0, nan, 2.0])
    assert list(metric_rows(storage.book, study_id, "none")) == []
    assert metric_names(storage.book, study_id) == ["a", "b"]


def _steps(row: MetricRow) -> list[int]:
    steps: list[int] = row.series.steps.tolist()
    return steps
