"""Bars, spans of time and intervals as traces of plotly.js."""

from __future__ import annotations

import numpy as np

from trialbook.report.charts import Bars, Floats, Intervals, Role, Spans
from trialbook.report.page.drawn import Drawn, Json, Place, legend_entry, marker_of
from trialbook.report.page.hovering import said_of, template_of
from trialbook.report.page.lines import scatter
from trialbook.report.page.texts import numbers, placed
from trialbook.report.palette import look

_HATCHES = {"triangle": "/", "cross": "x", "ring": ".", "square": "\\"}


def draw_bars(drawn: Drawn, place: Place, mark: Bars) -> None:
    """Horizontal bars from 0, with their error bars."""
    x = placed(mark.length, place.panel.x)
    texts = said_of(place.panel, None, mark.at, mark.texts)
    drawn.traces.append(
        {
            "type": "bar",
            "orientation": "h",
            "x": numbers(x),
            "y": numbers(mark.at),
            "width": 0.7,
            "xaxis": place.x,
            "yaxis": place.y,
            "marker": {"color": look(mark.style).color, "opacity": 0.85},
            "hovertext": texts,
            "hovertemplate": template_of(place.panel.x, "x", texts, "hovertext"),
        }
        | legend_entry(drawn, mark.label, mark.style)
    )
    if mark.low is not None and mark.high is not None:
        low, high = placed(mark.low, place.panel.x), placed(mark.high, place.panel.x)
        _error_bars(drawn, place, low, high, mark.at, horizontal=True, color="#000000")


def draw_spans(drawn: Drawn, place: Place, mark: Spans) -> None:
    """Horizontal bars from a start to an end; a hatch tells them apart without colours."""
    found = look(mark.style)
    start, end = placed(mark.start, place.panel.x), placed(mark.end, place.panel.x)
    texts = said_of(place.panel, None, mark.row, mark.texts)
    marker: Json = {"color": found.color, "line": {"width": 0.3, "color": "#ffffff"}}
    if isinstance(mark.style, Role) and found.marker in _HATCHES:
        pattern = {"shape": _HATCHES[found.marker], "size": 5, "solidity": 0.25}
        marker["pattern"] = pattern | {"fgcolor": "#ffffff", "bgcolor": found.color}
    drawn.traces.append(
        {
            "type": "bar",
            "orientation": "h",
            "base": numbers(start),
            "x": numbers(end - start),
            "y": numbers(mark.row),
            "width": 0.76,
            "xaxis": place.x,
            "yaxis": place.y,
            "marker": marker,
            "hovertext": texts,
            "hovertemplate": ("%{hovertext}<br>" if texts else "")
            + "%{base} to %{x}<extra></extra>",
        }
        | legend_entry(drawn, mark.label, mark.style)
    )


def draw_intervals(drawn: Drawn, place: Place, mark: Intervals) -> None:
    """Points with error bars."""
    found = look(mark.style)
    across = mark.y if mark.horizontal else mark.x
    axis = place.panel.x if mark.horizontal else place.panel.y
    other = place.panel.y if mark.horizontal else place.panel.x
    low, high = placed(mark.low, axis), placed(mark.high, axis)
    _error_bars(drawn, place, low, high, placed(across, other), mark.horizontal, color=found.color)
    trace = scatter(drawn, place, mark.x, mark.y, mark.texts)
    trace |= {"mode": "markers", "marker": marker_of(found, 1.3)}
    drawn.traces.append(trace | legend_entry(drawn, mark.label, mark.style))


def _error_bars(
    drawn: Drawn,
    place: Place,
    low: Floats,
    high: Floats,
    across: Floats,
    horizontal: bool,
    color: str,
) -> None:
    """Lines from ``low`` to ``high``, which need not lie around the points themselves."""
    gap = np.full(len(low), np.nan)
    along = np.column_stack([low, high, gap]).ravel()
    beside = np.column_stack([across, across, gap]).ravel()
    drawn.traces.append(
        {
            "type": "scatter",
            "x": numbers(along if horizontal else beside),
            "y": numbers(beside if horizontal else along),
            "xaxis": place.x,
            "yaxis": place.y,
            "mode": "lines",
            "line": {"color": color, "width": 1.5},
            "hoverinfo": "skip",
            "showlegend": False,
        }
    )
