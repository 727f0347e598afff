"""Value over pairs of params: interpolated or binned where there are trials, and nowhere else.

Three ways, by what a pair allows; each result says which was taken:

- many trials, or a param among the two with a few allowed values (a categorical, a small whole
  number), between which nothing is to be interpolated: cells, each with the median value of its
  trials;
- enough trials: linear interpolation over the Delaunay triangulation of the trials in the scaled
  space, as in ``scipy.interpolate.LinearNDInterpolator``, which ends at their convex hull;
- else nothing but the trials themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from trialbook.analysis.columns import Cell, Column, Holds, Table
from trialbook.analysis.searches.axes import ParamAxis
from trialbook.analysis.searches.judged import Judged
from trialbook.analysis.searches.search import Floats, Ints, Search
from trialbook.analysis.searches.slices import Slices, slices, together
from trialbook.errors import NotApplicableError

TO_INTERPOLATE = 20
"""How many different places a pair needs before anything is interpolated between them."""
TO_BIN = 400
"""How many trials a pair of numeric params needs to be binned instead: a surface through that many
noisy values would show the noise."""
GRID = 40
"""Points a side of the grid on which a surface is interpolated."""
BINS = 20
"""Cells a side when numeric params are binned."""
BINS_BESIDE_LEVELS = 10
"""Cells of a param with many values beside one with a few."""

Way = Literal["interpolated", "cells", "points"]


@dataclass(frozen=True, slots=True, eq=False)
class Contour:
    """Value over two params.

    Args:
        x: The param along x.
        y: The param along y.
        way: How the surface was made; ``points`` when there is none.
        x_edges: Shape (columns + 1,): edges of the cells in positions of ``x``, growing; of a
            categorical half-way between indices. Empty without a surface.
        y_edges: Shape (rows + 1,), likewise.
        surface: Shape (rows, columns): value at the centre of each cell (of a log axis the centre
            on its scale), or the median of its trials; NaN where there are none.
        best: Shape (rows, columns): the best value in each cell; NaN when interpolated.
        trials: Shape (rows, columns): how many trials are in each cell; 0 when interpolated.
        members: Shape (m,): positions, in ``Judged``, of the trials with both params.
        reason: Why there is no surface; empty when there is one.
    """

    x: ParamAxis
    y: ParamAxis
    way: Way
    x_edges: Floats
    y_edges: Floats
    surface: Floats
    best: Floats
    trials: Ints
    members: Ints
    reason: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Contours:
    """Value over each pair of some params.

    Args:
        judged: The trials that count.
        axes: The params.
        pairs: One for each two of them: the earlier along x, by the later along y.
    """

    judged: Judged
    axes: tuple[ParamAxis, ...]
    pairs: tuple[Contour, ...]

    def table(self) -> Table:
        """One row a cell, or a trial where a pair has no surface."""
        columns = (
            Column("x param"),
            Column("y param"),
            Column("x"),
            Column("y"),
            Column("value", Holds.NUMBER),
            Column("best value", Holds.NUMBER),
            Column("trials", Holds.INTEGER),
            Column("trial", Holds.INTEGER),
            Column("is"),
        )
        rows: list[tuple[Cell, ...]] = []
        for pair in self.pairs:
            rows += self._cells(pair) if pair.way != "points" else self._points(pair)
        return Table(columns, tuple(rows))

    def _cells(self, pair: Contour) -> list[tuple[Cell, ...]]:
        x, y = centres(pair.x, pair.x_edges), centres(pair.y, pair.y_edges)
        binned = pair.way == "cells"
        return [
            (
                pair.x.name,
                pair.y.name,
                _place(pair.x, x[column]),
                _place(pair.y, y[row]),
                float(pair.surface[row, column]),
                float(pair.best[row, column]) if binned else None,
                int(pair.trials[row, column]) if binned else None,
                None,
                "median of a cell" if binned else "interpolated",
            )
            for row, column in np.argwhere(~np.isnan(pair.surface)).tolist()
        ]

    def _points(self, pair: Contour) -> list[tuple[Cell, ...]]:
        trials = self.judged
        return [
            (
                pair.x.name,
                pair.y.name,
                pair.x.cell(pair.x.positions[trials.indices[member]]),
                pair.y.cell(pair.y.positions[trials.indices[member]]),
                float(trials.values[member]),
                None,
                None,
                int(trials.numbers[member]),
                "trial",
            )
            for member in pair.members.tolist()
        ]


def contours(search: Search, objective: int = 0, params: Sequence[str] = ()) -> Contours:
    """Value over each pair of params.

    Args:
        search: The study's search.
        objective: Index of the objective, when there are several.
        params: Names of at least two params; empty for all.

    Raises:
        NotApplicableError: No trial counts, all have the same value, or there are fewer than two
            params that vary.
        NotFoundError: No trial has a param of that name.
    """
    found = slices(search, objective, params)
    if len(found.judged) > 1 and np.all(found.judged.losses == found.judged.losses[0]):
        raise NotApplicableError("all trials have the same value")
    axes = tuple(axis for axis in found.axes if not axis.single)
    if len(axes) < 2:
        raise NotApplicableError(
            f"pairs need two params that vary, and there {'is' if len(axes) == 1 else 'are'} "
            f"{len(axes) or 'none'}",
            hint="see 'slice' for the value against one param",
        )
    return Contours(
        found.judged, axes, tuple(_contour(found, x, y) for x, y in combinations(axes, 2))
    )


def centres(axis: ParamAxis, edges: Floats) -> Floats:
    """Shape (cells,): middles of cells, on a log axis on its scale."""
    if axis.log and _levels(axis) is None:
        return np.sqrt(edges[:-1] * edges[1:])
    return (edges[:-1] + edges[1:]) / 2


def _contour(found: Slices, x: ParamAxis, y: ParamAxis) -> Contour:
    members = np.flatnonzero(together(found, (x, y)))
    if _levels(x) is not None or _levels(y) is not None or len(members) >= TO_BIN:
        return _binned(found, x, y, members)
    places = np.column_stack(
        [axis.scaled[found.judged.indices[members]] for axis in (x, y)]
    ).reshape(-1, 2)
    distinct, group = np.unique(places, axis=0, return_inverse=True)
    if len(distinct) < TO_INTERPOLATE:
        return _points(
            x, y, members, f"only {len(distinct)} different places, {TO_INTERPOLATE} are needed"
        )
    # Repeated places take the median of their trials.
    order = np.argsort(group, kind="stable")
    parts = np.split(found.judged.values[members[order]], np.cumsum(np.bincount(group))[:-1])
    values = np.array([np.median(part) for part in parts])
    return _interpolated(x, y, members, distinct, values)


def _points(x: ParamAxis, y: ParamAxis, members: Ints, reason: str) -> Contour:
    nothing = np.empty((0, 0))
    return Contour(
        x,
        y,
        "points",
        np.empty(0),
        np.empty(0),
        nothing,
        nothing,
        nothing.astype(np.int64),
        members,
        reason,
    )


def _interpolated(
    x: ParamAxis, y: ParamAxis, members: Ints, places: Floats, values: Floats
) -> Contour:
    from scipy.interpolate import LinearNDInterpolator
    from scipy.spatial import QhullError

    # The grid spans the trials, not the range: beyond them nothing is known.
    spans = [np.linspace(side.min(), side.max(), GRID + 1) for side in places.T]
    middles = [(span[:-1] + span[1:]) / 2 for span in spans]
    try:
        surface = LinearNDInterpolator(places, values)(*np.meshgrid(*middles))
    except QhullError:
        return _points(x, y, members, "all trials lie on one line")
    shape = surface.shape
    return Contour(
        x,
        y,
        "interpolated",
        x.unscaled(spans[0]),
        y.unscaled(spans[1]),
        surface,
        np.full(shape, np.nan),
        np.zeros(shape, np.int64),
        members,
    )


def _binned(found: Slices, x: ParamAxis, y: ParamAxis, members: Ints) -> Contour:
    beside = _levels(x) is not None or _levels(y) is not None
    bins = BINS_BESIDE_LEVELS if beside else BINS
    indices = found.judged.indices[members]
    x_edges, columns = _cells_of(x, x.positions[indices], bins)
    y_edges, rows = _cells_of(y, y.positions[indices], bins)
    shape = len(y_edges) - 1, len(x_edges) - 1
    flat = rows * shape[1] + columns
    order = np.lexsort((found.judged.losses[members], flat))
    cells, starts = np.unique(flat[order], return_index=True)
    surface, best = np.full(shape, np.nan), np.full(shape, np.nan)
    for cell, inside in zip(cells, np.split(order, starts[1:]), strict=False):
        values = found.judged.values[members[inside]]
        surface.flat[cell] = np.median(values)
        best.flat[cell] = values[0]
    trials = np.bincount(flat, minlength=shape[0] * shape[1]).reshape(shape).astype(np.int64)
    return Contour(x, y, "cells", x_edges, y_edges, surface, best, trials, members)


def _levels(axis: ParamAxis) -> Floats | None:
    """The values of a param that has only a few; of a categorical all, however many."""
    return axis.levels(len(axis.choices) or BINS)


def _cells_of(axis: ParamAxis, positions: Floats, bins: int) -> tuple[Floats, Ints]:
    """Edges of cells, and in which of them each position lies; a cell a value of the few."""
    levels = _levels(axis)
    if levels is not None and axis.step is not None:
        edges = np.append(levels - axis.step / 2, levels[-1] + axis.step / 2)
        return edges, np.rint((positions - axis.low) / axis.step).astype(np.int64)
    edges = axis.unscaled(np.linspace(0.0, 1.0, bins + 1))
    at = np.clip((axis.scaled_of(positions) * bins).astype(np.int64), 0, bins - 1)
    return edges, at


def _place(axis: ParamAxis, position: float) -> str:
    """A place on an axis as text: the columns of pairs hold numbers and choices."""
    if axis.is_categorical:
        return axis.choices[int(position)]
    return f"{position:.6g}"
