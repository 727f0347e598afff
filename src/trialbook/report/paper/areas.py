"""Bands and grids of cells on matplotlib's axes."""

from __future__ import annotations

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.patches import Patch

from trialbook.report.charts import Axis, Band, Cells, Floats, Panel, Scale
from trialbook.report.geometry import band_outline, limits_of, marks_count
from trialbook.report.palette import look
from trialbook.report.paper.axes import drawn, include
from trialbook.report.paper.looks import RASTERIZED_FROM, color_map, norm_of


def draw_band(axes: Axes, panel: Panel, mark: Band, order: float) -> Artist:
    """The area between two lines, as one closed outline a stretch."""
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
    include(axes, x, y)
    return Patch(facecolor=found.color, alpha=0.2, linewidth=0)


def draw_cells(axes: Axes, panel: Panel, mark: Cells, order: float) -> None:
    """A heat map, or filled contours of the cells' centres."""
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
