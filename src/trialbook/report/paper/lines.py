"""Points, lines, curves, rules and labels on matplotlib's axes."""

from __future__ import annotations

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D

from trialbook.report.charts import Axis, Curves, Labels, Line, Panel, Points, Rule
from trialbook.report.geometry import curve_slices
from trialbook.report.labels import distinct
from trialbook.report.palette import look
from trialbook.report.paper.axes import Room, drawn, include
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
    """Short texts at places of the panel."""
    beside = len(panel.x.categories) or 4
    limit = min(room.letters((room.width_in - 0.6) / beside, SMALL_PT), 20)
    x, y = drawn(mark.x, panel.x), drawn(mark.y, panel.y)
    (dx, dy), horizontal, vertical = _SIDES[mark.side]
    for place_x, place_y, text in zip(
        x.tolist(), y.tolist(), distinct(mark.texts, limit), strict=True
    ):
        axes.annotate(
            text,
            (place_x, place_y),
            (dx, dy),
            textcoords="offset points",
            fontsize=SMALL_PT,
            horizontalalignment=horizontal,
            verticalalignment=vertical,
            annotation_clip=False,
            bbox={"boxstyle": "square,pad=0.1", "facecolor": (1, 1, 1, 0.75), "linewidth": 0},
            zorder=4,
            parse_math=False,
        )
