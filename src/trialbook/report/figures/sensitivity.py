"""The value around the best trial: trials that are near it in all other params."""

from __future__ import annotations

import numpy as np

from trialbook.analysis.searches import sensitivity as analysis
from trialbook.analysis.searches.sensitivity import LocalEffect
from trialbook.errors import NotApplicableError
from trialbook.report.charts import Axis, Band, Chart, Floats, Line, Mark, Panel, Points, Role, Rule
from trialbook.report.figures.kinds import FigureSource
from trialbook.report.figures.over_params import (
    axis_of,
    best_point,
    chosen_slices,
    rows_of,
    spread,
    trial_texts,
)
from trialbook.report.figures.wording import objective_label
from trialbook.report.numbers import number_text

MOST_PARAMS = 12
COLUMNS = 3
_ALONG = 60


def sensitivity(source: FigureSource) -> Chart:
    """One panel a param: the near trials, the slope through them, the best and the tolerance."""
    slices, notes = chosen_slices(source, MOST_PARAMS)
    names = tuple(axis.name for axis in slices.axes)
    found = analysis.sensitivity(source.search, source.objective, names)
    if all(one.effect is None for one in found.effects):
        most = max(len(one.near) for one in found.effects)
        raise NotApplicableError(
            f"too few trials are near the best, trial {found.judged.best_number}: at most {most} "
            f"within the Gower distance {found.radius:g} in all other params, and "
            f"{analysis.FEWEST} are needed",
            hint="run more trials; see 'slice' for all that there are",
        )
    label = objective_label(source.search, source.objective)
    panels = [_panel(source, found, one, label) for one in found.effects]
    trials = found.judged
    return Chart(
        kind="sensitivity",
        title="Value around the best trial",
        panels=rows_of(panels, COLUMNS),
        table=found.table(),
        caption=(
            f"Trials near the best, trial {trials.best_number}, in all other params (Gower "
            f"distance at most {found.radius:g}; of more the nearest {analysis.MOST}), of "
            f"{len(trials)} complete trials. Line: "
            "Theil-Sen slope of the value with the distance from the best in the param, over the "
            f"near trials without the best; band: its {100 * found.level:g} % interval, which "
            "takes these trials as independent; too few have none. Dashed: "
            f"{number_text(found.tolerance)} from the best, {100 * found.tolerance_share:g} % of "
            "its distance from the median trial. What no trial near the best has tried is not "
            "known."
        ),
        notes=notes,
        trials=(trials.best_number,),
        share_y=True,
        height=1.2,
    )


def _panel(
    source: FigureSource,
    found: analysis.Sensitivity,
    one: LocalEffect,
    label: str,
) -> Panel:
    trials, options = found.judged, source.options
    sign = -1.0 if trials.maximize else 1.0
    positions = one.axis.positions[trials.indices]
    best_loss = trials.losses[trials.best]
    marks: list[Mark] = []
    marks.append(
        Rule(
            y=float(sign * (best_loss + found.tolerance)),
            label="within tolerance of the best",
        )
    )
    marks.append(
        Points(
            spread(positions[one.near], one.axis, options.seed),
            trials.values[one.near],
            Role.COMPLETE,
            "near the best",
            texts=trial_texts(trials, one.near),
        )
    )
    if not np.isnan(one.slope) and not one.axis.is_categorical:
        marks += _fit(found, one, sign)
    if not np.isnan(one.best):
        marks.append(best_point(positions, trials.values, trials))
    return Panel(axis_of(one.axis), Axis(label), tuple(marks), title=_title(one))


def _title(one: LocalEffect) -> str:
    """Why a panel has no line, in few words."""
    if one.reason and not np.isnan(one.best) and len(one.near) < analysis.FEWEST:
        return f"too few near: {len(one.near)} of {analysis.FEWEST}"
    return one.reason


def _fit(found: analysis.Sensitivity, one: LocalEffect, sign: float) -> tuple[Mark, ...]:
    """The slope to both sides of the best, as far as there are near trials on each."""
    trials = found.judged
    scaled = one.axis.scaled[trials.indices]
    best, near = scaled[trials.best], scaled[one.near]
    along: Floats = np.linspace(min(near.min(), best), max(near.max(), best), _ALONG)
    along = np.sort(np.append(along, best))
    distance = np.abs(along - best)
    middle = float(np.median(one.distance))
    loss = one.intercept + one.slope * distance
    at_middle = one.intercept + one.slope * middle
    x = one.axis.unscaled(along)
    line = Line(x, sign * loss, Role.LEADING, "Theil-Sen slope")
    if one.low is None or one.high is None:
        return (line,)
    # The interval is of the slope alone: it turns around the middle of the near trials.
    turned = np.array([at_middle + end * 10 * (distance - middle) for end in (one.low, one.high)])
    ends = np.sort(sign * turned, axis=0)
    return (Band(x, ends[0], ends[1], 0, "interval of the slope"), line)
