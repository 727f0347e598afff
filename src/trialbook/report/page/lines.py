"""Points, lines, curves, rules and labels as traces and shapes of plotly.js."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trialbook.report.charts import Curves, Floats, Labels, Line, Points, Rule, Scale
from trialbook.report.geometry import curve_slices, shades
from trialbook.report.page.color_bars import color_bar_trace
from trialbook.report.page.colors import colored, viridis
from trialbook.report.page.drawn import Drawn, Json, Place, legend_entry, marker_of
from trialbook.report.page.hovering import axis_said, said_of
from trialbook.report.page.texts import escaped, hovered, label, numbers, placed
from trialbook.report.palette import look

_SIDES = {
    "above": "top center",
    "below": "bottom center",
    "left": "middle left",
    "right": "middle right",
}
_SHADES = 24
"""How many colours the curves of a colour scale get: each is a trace."""


def draw_points(drawn: Drawn, place: Place, mark: Points) -> None:
    """Separate points; many are smaller and let others shine through."""
    found = look(mark.style)
    crowded = len(mark.x) > 500
    marker = marker_of(found, mark.size * (0.7 if crowded else 1.0))
    trace = scatter(drawn, place, mark.x, mark.y, mark.texts)
    trace |= {"mode": "markers", "marker": marker} | legend_entry(drawn, mark.label, mark.style)
    if mark.colors is not None and place.coloraxis:
        _colored(trace, place, mark.colors)
    elif crowded:
        marker["opacity"] = found.opacity * 0.6
    drawn.traces.append(trace)


def draw_line(drawn: Drawn, place: Place, mark: Line) -> None:
    """One line."""
    found = look(mark.style)
    trace = scatter(drawn, place, mark.x, mark.y, mark.texts)
    trace |= {
        "mode": "lines+markers" if mark.markers else "lines",
        "line": {"color": found.color, "width": 2, "dash": found.dash}
        | ({"shape": "hv"} if mark.step else {}),
    }
    if mark.markers:
        trace["marker"] = marker_of(found, 1.0)
    if found.opacity < 1:
        trace["opacity"] = found.opacity
    drawn.traces.append(trace | legend_entry(drawn, mark.label, mark.style))


def draw_curves(drawn: Drawn, place: Place, mark: Curves) -> None:
    """Many thin lines as one trace, or as one of each shade of a colour scale."""
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
        drawn.traces.append(trace | legend_entry(drawn, mark.label, mark.style))
        return
    bins = np.nan_to_num(np.round(shades(mark.colors, color) * (_SHADES - 1)), nan=-1).astype(int)
    legend = legend_entry(drawn, mark.label, mark.style)
    for number in np.unique(bins):
        x, y = _joined(mark, [slices[index] for index in np.flatnonzero(bins == number)])
        trace = _curve(drawn, place, x, y)
        shade = "#bdbdbd" if number < 0 else viridis(number / (_SHADES - 1))
        trace["line"] = {"color": shade, "width": width}
        drawn.traces.append(trace | legend)
        legend = {"showlegend": False} | (
            {"legendgroup": legend["legendgroup"]} if "legendgroup" in legend else {}
        )
    color_bar_trace(drawn, place)


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


def draw_rule(drawn: Drawn, place: Place, mark: Rule) -> None:
    """A straight line across the panel, as a shape: it pushes no axis."""
    found = look(mark.style)
    shape: Json = {
        "type": "line",
        "line": {"color": found.color, "width": 1.2, "dash": found.dash},
        "layer": "above",
    }
    legend = legend_entry(drawn, mark.label, mark.style)
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


def draw_labels(drawn: Drawn, place: Place, mark: Labels) -> None:
    """Short texts at places of the panel."""
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


def scatter(drawn: Drawn, place: Place, x: Floats, y: Floats, texts: tuple[str, ...]) -> Json:
    """Points or a line with what is said of each."""
    panel = place.panel
    said = said_of(panel, x, y, texts)
    parts = ["%{text}"] if said else []
    for axis, name in ((panel.x, "x"), (panel.y, "y")):
        if axis.scale is not Scale.CATEGORY:
            parts.append(axis_said(axis, name))
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
