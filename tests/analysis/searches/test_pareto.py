"""Fronts against Optuna's, hypervolumes against its computation of each beginning."""

from __future__ import annotations

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna._hypervolume import compute_hypervolume

import trialbook
from trialbook import analysis
from trialbook.analysis.searches.pareto import _volumes
from trialbook.errors import InvalidInputError, NotApplicableError

from .over_time import search_of, trial


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    storage = trialbook.BookStorage(tmp_path_factory.mktemp("pareto") / "book.db")
    yield storage
    storage.close()


@given(st.data(), st.integers(2, 4))
def test_the_volume_is_that_of_all_so_far(data, objectives):
    rows = st.lists(st.integers(0, 6), min_size=objectives, max_size=objectives)
    losses = np.array(data.draw(st.lists(rows, min_size=1, max_size=12)), float)
    reference = np.full(objectives, 5.0)
    inside = (losses < reference).all(axis=1)
    moments, volumes = _volumes(losses, inside, reference)
    assert moments[-1] == len(losses) - 1
    for moment, volume in zip(moments, volumes, strict=True):
        so_far = losses[: moment + 1][inside[: moment + 1]]
        expected = compute_hypervolume(so_far, reference) if len(so_far) else 0.0
        assert volume == pytest.approx(expected)


def test_the_front_is_optunas(book):
    rng = np.random.default_rng(3)
    trials = [trial(None, "f"), trial([0.0, 99.0], constraint=1.0)]
    trials += [trial(values, constraint=-1.0) for values in rng.integers(0, 9, (40, 2)).tolist()]
    found = search_of(book, trials, ["minimize", "maximize"], name="front")
    front = analysis.pareto_front(found)
    study = optuna.load_study(study_name="front", storage=book)
    assert front.numbers[front.on_front].tolist() == [best.number for best in study.best_trials]
    assert front.numbers[~front.feasible].tolist() == [1]
    assert front.maximize == (False, True)
    assert front.table().rows[0] == (1, 0.0, 99.0, False, False)


def test_the_reference_point_is_stated(book):
    found = search_of(
        book,
        [trial([0.0, 10.0]), trial([2.0, 30.0]), trial([1.0, float("inf")])],
        ["minimize", "maximize"],
    )
    by_default = analysis.hypervolume(found)
    assert by_default.reference_point == pytest.approx([2.2, 8.0])
    assert (by_default.chosen, by_default.infinite, by_default.beyond) == (False, 1, 0)
    assert by_default.volumes == pytest.approx([2.2 * 2, 2.2 * 2 + 0.2 * 20, 2.2 * 2 + 0.2 * 20])
    chosen = analysis.hypervolume(found, (1.0, 0.0))
    assert chosen.volumes == pytest.approx([10.0, 10.0, 10.0])
    assert (chosen.chosen, chosen.beyond) == (True, 1)
    for wrong in ((1.0,), (1.0, float("nan"))):
        with pytest.raises(InvalidInputError, match="reference point"):
            analysis.hypervolume(found, wrong)


def test_what_has_no_front_says_so(book):
    with pytest.raises(NotApplicableError, match="one objective"):
        analysis.pareto_front(search_of(book, [trial(1.0)]))
    with pytest.raises(NotApplicableError, match="no complete trial"):
        analysis.hypervolume(search_of(book, [trial(None, "f")], ["minimize"] * 2))
    with pytest.raises(NotApplicableError, match="finite"):
        analysis.hypervolume(search_of(book, [trial([1.0, float("inf")])], ["minimize"] * 2))
    rng = np.random.default_rng(0)
    points = -np.abs(rng.normal(size=(130, 4)))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    with pytest.raises(NotApplicableError, match="too long"):
        _volumes(points, np.ones(130, np.bool_), np.ones(4))
