"""Ranks over pairs of params, after Optuna's ``plot_rank``: no surface, nothing but the trials."""

from __future__ import annotations

import numpy as np

from trialbook.analysis.searches.axes import ParamAxis
from trialbook.analysis.searches.search import Ints
from trialbook.analysis.searches.slices import Slices, together
from trialbook.errors import NotApplicableError
from trialbook.report.charts import Chart, ColorScale, Mark, Panel, Points, Role
from trialbook.report.figures.kinds import FigureSource
from trialbook.report.figures.over_params import (
    axis_of,
    best_point,
    chosen_slices,
    drawn_trials,
    empty_panel,
    judged_sentence,
    spread,
    trial_texts,
    triangle,
)

MOST_PARAMS = 4
_RANK = ColorScale("rank of the value (0 best, 1 worst)", (0.0, 1.0), reverse=True)


def ranks(source: FigureSource) -> Chart:
    """Each complete trial at two of its params, coloured by the rank of its value."""
    found, notes = chosen_slices(source, MOST_PARAMS)
    axes = [axis for axis in found.axes if not axis.single]
    if len(axes) < 2:
        raise NotApplicableError(
            "pairs need two params that vary", hint="see 'slice' for the value against one param"
        )
    trials = found.judged
    drawn, thinned = drawn_trials(source, trials, len(axes) * (len(axes) - 1) // 2)
    return Chart(
        kind="rank",
        title="Ranks over pairs of params",
        panels=triangle(axes, lambda x, y: _panel(source, found, (x, y), drawn)),
        table=found.table(),
        caption=(
            f"Trials over pairs of params, coloured by the rank of their value: "
            f"{judged_sentence(trials)} Equal values share the mean of their ranks. The star is "
            f"the best, trial {trials.best_number}."
            + (
                " Points of categorical params are moved aside at random."
                if any(axis.is_categorical for axis in axes)
                else ""
            )
        ),
        notes=notes + thinned,
        trials=(trials.best_number,),
        share_x=True,
        share_y=True,
    )


def _panel(
    source: FigureSource,
    found: Slices,
    pair: tuple[ParamAxis, ParamAxis],
    drawn: Ints,
) -> Panel:
    trials, seed = found.judged, source.options.seed
    x, y = (found.positions(axis) for axis in pair)
    both = together(found, pair)
    if not both.any():
        return empty_panel(*pair, _RANK)
    shown = drawn[both[drawn] & (drawn != trials.best)]
    # The worst first, so that what matters lies on top.
    shown = shown[np.argsort(-found.ranks[shown], kind="stable")]
    marks: list[Mark] = [
        Points(
            spread(x[shown], pair[0], seed),
            spread(y[shown], pair[1], seed + 1),
            Role.COMPLETE,
            colors=found.ranks[shown],
            texts=trial_texts(trials, shown),
        )
    ]
    if not np.isnan(x[trials.best] + y[trials.best]):
        marks.append(best_point(x, y, trials))
    return Panel(
        axis_of(pair[0]),
        axis_of(pair[1]),
        tuple(marks),
        color=_RANK,
    )
