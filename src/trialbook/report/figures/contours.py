"""Value over pairs of params: cells or interpolated areas with the trials on top."""

from __future__ import annotations

import numpy as np

from trialbook.analysis.searches import contours as analysis
from trialbook.analysis.searches.search import Ints
from trialbook.report.charts import Cells, Chart, ColorScale, Mark, Panel, Points, Role
from trialbook.report.figures.kinds import FigureSource
from trialbook.report.figures.over_params import (
    axis_of,
    best_point,
    chosen_slices,
    drawn_trials,
    empty_panel,
    judged_sentence,
    trial_texts,
    triangle,
)
from trialbook.report.figures.wording import objective_label

MOST_PARAMS = 4
_OUTER = 0.02
"""Share of the values at each end that the colours do not tell apart, so that a few that went far
wrong leave the rest some colour."""
_ALIKE = 1e-9
"""Values that differ by less, relative to themselves, are not told apart by colours."""


def contours(source: FigureSource) -> Chart:
    """The value over each pair of params."""
    slices, notes = chosen_slices(source, MOST_PARAMS)
    names = tuple(axis.name for axis in slices.axes)
    found = analysis.contours(source.search, source.objective, names)
    trials = found.judged
    drawn, thinned = drawn_trials(source, trials, len(found.pairs))
    color, clipped = _color(source, found)
    pairs = {(pair.x.name, pair.y.name): pair for pair in found.pairs}
    panels = triangle(
        found.axes,
        lambda x, y: _panel(found, pairs[x.name, y.name], drawn, color),
    )
    return Chart(
        kind="contour",
        title="Value over pairs of params",
        panels=panels,
        table=found.table(),
        caption=_caption(found),
        notes=(*notes, *thinned, *clipped, *_without_surface(found)),
        trials=(trials.best_number,),
        share_x=True,
        share_y=True,
    )


def _panel(
    found: analysis.Contours,
    pair: analysis.Contour,
    drawn: Ints,
    color: ColorScale,
) -> Panel:
    trials = found.judged
    if not len(pair.members):
        return empty_panel(pair.x, pair.y, color)
    x, y = (axis.positions[trials.indices] for axis in (pair.x, pair.y))
    marks: list[Mark] = []
    surface = pair.way != "points"
    if surface:
        marks.append(
            Cells(pair.x_edges, pair.y_edges, pair.surface, contours=pair.way == "interpolated")
        )
    shown = np.setdiff1d(np.intersect1d(drawn, pair.members), [trials.best])
    if pair.way != "cells":
        marks.append(
            Points(
                x[shown],
                y[shown],
                Role.COMPLETE if not surface else Role.FAINT,
                colors=None if surface else trials.values[shown],
                texts=trial_texts(trials, shown),
                size=0.5 if surface else 1.0,
            )
        )
    if trials.best in pair.members:
        marks.append(best_point(x, y, trials))
    return Panel(
        axis_of(pair.x),
        axis_of(pair.y),
        tuple(marks),
        color=color,
    )


def _color(source: FigureSource, found: analysis.Contours) -> tuple[ColorScale, tuple[str, ...]]:
    trials = found.judged
    shown = np.concatenate(
        [pair.surface[~np.isnan(pair.surface)] for pair in found.pairs]
        + [trials.values[pair.members] for pair in found.pairs if pair.way == "points"]
    )
    shown = shown if len(shown) else trials.values
    low, high = np.quantile(shown, [_OUTER, 1 - _OUTER]).tolist()
    if high - low <= _ALIKE * abs(high):
        low, high = float(shown.min()), float(shown.max())
    outside = int(((shown < low) | (shown > high)).sum())
    label = objective_label(source.search, trials.objective)
    notes = (f"colours go from {low:.4g} to {high:.4g}; what is beyond has the colour of that end",)
    return (
        ColorScale(label, (low, high), reverse=not trials.maximize),
        notes if outside else (),
    )


def _caption(found: analysis.Contours) -> str:
    ways = {pair.way for pair in found.pairs}
    said = [f"Value over pairs of params: {judged_sentence(found.judged)}"]
    if "interpolated" in ways:
        said.append(
            f"Areas: linear interpolation between trials on a grid of {analysis.GRID} by "
            f"{analysis.GRID}, which ends at their convex hull; each trial is a point."
        )
    if "cells" in ways:
        said.append("Cells: the median value of the trials in each; empty where there is none.")
    if "points" in ways:
        said.append("Where there are too few trials, only these are drawn.")
    said.append("The other params vary freely, so that neighbours may differ in them.")
    said.append(f"The star is the best, trial {found.judged.best_number}.")
    return " ".join(said)


def _without_surface(found: analysis.Contours) -> tuple[str, ...]:
    return tuple(
        f"no surface over {pair.x.name} and {pair.y.name}: {pair.reason}"
        for pair in found.pairs
        if pair.way == "points" and len(pair.members)
    )
