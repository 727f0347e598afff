"""The empirical distribution of the values, with a band where trials are independent."""

from __future__ import annotations

import numpy as np

from trialbook.analysis.searches.distribution import value_distribution
from trialbook.report.charts import Axis, Band, Chart, Line, Mark, Panel, Role
from trialbook.report.figures.kinds import FigureSource
from trialbook.report.figures.wording import objective_label, objective_scale
from trialbook.report.wording import counted


def edf(source: FigureSource) -> Chart:
    """Share of the trials whose value is not above each value."""
    search, options = source.search, source.options
    found = value_distribution(search, source.objective)
    # The last of equal values has the share of them all; before the first it is 0.
    last = np.flatnonzero(np.append(np.diff(found.values) != 0, True))
    notes: list[str] = []
    if len(last) > options.marks:
        last = last[np.unique(np.linspace(0, len(last) - 1, options.marks).astype(np.int64))]
        notes.append(f"the line has {len(last)} of its {len(found.values)} steps, evenly chosen")
    x = found.values[last][[0, *range(len(last))]]
    marks: list[Mark] = []
    text = ""
    if found.half_width is not None:
        low, high = (np.append(np.nan, end[last]) for end in (found.low, found.high))
        low[0], high[0] = 0.0, found.half_width
        marks.append(Band(x, low, high, Role.LEADING, f"{100 * found.level:g} % band", step=True))
        text = (
            f" The band holds the whole distribution with {100 * found.level:g} % confidence "
            "(Dvoretzky-Kiefer-Wolfowitz)."
        )
    else:
        notes.append(f"no confidence band: {found.no_band}")
    marks.append(Line(x, np.append(0.0, found.share[last]), Role.LEADING, step=True))
    left_out = ", ".join(f"{count} {reason}" for reason, count in found.left_out)
    return Chart(
        kind="edf",
        title="Empirical distribution of values",
        panels=(
            (
                Panel(
                    Axis(
                        objective_label(search, found.objective),
                        scale=objective_scale(search, found.values, found.objective),
                    ),
                    Axis("share of trials not above", limits=(0.0, 1.0)),
                    tuple(marks),
                ),
            ),
        ),
        table=found.table(),
        caption=(
            f"Share of {counted(len(found.values), 'feasible complete trial')} whose value is not "
            f"above each value{f' (left out: {left_out})' if left_out else ''}." + text
        ),
        notes=tuple(notes),
    )
