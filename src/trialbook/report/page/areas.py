"""Bands and grids of cells as traces of plotly.js."""

from __future__ import annotations

import numpy as np

from trialbook.report.charts import Axis, Band, Cells, Floats, Scale
from trialbook.report.geometry import band_outline, limits_of
from trialbook.report.page.color_bars import color_bar_trace
from trialbook.report.page.colors import colored, colorscale, rgba
from trialbook.report.page.drawn import Drawn, Json, Place, legend_entry
from trialbook.report.page.texts import escaped, numbers, placed
from trialbook.report.palette import look


def draw_band(drawn: Drawn, place: Place, mark: Band) -> None:
    """The area between two lines, as one closed outline a stretch."""
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
        | legend_entry(drawn, mark.label, mark.style)
    )


def draw_cells(drawn: Drawn, place: Place, mark: Cells) -> None:
    """A heat map, or filled contours of the cells' centres."""
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
        color_bar_trace(drawn, place)
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
