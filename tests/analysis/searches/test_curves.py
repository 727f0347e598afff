"""Learning curves and the points that they are made of."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import trialbook
from trialbook import analysis
from trialbook.analysis.searches.curves import step_quantiles
from trialbook.analysis.searches.metrics import MetricPoints
from trialbook.errors import NotApplicableError

from .over_time import search_of, trial


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    storage = trialbook.BookStorage(tmp_path_factory.mktemp("curves") / "book.db")
    yield storage
    storage.close()


def test_curves_are_what_was_reported_by_step(book):
    found = search_of(
        book,
        [
            trial(3.0, reports={5: 0.5, 1: 0.1}),
            trial(None, "f"),
            trial(1.0, "p", {2: 0.2}),
            trial(2.0, reports={1: 4.0}),
        ],
    )
    curves = analysis.learning_curves(found)
    assert curves.given.tolist() == [True, False, True, True]
    assert [column.tolist() for column in curves.points.of(0)] == [[1, 5], [0.1, 0.5]]
    steps, values = curves.points.last()
    assert steps.tolist() == [5, -1, 2, 1]
    np.testing.assert_array_equal(values, [0.5, np.nan, 0.2, 4.0])
    np.testing.assert_array_equal(curves.points.at(1), [0.1, np.nan, np.nan, 4.0])
    assert curves.ranking.tolist() == [3, 0]  # not by their curves, by their values
    assert curves.maximize is False
    assert curves.table().rows[1] == (0, "COMPLETE", 5, 0.5)
    assert [row[0] for row in curves.table(np.array([2])).rows] == [2]


@pytest.mark.parametrize("metric", ["loss", "nan"])
def test_another_metric_is_read_from_the_book(recorded, metric):
    found = analysis.search("digits", storage=recorded.storage)
    points = analysis.metric_points(found, metric, storage=recorded.storage)
    assert points.lengths.tolist() == points.logged.tolist() == [4] * 8
    curves = analysis.learning_curves(found, points)
    assert (curves.name, curves.maximize) == (metric, None)
    for index, number in enumerate(found.numbers.tolist()):
        x = analysis.trial("digits", number, storage=recorded.storage).params[0].value
        expected = [x + 1 / (step + 1) if metric == "loss" else np.nan for step in range(4)]
        np.testing.assert_array_equal(points.of(index)[1], expected)


def test_what_has_no_curves_says_so(book, recorded):
    with pytest.raises(NotApplicableError, match="reported anything"):
        analysis.learning_curves(search_of(book, [trial(1.0)]))
    found = analysis.search("digits", storage=recorded.storage)
    for metric, says in (
        ("los", "did you mean 'loss'"),
        ("accuracy", "the trials have loss, nan, objective"),
        ("test:accuracy", "is a test metric"),
    ):
        with pytest.raises(NotApplicableError) as raised:
            analysis.metric_points(found, metric, storage=recorded.storage)
        assert says in str(raised.value)


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 3), st.floats(-9, 9) | st.just(np.nan)), max_size=4),
        min_size=1,
        max_size=6,
    ),
    st.data(),
)
def test_quantiles_at_each_step_are_numpys(curves, data):
    curves = [sorted(curve, key=lambda point: point[0]) for curve in curves]
    flat = [point for curve in curves for point in curve]
    lengths = [len(curve) for curve in curves]
    points = MetricPoints(
        "m",
        np.concatenate([[0], np.cumsum(lengths)]),
        np.array([step for step, _ in flat], np.int64),
        np.array([value for _, value in flat], np.float64),
        np.zeros(len(flat)),
        np.array(lengths),
    )
    wanted = np.array(
        data.draw(st.lists(st.booleans(), min_size=len(curves), max_size=len(curves)))
    )
    found = step_quantiles(points, wanted, (0.1, 0.5))
    expected = {}
    for curve, take in zip(curves, wanted, strict=True):
        for step, value in curve:
            if take and value == value:
                expected.setdefault(step, []).append(value)
    assert found.steps.tolist() == sorted(expected)
    for at, step in enumerate(sorted(expected)):
        assert found.counts[at] == len(expected[step])
        assert found.quantiles[:, at] == pytest.approx(np.quantile(expected[step], [0.1, 0.5]))
