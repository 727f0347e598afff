"""Value against each param: one panel a param."""

from __future__ import annotations

import numpy as np

from trialbook.analysis.searches.axes import ParamAxis
from trialbook.analysis.searches.search import Ints
from trialbook.analysis.searches.slices import Slices
from trialbook.report.charts import Axis, Chart, ColorScale, Mark, Panel, Points, Role
from trialbook.report.figures.kinds import FigureSource
from trialbook.report.figures.over_params import (
    axis_of,
    best_point,
    chosen_slices,
    drawn_trials,
    judged_sentence,
    rows_of,
    spread,
    trial_texts,
)
from trialbook.report.figures.thinning import chosen
from trialbook.report.figures.wording import objective_label, objective_scale
from trialbook.report.wording import are, counted

MOST_PARAMS = 12
COLUMNS = 3


def slices(source: FigureSource) -> Chart:
    """The value of each complete trial against each of its params; the number is the colour."""
    found, notes = chosen_slices(source, MOST_PARAMS)
    trials, search = found.judged, source.search
    drawn, thinned = drawn_trials(source, trials, len(found.axes))
    y = Axis(
        objective_label(search, trials.objective),
        objective_scale(search, trials.values, trials.objective),
    )
    infeasible, beyond = _infeasible(source, found)
    panels = [_panel(source, found, axis, (drawn, infeasible), y) for axis in found.axes]
    return Chart(
        kind="slice",
        title="Value against each param",
        panels=rows_of(panels, COLUMNS if len(panels) != 4 else 2),
        table=found.table(),
        caption=(
            f"Value against each param over its range: {judged_sentence(trials)} Colour is the "
            "trial's number; the star is the best trial."
            + (f" Squares: {counted(len(infeasible), 'infeasible trial')}." * bool(len(infeasible)))
            + (
                " Points of categorical params are moved aside at random."
                if any(axis.is_categorical for axis in found.axes)
                else ""
            )
        ),
        notes=notes + thinned + beyond,
        trials=(trials.best_number,),
        share_y=True,
        height=1.2,
    )


def _infeasible(source: FigureSource, found: Slices) -> tuple[Ints, tuple[str, ...]]:
    """Indices of the infeasible trials that are drawn, and a note when not all are.

    Not those whose value is so far off that the others would be drawn as one line.
    """
    trials = found.judged
    values = source.search.values[trials.infeasible, trials.objective]
    low, high = float(trials.values.min()), float(trials.values.max())
    room = max(high - low, 0.5 * max(abs(low), abs(high)))
    least = low - room if low <= 0 else max(low - room, low / 2)  # above 0 on a log axis
    near = trials.infeasible[(values >= least) & (values <= high + room)]
    limit = max(1, source.options.marks // len(found.axes))
    kept = near[chosen(len(near), limit, seed=source.options.seed)]
    missing = len(trials.infeasible) - len(kept)
    if not missing:
        return kept, ()
    return kept, (
        f"{missing} of {counted(len(trials.infeasible), 'infeasible trial')} "
        f"{are(missing)} not drawn: beyond the range of the others, or left out at random",
    )


def _panel(
    source: FigureSource,
    found: Slices,
    axis: ParamAxis,
    members: tuple[Ints, Ints],
    y: Axis,
) -> Panel:
    """One panel: ``members`` are positions of trials that count, and indices of infeasible ones."""
    trials, search = found.judged, source.search
    drawn, at = members
    positions = found.positions(axis)
    shown = drawn[~np.isnan(positions[drawn]) & (drawn != trials.best)]
    numbers = trials.numbers.astype(np.float64)
    last = float(max(search.numbers))
    marks: list[Mark] = []
    if len(at):
        marks.append(
            Points(
                axis.positions[at],
                search.values[at, trials.objective],
                Role.INFEASIBLE,
                "infeasible",
                texts=tuple(f"trial {number}" for number in search.numbers[at].tolist()),
            )
        )
    marks.append(
        Points(
            spread(positions[shown], axis, source.options.seed),
            trials.values[shown],
            Role.COMPLETE,
            colors=numbers[shown],
            texts=trial_texts(trials, shown),
        )
    )
    if not np.isnan(positions[trials.best]):
        marks.append(best_point(positions, trials.values, trials))
    missing = int(np.isnan(positions).sum())
    return Panel(
        axis_of(axis),
        y,
        tuple(marks),
        title=f"in {len(trials) - missing} of {len(trials)} trials" if missing else "",
        color=ColorScale("trial", (0.0, max(last, 1.0)), integer=True),
        empty="" if missing < len(trials) else "no complete trial has it",
    )
