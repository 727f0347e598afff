"""Bars, spans of time and intervals on matplotlib's axes."""

from __future__ import annotations

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from trialbook.report.charts import Bars, Floats, Intervals, Panel, Role, Spans
from trialbook.report.palette import Look, look
from trialbook.report.paper.axes import drawn, include
from trialbook.report.paper.looks import RASTERIZED_FROM, SIZE_PT, marker_of

_HATCHES = {"triangle": "////", "cross": "xxxx", "ring": "....", "square": "\\\\\\\\"}


def draw_bars(axes: Axes, panel: Panel, mark: Bars, order: float) -> Artist:
    """Horizontal bars from 0, with their error bars."""
    found = look(mark.style)
    length = np.nan_to_num(drawn(mark.length, panel.x))
    axes.barh(mark.at, length, height=0.7, color=found.color, alpha=0.85, zorder=order)
    if mark.low is not None and mark.high is not None:
        _error_bars(axes, length, mark.at, mark.low, mark.high, horizontal=True, order=order)
    include(axes, np.zeros(1), np.zeros(1))
    return Patch(facecolor=found.color, alpha=0.85)


def draw_spans(axes: Axes, panel: Panel, mark: Spans, order: float) -> Artist:
    """Horizontal bars from a start to an end."""
    found = look(mark.style)
    start, end = drawn(mark.start, panel.x), drawn(mark.end, panel.x)
    good = np.isfinite(start) & np.isfinite(end) & np.isfinite(mark.row)
    start, end, row = start[good], end[good], mark.row[good]
    corners = np.stack(
        [
            np.column_stack([start, row - 0.38]),
            np.column_stack([start, row + 0.38]),
            np.column_stack([end, row + 0.38]),
            np.column_stack([end, row - 0.38]),
        ],
        axis=1,
    )
    hatch = _HATCHES.get(found.marker) if isinstance(mark.style, Role) else None
    style = _area(found, hatch)
    axes.add_collection(
        PolyCollection(corners, zorder=order, rasterized=len(row) > RASTERIZED_FROM, **style),  # type: ignore[arg-type]
        autolim=False,
    )
    include(axes, np.concatenate([start, end]), np.concatenate([row - 0.5, row + 0.5]))
    return Patch(**style)  # type: ignore[arg-type]


def _area(found: Look, hatch: str | None) -> dict[str, object]:
    """Bars of a look; a hatch tells them apart without colours."""
    return {
        "facecolor": found.color if hatch is None else (found.color, 0.55),
        "edgecolor": "white" if hatch is None else found.color,
        "hatch": hatch,
        "linewidth": 0.2,
    }


def draw_intervals(axes: Axes, panel: Panel, mark: Intervals, order: float) -> Artist:
    """Points with error bars."""
    found = look(mark.style)
    x, y = drawn(mark.x, panel.x), drawn(mark.y, panel.y)
    along = panel.x if mark.horizontal else panel.y
    low, high = drawn(mark.low, along), drawn(mark.high, along)
    _error_bars(axes, x, y, low, high, mark.horizontal, order, found.color)
    marker = marker_of(found, SIZE_PT * 1.2)
    axes.plot(x, y, linestyle="none", zorder=order + 0.005, **marker)  # type: ignore[arg-type]
    return Line2D([], [], color=found.color, linewidth=0.9, **marker)  # type: ignore[arg-type]


def _error_bars(
    axes: Axes,
    x: Floats,
    y: Floats,
    low: Floats,
    high: Floats,
    horizontal: bool,
    order: float,
    color: str = "black",
) -> None:
    """Lines from ``low`` to ``high``, which need not lie around the points themselves."""
    across = y if horizontal else x
    ends = [np.column_stack([low, across]), np.column_stack([high, across])]
    if not horizontal:
        ends = [end[:, ::-1] for end in ends]
    segments = np.stack(ends, axis=1)
    segments = segments[np.isfinite(segments).all(axis=(1, 2))]
    axes.add_collection(
        LineCollection(list(segments), colors=color, linewidths=0.9, zorder=order + 0.004),
        autolim=False,
    )
    if len(segments):
        include(axes, segments[:, :, 0].ravel(), segments[:, :, 1].ravel())
