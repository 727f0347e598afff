"""Colour bars of a page: where they stand, their ticks, and a trace that has them drawn."""

from __future__ import annotations

import numpy as np

from trialbook.report.charts import ColorScale
from trialbook.report.geometry import limits_of
from trialbook.report.log_ticks import log_ticks
from trialbook.report.page.colors import colored, colorscale
from trialbook.report.page.drawn import Drawn, Json, Place
from trialbook.report.page.grid import Grid
from trialbook.report.page.texts import wrapped_lines

_TICK_PX = 40
"""Room of a label along a bar."""


def color_bar(scale: ColorScale, owners: list[tuple[int, int]], panels: int, grid: Grid) -> Json:
    """A colour axis with its bar.

    Args:
        scale: Its colours.
        owners: Row and column of each panel that it is for.
        panels: How many panels the chart has.
        grid: Where they lie.
    """
    low, high = colored(np.array(limits_of(scale)), scale.log).tolist()
    whole = len(owners) == panels
    top = max((grid.y_domain(row)[1] for row, _ in owners), default=1.0)
    bottom = min((grid.y_domain(row)[0] for row, _ in owners), default=0.0)
    right = max((grid.x_domain(column)[1] for _, column in owners), default=1.0)
    length_px = min((top - bottom) * grid.inner_px, 420.0)
    bar: Json = {
        "thickness": 12,
        "outlinewidth": 0,
        "x": round(1.01 if whole else right + 0.006, 5),
        "xanchor": "left",
        "y": round(top, 5),
        "yanchor": "top",
        "lenmode": "pixels",
        "len": round(length_px),
        "title": {"text": wrapped_lines(scale.label, length_px), "side": "right"},
        "exponentformat": "power",
        "nticks": max(int(length_px / _TICK_PX), 3),
    }
    if scale.log:
        bar |= _log_ticks(low, high, length_px)
    elif scale.integer:
        bar |= {"tickformat": "d"} | ({"dtick": 1} if high - low < bar["nticks"] else {})
    return {
        "cmin": low,
        "cmax": high,
        "colorscale": colorscale(scale),
        "colorbar": bar,
    }


def _log_ticks(low: float, high: float, length_px: float) -> Json:
    """Ticks of a colour bar whose numbers are logarithms."""
    found = log_ticks(10.0**low, 10.0**high, length_px, lambda _: _TICK_PX).labelled
    return {
        "tickmode": "array",
        "tickvals": [round(float(np.log10(value)), 6) for value, _ in found],
        "ticktext": [label for _, label in found],
    }


def color_bar_trace(drawn: Drawn, place: Place) -> None:
    """A trace without points: a colour bar is drawn where something has its colours."""
    color = place.panel.color
    assert color is not None
    ends = colored(np.array(limits_of(color)), color.log).tolist()
    drawn.traces.append(
        {"type": "scatter", "x": [None, None], "y": [None, None], "mode": "markers"}
        | {"xaxis": place.x, "yaxis": place.y}
        | {"marker": {"color": ends, "coloraxis": place.coloraxis, "opacity": 0}}
        | {"showlegend": False, "hoverinfo": "skip"}
    )
