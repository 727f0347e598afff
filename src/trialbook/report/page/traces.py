"""Each kind of mark as traces and shapes of plotly.js."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trialbook.report.charts import (
    Axis,
    Band,
    Bars,
    Cells,
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
from trialbook.report.geometry import band_outline, curve_slices, has_numbers, limits_of, shades
from trialbook.report.labels import one_line
from trialbook.report.page.colors import colored, colorscale, rgba, viridis
from trialbook.report.page.texts import escaped, hovered, label, numbers, placed
from trialbook.report.palette import Look, look

Json = dict[str, Any]

_SYMBOLS = {
    "circle": "circle",
    "square": "square",
    "triangle": "triangle-up",
    "diamond": "diamond",
    "cross": "x",
    "plus": "cross",
    "star": "star",
    "ring": "circle-open",
}
_HATCHES = {"triangle": "/", "cross": "x", "ring": ".", "square": "\\"}
_SIDES = {
    "above": "top center",
    "below": "bottom center",
    "left": "middle left",
    "right": "middle right",
}
_SIZE_PX = 6.0
_LEGEND_LETTERS = 60
_SHADES = 24
"""How many colours the curves of a colour scale get: each is a trace."""


@dataclass(slots=True)
class Drawn:
    """What has been drawn of a chart so far.

    Args:
        traces: In the order of the marks.
        shapes: Rules, likewise.
        labels: What the legend has already.
        gl: Whether many points are drawn by WebGL.
    """

    traces: list[Json] = field(default_factory=list)
    shapes: list[Json] = field(default_factory=list)
    labels: set[str] = field(default_factory=set)
    gl: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where a panel's marks go.

    Args:
        panel: The panel.
        x: Its x axis, as ``x2``.
        y: Its y axis, as ``y2``.
        coloraxis: Its colour axis, as ``coloraxis2``; empty without one.
    """

    panel: Panel
    x: str
    y: str
    coloraxis: str


def draw(drawn: Drawn, place: Place, mark: Mark) -> None:
    """Add a mark, unless there is nothing of it to draw."""
    if not has_numbers(mark):
        return
    match mark:
        case Points():
            _points(drawn, place, mark)
        case Line():
            _line(drawn, place, mark)
        case Curves():
            _curves(drawn, place, mark)
        case Band():
            _band(drawn, place, mark)
        case Bars():
            _bars(drawn, place, mark)
        case Spans():
            _spans(drawn, place, mark)
        case Intervals():
            _intervals(drawn, place, mark)
        case Cells():
            _cells(drawn, place, mark)
        case Rule():
            _rule(drawn, place, mark)
        case Labels():
            _labels(drawn, place, mark)


def _points(drawn: Drawn, place: Place, mark: Points) -> None:
    found = look(mark.style)
    crowded = len(mark.x) > 500
    marker = _marker(found, mark.size * (0.7 if crowded else 1.0))
    trace = _scatter(drawn, place, mark.x, mark.y, mark.texts)
    trace |= {"mode": "markers", "marker": marker} | _legend(drawn, mark.label, mark.style)
    if mark.colors is not None and place.coloraxis:
        _colored(trace, place, mark.colors)
    elif crowded:
        marker["opacity"] = found.opacity * 0.6
    drawn.traces.append(trace)


def _line(drawn: Drawn, place: Place, mark: Line) -> None:
    found = look(mark.style)
    trace = _scatter(drawn, place, mark.x, mark.y, mark.texts)
    trace |= {
        "mode": "lines+markers" if mark.markers else "lines",
        "line": {"color": found.color, "width": 2, "dash": found.dash}
        | ({"shape": "hv"} if mark.step else {}),
    }
    if mark.markers:
        trace["marker"] = _marker(found, 1.0)
    if found.opacity < 1:
        trace["opacity"] = found.opacity
    drawn.traces.append(trace | _legend(drawn, mark.label, mark.style))


def _curves(drawn: Drawn, place: Place, mark: Curves) -> None:
    found = look(mark.style)
    color = place.panel.color
    slices = curve_slices(mark)
    width = 1.2 if len(slices) < 60 else 0.7
    if mark.colors is None or color is None:
        trace = _curve(drawn, place, mark.x, mark.y)
        trace["line"] = {"color": found.color, "width": width}
        if len(slices) < 60 and not drawn.gl:
            trace["line"]["dash"] = found.dash
        trace["opacity"] = found.opacity
        drawn.traces.append(trace | _legend(drawn, mark.label, mark.style))
        return
    bins = np.nan_to_num(np.round(shades(mark.colors, color) * (_SHADES - 1)), nan=-1).astype(int)
    legend = _legend(drawn, mark.label, mark.style)
    for number in np.unique(bins):
        x, y = _joined(mark, [slices[index] for index in np.flatnonzero(bins == number)])
        trace = _curve(drawn, place, x, y)
        shade = "#bdbdbd" if number < 0 else viridis(number / (_SHADES - 1))
        trace["line"] = {"color": shade, "width": width}
        drawn.traces.append(trace | legend)
        legend = {"showlegend": False} | (
            {"legendgroup": legend["legendgroup"]} if "legendgroup" in legend else {}
        )
    _add_color_bar(drawn, place)


def _add_color_bar(drawn: Drawn, place: Place) -> None:
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


def _curve(drawn: Drawn, place: Place, x: Floats, y: Floats) -> Json:
    return {
        "type": "scattergl" if drawn.gl else "scatter",
        "x": numbers(placed(x, place.panel.x), single=place.panel.x.scale is not Scale.TIME),
        "y": numbers(placed(y, place.panel.y), single=place.panel.y.scale is not Scale.TIME),
        "xaxis": place.x,
        "yaxis": place.y,
        "mode": "lines",
        "connectgaps": False,
        "hoverinfo": "skip",
    }


def _joined(mark: Curves, slices: Sequence[slice]) -> tuple[Floats, Floats]:
    """Some of the lines, separated by NaN."""
    gap = np.array([np.nan])
    xs = [part for one in slices for part in (mark.x[one], gap)][:-1]
    ys = [part for one in slices for part in (mark.y[one], gap)][:-1]
    return np.concatenate(xs), np.concatenate(ys)


def _band(drawn: Drawn, place: Place, mark: Band) -> None:
    x, y = band_outline(
        Band(
            placed(mark.x, place.panel.x),
            placed(mark.low, place.panel.y),
            placed(mark.high, place.panel.y),
            step=mark.step,
        )
    )
    drawn.traces.append(
        {
            "type": "scatter",
            "x": numbers(x),
            "y": numbers(y),
            "xaxis": place.x,
            "yaxis": place.y,
            "mode": "lines",
            "line": {"width": 0},
            "fill": "toself",
            "fillcolor": rgba(look(mark.style).color, 0.2),
            "hoverinfo": "skip",
        }
        | _legend(drawn, mark.label, mark.style)
    )


def _bars(drawn: Drawn, place: Place, mark: Bars) -> None:
    x = placed(mark.length, place.panel.x)
    texts = _said(place.panel, None, mark.at, mark.texts)
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
            "hovertemplate": _template(place.panel.x, "x", texts, "hovertext"),
        }
        | _legend(drawn, mark.label, mark.style)
    )
    if mark.low is not None and mark.high is not None:
        low, high = placed(mark.low, place.panel.x), placed(mark.high, place.panel.x)
        _error_bars(drawn, place, low, high, mark.at, horizontal=True, color="#000000")


def _spans(drawn: Drawn, place: Place, mark: Spans) -> None:
    found = look(mark.style)
    start, end = placed(mark.start, place.panel.x), placed(mark.end, place.panel.x)
    texts = _said(place.panel, None, mark.row, mark.texts)
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
        | _legend(drawn, mark.label, mark.style)
    )


def _intervals(drawn: Drawn, place: Place, mark: Intervals) -> None:
    found = look(mark.style)
    across = mark.y if mark.horizontal else mark.x
    axis = place.panel.x if mark.horizontal else place.panel.y
    other = place.panel.y if mark.horizontal else place.panel.x
    low, high = placed(mark.low, axis), placed(mark.high, axis)
    _error_bars(drawn, place, low, high, placed(across, other), mark.horizontal, color=found.color)
    trace = _scatter(drawn, place, mark.x, mark.y, mark.texts)
    trace |= {"mode": "markers", "marker": _marker(found, 1.3)}
    drawn.traces.append(trace | _legend(drawn, mark.label, mark.style))


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


def _cells(drawn: Drawn, place: Place, mark: Cells) -> None:
    if not place.coloraxis or place.panel.color is None:
        return
    scale = place.panel.color
    x, y = placed(mark.x_edges, place.panel.x), placed(mark.y_edges, place.panel.y)
    values = colored(mark.values, scale.log)
    said = escaped(scale.label)
    trace: Json = {
        "type": "heatmap",
        "z": numbers(values),
        "x": numbers(x),
        "y": numbers(y),
        "xaxis": place.x,
        "yaxis": place.y,
        "coloraxis": place.coloraxis,
        "hovertemplate": f"{said}: %{{z:.4g}}<extra></extra>",
        "hoverongaps": False,
    }
    if scale.log:
        trace["customdata"] = numbers(mark.values)
        trace["hovertemplate"] = f"{said}: %{{customdata:.4g}}<extra></extra>"
    if mark.contours and min(mark.values.shape) > 1:
        low, high = colored(np.array(limits_of(scale)), scale.log).tolist()
        # plotly.js gives contours and points no colour axis in common.
        del trace["coloraxis"], trace["hoverongaps"]
        _add_color_bar(drawn, place)
        trace |= {
            "type": "contour",
            "zmin": low,
            "zmax": high,
            "colorscale": colorscale(scale),
            "showscale": False,
            "x": numbers(_centres(x, place.panel.x)),
            "y": numbers(_centres(y, place.panel.y)),
            "connectgaps": False,
            "contours": {"start": low, "end": high, "size": (high - low) / 12},
            "line": {"width": 0.5, "color": "rgba(255,255,255,0.5)"},
        }
    drawn.traces.append(trace)


def _centres(edges: Floats, axis: Axis) -> Floats:
    if axis.scale is Scale.LOG and (edges > 0).all():
        return np.sqrt(edges[:-1] * edges[1:])
    return (edges[:-1] + edges[1:]) / 2


def _rule(drawn: Drawn, place: Place, mark: Rule) -> None:
    found = look(mark.style)
    shape: Json = {
        "type": "line",
        "line": {"color": found.color, "width": 1.2, "dash": found.dash},
        "layer": "above",
    }
    legend = _legend(drawn, mark.label, mark.style)
    for value, axis, which in ((mark.x, place.panel.x, "x"), (mark.y, place.panel.y, "y")):
        if value is None or not np.isfinite(value):
            continue
        at = float(placed(np.array([value]), axis)[0])
        other = "y" if which == "x" else "x"
        ends = {f"{which}0": at, f"{which}1": at, f"{other}0": 0, f"{other}1": 1}
        refs = {
            f"{which}ref": place.x if which == "x" else place.y,
            f"{other}ref": f"{place.y if which == 'x' else place.x} domain",
        }
        drawn.shapes.append(shape | ends | refs | legend)


def _labels(drawn: Drawn, place: Place, mark: Labels) -> None:
    drawn.traces.append(
        {
            "type": "scatter",
            "x": numbers(placed(mark.x, place.panel.x)),
            "y": numbers(placed(mark.y, place.panel.y)),
            "xaxis": place.x,
            "yaxis": place.y,
            "mode": "text",
            "text": [label(text, 14) for text in mark.texts],
            "hovertext": [hovered(text) for text in mark.texts],
            "hoverinfo": "text",
            "textposition": _SIDES[mark.side],
            "textfont": {"size": 10, "shadow": "auto"},
            "cliponaxis": False,
            "showlegend": False,
        }
    )


def _scatter(drawn: Drawn, place: Place, x: Floats, y: Floats, texts: tuple[str, ...]) -> Json:
    """Points or a line with what is said of each."""
    panel = place.panel
    said = _said(panel, x, y, texts)
    parts = ["%{text}"] if said else []
    for axis, name in ((panel.x, "x"), (panel.y, "y")):
        if axis.scale is not Scale.CATEGORY:
            parts.append(_axis_said(axis, name))
    trace: Json = {
        "type": "scattergl" if drawn.gl and len(x) > 1000 else "scatter",
        "x": numbers(placed(x, panel.x)),
        "y": numbers(placed(y, panel.y)),
        "xaxis": place.x,
        "yaxis": place.y,
        "connectgaps": False,
        "hovertemplate": "<br>".join(parts) + "<extra></extra>",
    }
    if said:
        trace["text"] = said
    return trace


def _said(panel: Panel, x: Floats | None, y: Floats, texts: tuple[str, ...]) -> list[str] | None:
    """The hovered text of each point: its own, then its categories in full."""
    said = [hovered(text) for text in texts] if texts else None
    for axis, values in ((panel.x, x), (panel.y, y)):
        if axis.scale is not Scale.CATEGORY or values is None or not axis.categories:
            continue
        names = [hovered(f"{axis.label}: {c}" if axis.label else c) for c in axis.categories]
        chosen = [_name_at(names, value) for value in values.tolist()]
        said = (
            chosen
            if said is None
            else [f"{own}<br>{name}" for own, name in zip(said, chosen, strict=True)]
        )
    return said


def _name_at(names: list[str], value: float) -> str:
    if np.isnan(value):
        return ""
    index = round(value)
    return names[index] if 0 <= index < len(names) else ""


def _template(axis: Axis, name: str, texts: list[str] | None, key: str) -> str:
    said = f"%{{{key}}}<br>" if texts else ""
    return f"{said}{_axis_said(axis, name)}<extra></extra>"


def _axis_said(axis: Axis, name: str) -> str:
    label_ = hovered(one_line(axis.label)) if axis.label else name
    return f"{label_}: %{{{name}}}"


def _colored(trace: Json, place: Place, values: Floats) -> None:
    """Colour a trace's markers by numbers."""
    scale = place.panel.color
    assert scale is not None
    trace["marker"] |= {
        "color": numbers(colored(values, scale.log), packed=True),
        "coloraxis": place.coloraxis,
    }
    template = trace["hovertemplate"].removesuffix("<extra></extra>")
    said = escaped(scale.label)
    if scale.log:
        trace["customdata"] = numbers(values)
        template += f"<br>{said}: %{{customdata:.4g}}"
    else:
        template += f"<br>{said}: %{{marker.color:.4g}}"
    trace["hovertemplate"] = template + "<extra></extra>"


def _legend(drawn: Drawn, text: str, style: Style) -> Json:
    """The entry in the legend; a label that is there already switches with it."""
    if not text:
        return {"showlegend": False}
    first = text not in drawn.labels
    drawn.labels.add(text)
    group = f"{style}:{escaped(text)}"
    return {"name": label(text, _LEGEND_LETTERS), "legendgroup": group, "showlegend": first}


def _marker(found: Look, size: float) -> Json:
    symbol = _SYMBOLS[found.marker]
    bigger = 1.6 if found.marker == "star" else 1.0
    marker: Json = {
        "color": found.color,
        "symbol": symbol,
        "size": round(_SIZE_PX * size * bigger, 2),
    }
    if found.opacity < 1:
        marker["opacity"] = found.opacity
    if symbol in ("circle", "square", "triangle-up", "diamond", "star"):
        marker["line"] = {"width": 0.5, "color": "#ffffff"}
    return marker
