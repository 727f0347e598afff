"""Surfaces over pairs of params: exact where trials are, nothing where none is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import Delaunay

from trialbook.analysis.searches import contours as module
from trialbook.analysis.searches.contours import centres, contours
from trialbook.errors import NotApplicableError


def pair(found, x, y):
    return next(one for one in found.pairs if (one.x.name, one.y.name) == (x, y))


def test_a_surface_ends_at_the_hull_of_the_trials(searched):
    found = contours(searched("tuned"), params=["lr", "momentum"])
    one = pair(found, "lr", "momentum")
    assert one.way == "interpolated"
    indices = found.judged.indices[one.members]
    places = np.column_stack([one.x.scaled[indices], one.y.scaled[indices]])
    x = one.x.scaled_of(centres(one.x, one.x_edges))
    y = one.y.scaled_of(centres(one.y, one.y_edges))
    inside = Delaunay(places).find_simplex(np.stack(np.meshgrid(x, y), axis=-1)) >= 0
    assert (np.isnan(one.surface) == ~inside).mean() > 0.999
    values = found.judged.values[one.members]
    assert np.nanmax(one.surface) <= values.max()
    assert np.nanmin(one.surface) >= values.min()


def test_a_plane_over_a_log_axis_is_met_exactly(searched, monkeypatch):
    search = searched("tuned")
    found = contours(search, params=["lr", "units"])
    one = pair(found, "lr", "units")
    indices = found.judged.indices
    plane = 3 * one.x.scaled[indices] - 2 * one.y.scaled[indices]
    places = np.column_stack([one.x.scaled[indices], one.y.scaled[indices]])
    again = module._interpolated(one.x, one.y, one.members, places, plane)
    x = one.x.scaled_of(centres(one.x, again.x_edges))
    y = one.y.scaled_of(centres(one.y, again.y_edges))
    expected = 3 * x[np.newaxis, :] - 2 * y[:, np.newaxis]
    known = ~np.isnan(again.surface)
    assert known.any()
    assert again.surface[known] == pytest.approx(expected[known])


@pytest.mark.parametrize("names", [("layers", "optimizer"), ("lr", "optimizer"), ("lr", "layers")])
def test_cells_hold_the_median_and_the_best_of_their_trials(searched, names):
    found = contours(searched("tuned"), params=names)
    (one,) = found.pairs
    assert one.way == "cells"
    assert one.trials.sum() == len(found.judged)
    x = one.x.positions[found.judged.indices]
    y = one.y.positions[found.judged.indices]
    for row in range(len(one.y_edges) - 1):
        for column in range(len(one.x_edges) - 1):
            inside = (x >= one.x_edges[column]) & (y >= one.y_edges[row])
            inside &= (x < one.x_edges[column + 1]) | (column == len(one.x_edges) - 2)
            inside &= (y < one.y_edges[row + 1]) | (row == len(one.y_edges) - 2)
            values = found.judged.values[inside]
            assert one.trials[row, column] == len(values)
            if len(values):
                assert one.surface[row, column] == pytest.approx(np.median(values))
                assert one.best[row, column] == values.max()
            else:
                assert np.isnan(one.surface[row, column])


def test_many_trials_are_binned(searched, monkeypatch):
    monkeypatch.setattr(module, "TO_BIN", 50)
    (one,) = contours(searched("tuned"), params=["lr", "momentum"]).pairs
    assert one.way == "cells"
    assert one.surface.shape == (module.BINS, module.BINS)
    assert one.trials.sum() == 69


def test_few_trials_stay_points(searched):
    found = contours(searched("few"), params=["lr", "momentum"])
    assert found.pairs[0].way == "points"
    assert "9 different places" in found.pairs[0].reason
    assert [row[7] for row in found.table().rows] == list(range(9))


def test_pairs_that_no_trial_has_together_are_empty(searched):
    one = pair(contours(searched("branches")), "C", "degree")
    assert len(one.members) == 5
    assert one.way == "cells"
    alone = pair(contours(searched("branches")), "kernel", "degree")
    assert alone.trials.sum() == 5


def test_params_with_a_single_value_make_no_pairs(searched):
    found = contours(searched("changed"))
    assert "only" not in {axis.name for axis in found.axes}
    with pytest.raises(NotApplicableError, match="two params"):
        contours(searched("changed"), params=["only", "x"])


def test_equal_values_have_no_surface(searched):
    with pytest.raises(NotApplicableError, match="same value"):
        contours(searched("equal"))
