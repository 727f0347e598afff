"""Drawing each kind of mark on matplotlib's axes, and its entry in the legend."""

from __future__ import annotations

from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import Colormap, LogNorm, Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from trialbook.report.charts import (
    Axis,
    Band,
    Bars,
    Cells,
    ColorScale,
    Curves,
    Floats,
    Intervals,
    Labels,
    Line,
    Mark,
    Panel,
    Points,
    Role,
    Rule,
    Scale,
    Spans,
    Style,
)
from trialbook.report.geometry import (
    band_outline,
    curve_slices,
    has_numbers,
    limits_of,
    marks_count,
)
from trialbook.report.labels import distinct
from trialbook.report.palette import COLOR_MAP, Look, look
from trialbook.report.paper.axes import Room, drawn
from trialbook.report.paper.settings import SMALL_PT

RASTERIZED_FROM = 3000
"""Marks of more points than this are a picture inside a PDF or SVG; text and axes never are."""
_MARKERS = {
    "circle": "o",
    "square": "s",
    "triangle": "^",
    "diamond": "D",
    "cross": "x",
    "plus": "+",
    "star": "*",
    "ring": "o",
}
_DASHES: dict[str, tuple[float, tuple[float, ...]]] = {
    "solid": (0, ()),
    "dash": (0, (4.0, 1.6)),
    "dot": (0, (1.0, 1.4)),
    "dashdot": (0, (5.0, 1.4, 1.0, 1.4)),
}
_HATCHES = {"triangle": "////", "cross": "xxxx", "ring": "....", "square": "\\\\\\\\"}
_SIDES: dict[str, tuple[tuple[float, float], str, str]] = {
    "above": ((0, 2), "center", "bottom"),
    "below": ((0, -2), "center", "top"),
    "left": ((-3, 0), "right", "center"),
    "right": ((3, 0), "left", "center"),
}
_SIZE_PT = 3.4
_UNKNOWN = "#BDBDBD"
_FEW_LINES = 30


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the legend.

    Args:
        label: The text.
        handle: What stands beside it.
    """

    label: str
    handle: Artist


def norm_of(scale: ColorScale) -> Normalize:
    """How a scale's numbers become places on the colour map."""
    low, high = limits_of(scale)
    return LogNorm(low, high) if scale.log else Normalize(low, high)


def color_map(scale: ColorScale, bad: str = _UNKNOWN) -> Colormap:
    """A scale's colours; ``bad`` is that of NaN."""
    found = mpl.colormaps[COLOR_MAP + ("_r" if scale.reverse else "")]
    return found.with_extremes(bad=bad)


def draw(axes: Axes, panel: Panel, room: Room) -> list[Entry]:
    """Draw a panel's marks.

    Args:
        axes: Where.
        panel: What.
        room: How much room the panel has.

    Returns:
        The entries of the legend, in the order of the marks; the same label can come again.
    """
    entries: list[Entry] = []
    for place, mark in enumerate(panel.marks):
        order = 2.0 + place / 100
        handle = _draw(axes, panel, mark, order, room)
        label = getattr(mark, "label", "")
        if label and handle is not None and has_numbers(mark):
            entries.append(Entry(label, handle))
    return entries


def _draw(axes: Axes, panel: Panel, mark: Mark, order: float, room: Room) -> Artist | None:
    match mark:
        case Points():
            return _points(axes, panel, mark, order, room.scale)
        case Line():
            return _line(axes, panel, mark, order)
        case Curves():
            return _curves(axes, panel, mark, order)
        case Band():
            return _band(axes, panel, mark, order)
        case Bars():
            return _bars(axes, panel, mark, order)
        case Spans():
            return _spans(axes, panel, mark, order)
        case Intervals():
            return _intervals(axes, panel, mark, order)
        case Cells():
            _cells(axes, panel, mark, order)
            return None
        case Rule():
            return _rule(axes, panel, mark, order)
        case Labels():
            _labels(axes, panel, mark, room)
    return None


def _marker(found: Look, size_pt: float) -> dict[str, object]:
    """What matplotlib's lines take for a marker of this look."""
    hollow = found.marker in ("ring", "cross", "plus")
    return {
        "marker": _MARKERS[found.marker],
        "markersize": size_pt * (1.6 if found.marker == "star" else 1.0),
        "markerfacecolor": "none" if hollow else found.color,
        "markeredgecolor": found.color if hollow else "white",
        "markeredgewidth": 0.8 if hollow else 0.25,
    }


def _points(axes: Axes, panel: Panel, mark: Points, order: float, scale: float) -> Artist:
    found = look(mark.style)
    x, y = drawn(mark.x, panel.x), drawn(mark.y, panel.y)
    crowded = len(x) > 500
    size = _SIZE_PT * mark.size * scale * (0.7 if crowded else 1.0)
    raster = len(x) > RASTERIZED_FROM
    if mark.colors is not None and panel.color is not None:
        axes.scatter(
            x,
            y,
            c=drawn(mark.colors, Axis()),
            s=size**2,
            marker=_MARKERS[found.marker],
            cmap=color_map(panel.color),
            norm=norm_of(panel.color),
            plotnonfinite=True,
            linewidths=0.25 if found.marker not in ("cross", "plus") else 0.8,
            edgecolors="white" if found.marker not in ("cross", "plus") else None,
            zorder=order,
            rasterized=raster,
        )
        axes.update_datalim(np.column_stack([x, y])[np.isfinite(x) & np.isfinite(y)])
        return Line2D([], [], linestyle="none", **_marker(found, _SIZE_PT))  # type: ignore[arg-type]
    alpha = found.opacity * (0.6 if crowded else 1.0)
    axes.plot(
        x,
        y,
        linestyle="none",
        alpha=alpha,
        zorder=order,
        rasterized=raster,
        **_marker(found, size),  # type: ignore[arg-type]
    )
    key = _marker(found, min(_SIZE_PT * mark.size, 6.0))
    return Line2D([], [], linestyle="none", **key)  # type: ignore[arg-type]


def _line(axes: Axes, panel: Panel, mark: Line, order: float) -> Artist:
    found = look(mark.style)
    style: dict[str, object] = {"color": found.color, "linestyle": _DASHES[found.dash]}
    if mark.markers:
        style |= _marker(found, _SIZE_PT)
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


def _curves(axes: Axes, panel: Panel, mark: Curves, order: float) -> Artist:
    found = look(mark.style)
    slices = curve_slices(mark)
    x, y = drawn(mark.x, panel.x), drawn(mark.y, panel.y)
    few = len(slices) < _FEW_LINES
    lines = LineCollection(
        [np.column_stack([x[part], y[part]]) for part in slices],
        linewidths=0.8 if few else 0.5,
        linestyles=[_DASHES[found.dash]] if few else "solid",
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
    _include(axes, x, y)
    return Line2D([], [], color=found.color, linewidth=0.9, linestyle=_DASHES[found.dash])


def _band(axes: Axes, panel: Panel, mark: Band, order: float) -> Artist:
    found = look(mark.style)
    x, y = band_outline(
        Band(
            drawn(mark.x, panel.x),
            drawn(mark.low, panel.y),
            drawn(mark.high, panel.y),
            step=mark.step,
        )
    )
    gaps = np.flatnonzero(np.isnan(x))
    outlines = np.split(np.column_stack([x, y]), gaps) if len(x) else []
    shapes = [shape[~np.isnan(shape[:, 0])] for shape in outlines]
    axes.add_collection(
        PolyCollection(shapes, facecolors=found.color, alpha=0.2, linewidths=0, zorder=order),
        autolim=False,
    )
    _include(axes, x, y)
    return Patch(facecolor=found.color, alpha=0.2, linewidth=0)


def _bars(axes: Axes, panel: Panel, mark: Bars, order: float) -> Artist:
    found = look(mark.style)
    length = np.nan_to_num(drawn(mark.length, panel.x))
    axes.barh(mark.at, length, height=0.7, color=found.color, alpha=0.85, zorder=order)
    if mark.low is not None and mark.high is not None:
        _error_bars(axes, length, mark.at, mark.low, mark.high, horizontal=True, order=order)
    _include(axes, np.zeros(1), np.zeros(1))
    return Patch(facecolor=found.color, alpha=0.85)


def _spans(axes: Axes, panel: Panel, mark: Spans, order: float) -> Artist:
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
    _include(axes, np.concatenate([start, end]), np.concatenate([row - 0.5, row + 0.5]))
    return Patch(**style)  # type: ignore[arg-type]


def _area(found: Look, hatch: str | None) -> dict[str, object]:
    """Bars of a look; a hatch tells them apart without colours."""
    return {
        "facecolor": found.color if hatch is None else (found.color, 0.55),
        "edgecolor": "white" if hatch is None else found.color,
        "hatch": hatch,
        "linewidth": 0.2,
    }


def _intervals(axes: Axes, panel: Panel, mark: Intervals, order: float) -> Artist:
    found = look(mark.style)
    x, y = drawn(mark.x, panel.x), drawn(mark.y, panel.y)
    along = panel.x if mark.horizontal else panel.y
    low, high = drawn(mark.low, along), drawn(mark.high, along)
    _error_bars(axes, x, y, low, high, mark.horizontal, order, found.color)
    marker = _marker(found, _SIZE_PT * 1.2)
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
        _include(axes, segments[:, :, 0].ravel(), segments[:, :, 1].ravel())


def _cells(axes: Axes, panel: Panel, mark: Cells, order: float) -> None:
    if panel.color is None:
        return
    x, y = drawn(mark.x_edges, panel.x), drawn(mark.y_edges, panel.y)
    values = np.ma.masked_invalid(drawn(mark.values, Axis()))
    norm = norm_of(panel.color)
    colors = color_map(panel.color, bad="none")
    if mark.contours and min(values.shape) > 1 and values.count() > 3:
        low, high = limits_of(panel.color)
        levels = np.geomspace(low, high, 13) if panel.color.log else np.linspace(low, high, 13)
        axes.contourf(
            _centres(x, panel.x),
            _centres(y, panel.y),
            values,
            levels=levels,
            cmap=colors,
            norm=norm,
            extend="both",
            zorder=order,
        )
    else:
        axes.pcolormesh(
            x,
            y,
            values,
            cmap=colors,
            norm=norm,
            zorder=order,
            rasterized=marks_count(mark) > RASTERIZED_FROM,
        )
    axes.grid(visible=False)


def _centres(edges: Floats, axis: Axis) -> Floats:
    if axis.scale is Scale.LOG and (edges > 0).all():
        return np.sqrt(edges[:-1] * edges[1:])
    return (edges[:-1] + edges[1:]) / 2


def _rule(axes: Axes, panel: Panel, mark: Rule, order: float) -> Artist:
    style = _rule_style(mark.style)
    if mark.x is not None and np.isfinite(mark.x):
        axes.axvline(float(drawn(np.array([mark.x]), panel.x)[0]), zorder=order, **style)  # type: ignore[arg-type]
    if mark.y is not None and np.isfinite(mark.y):
        axes.axhline(float(drawn(np.array([mark.y]), panel.y)[0]), zorder=order, **style)  # type: ignore[arg-type]
    return Line2D([], [], **style)  # type: ignore[arg-type]


def _labels(axes: Axes, panel: Panel, mark: Labels, room: Room) -> None:
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


def _rule_style(style: Style) -> dict[str, object]:
    found = look(style)
    return {"color": found.color, "linestyle": _DASHES[found.dash], "linewidth": 0.9}


def _include(axes: Axes, x: Floats, y: Floats) -> None:
    """Let the axes reach these points; collections are slow at it by themselves."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    log_x, log_y = axes.get_xscale() == "log", axes.get_yscale() == "log"
    good = np.isfinite(x) & np.isfinite(y) & ((x > 0) | (not log_x)) & ((y > 0) | (not log_y))
    if good.any():
        points = np.column_stack([x[good], y[good]])
        axes.update_datalim(np.stack([points.min(axis=0), points.max(axis=0)]))
        axes.autoscale_view()
