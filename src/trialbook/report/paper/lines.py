"""Points, lines, curves, rules and labels on matplotlib's axes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D

from trialbook.report.charts import Axis, Curves, Floats, Labels, Line, Panel, Points, Rule
from trialbook.report.geometry import curve_slices
from trialbook.report.labels import cells_of, distinct
from trialbook.report.palette import look
from trialbook.report.paper.axes import LETTER, Room, drawn, include
from trialbook.report.paper.looks import (
    DASHES,
    MARKERS,
    RASTERIZED_FROM,
    SIZE_PT,
    color_map,
    marker_of,
    norm_of,
)
from trialbook.report.paper.settings import SMALL_PT

_SIDES: dict[str, tuple[tuple[float, float], str, str]] = {
    "above": ((0, 2), "center", "bottom"),
    "below": ((0, -2), "center", "top"),
    "left": ((-3, 0), "right", "center"),
    "right": ((3, 0), "left", "center"),
}
_FEW_LINES = 30


def draw_points(axes: Axes, panel: Panel, mark: Points, order: float, scale: float) -> Artist:
    """Separate points; many are smaller and let others shine through."""
    found = look(mark.style)
    x, y = drawn(mark.x, panel.x), drawn(mark.y, panel.y)
    crowded = len(x) > 500
    size = SIZE_PT * mark.size * scale * (0.7 if crowded else 1.0)
    raster = len(x) > RASTERIZED_FROM
    if mark.colors is not None and panel.color is not None:
        axes.scatter(
            x,
            y,
            c=drawn(mark.colors, Axis()),
            s=size**2,
            marker=MARKERS[found.marker],
            cmap=color_map(panel.color),
            norm=norm_of(panel.color),
            plotnonfinite=True,
            linewidths=0.25 if found.marker not in ("cross", "plus") else 0.8,
            edgecolors="white" if found.marker not in ("cross", "plus") else None,
            zorder=order,
            rasterized=raster,
        )
        axes.update_datalim(np.column_stack([x, y])[np.isfinite(x) & np.isfinite(y)])
        return Line2D([], [], linestyle="none", **marker_of(found, SIZE_PT))  # type: ignore[arg-type]
    alpha = found.opacity * (0.6 if crowded else 1.0)
    axes.plot(
        x,
        y,
        linestyle="none",
        alpha=alpha,
        zorder=order,
        rasterized=raster,
        **marker_of(found, size),  # type: ignore[arg-type]
    )
    key = marker_of(found, min(SIZE_PT * mark.size, 6.0))
    return Line2D([], [], linestyle="none", **key)  # type: ignore[arg-type]


def draw_line(axes: Axes, panel: Panel, mark: Line, order: float) -> Artist:
    """One line."""
    found = look(mark.style)
    style: dict[str, object] = {"color": found.color, "linestyle": DASHES[found.dash]}
    if mark.markers:
        style |= marker_of(found, SIZE_PT)
    axes.plot(
        drawn(mark.x, panel.x),
        drawn(mark.y, panel.y),
        drawstyle="steps-post" if mark.step else "default",
        alpha=found.opacity,
        zorder=order,
        rasterized=len(mark.x) > 5 * RASTERIZED_FROM,
        **style,  # type: ignore[arg-type]
    )
    return Line2D([], [], alpha=found.opacity, **style)  # type: ignore[arg-type]


def draw_curves(axes: Axes, panel: Panel, mark: Curves, order: float) -> Artist:
    """Many thin lines in one collection."""
    found = look(mark.style)
    slices = curve_slices(mark)
    x, y = drawn(mark.x, panel.x), drawn(mark.y, panel.y)
    few = len(slices) < _FEW_LINES
    lines = LineCollection(
        [np.column_stack([x[part], y[part]]) for part in slices],
        linewidths=0.8 if few else 0.5,
        linestyles=[DASHES[found.dash]] if few else "solid",
        alpha=(found.opacity if mark.colors is None else 1.0) * (0.9 if few else 0.6),
        zorder=order,
        rasterized=len(x) > RASTERIZED_FROM,
    )
    if mark.colors is not None and panel.color is not None:
        lines.set(cmap=color_map(panel.color), norm=norm_of(panel.color))
        lines.set_array(np.ma.masked_invalid(drawn(mark.colors, Axis())))
    else:
        lines.set_color(found.color)
    axes.add_collection(lines, autolim=False)
    include(axes, x, y)
    return Line2D([], [], color=found.color, linewidth=0.9, linestyle=DASHES[found.dash])


def draw_rule(axes: Axes, panel: Panel, mark: Rule, order: float) -> Artist:
    """A straight line across the panel; it pushes no axis."""
    found = look(mark.style)
    style: dict[str, object] = {
        "color": found.color,
        "linestyle": DASHES[found.dash],
        "linewidth": 0.9,
    }
    if mark.x is not None and np.isfinite(mark.x):
        axes.axvline(float(drawn(np.array([mark.x]), panel.x)[0]), zorder=order, **style)  # type: ignore[arg-type]
    if mark.y is not None and np.isfinite(mark.y):
        axes.axhline(float(drawn(np.array([mark.y]), panel.y)[0]), zorder=order, **style)  # type: ignore[arg-type]
    return Line2D([], [], **style)  # type: ignore[arg-type]


def draw_labels(axes: Axes, panel: Panel, mark: Labels, room: Room) -> None:
    """Short texts at places of the panel, in two rows where one has no room for them."""
    beside = len(panel.x.categories) or 4
    letters = (room.width_in - 0.6) / beside / (SMALL_PT * LETTER / 72)
    stacked = mark.side in ("above", "below")
    texts = distinct(mark.texts, min(max(int(letters * (1 + stacked)) - 1, 5), 20))
    crowded = stacked and _run_together(mark.x, texts, letters if panel.x.categories else np.inf)
    x, y = drawn(mark.x, panel.x), drawn(mark.y, panel.y)
    (dx, dy), horizontal, vertical = _SIDES[mark.side]
    for place, (at_x, at_y, text) in enumerate(zip(x.tolist(), y.tolist(), texts, strict=True)):
        row = place % 2 if crowded else 0
        axes.annotate(
            text,
            (at_x, at_y),
            (dx, dy + row * np.sign(dy) * SMALL_PT * 1.2),
            textcoords="offset points",
            fontsize=SMALL_PT,
            horizontalalignment=horizontal,
            verticalalignment=vertical,
            annotation_clip=False,
            bbox={"boxstyle": "square,pad=0.1", "facecolor": (1, 1, 1, 0.75), "linewidth": 0},
            zorder=4,
            parse_math=False,
        )


def _run_together(x: Floats, texts: Sequence[str], letters: float) -> bool:
    """Whether texts centred at categories touch, with so many letters from one to the next."""
    widths = list(map(cells_of, texts))
    return any(
        (widths[at] + widths[at + 1]) / 2 + 0.8 > (x[at + 1] - x[at]) * letters
        for at in range(len(texts) - 1)
    )
