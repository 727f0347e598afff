"""Charts for pages: a chart as plotly's JSON, or as a ``plotly.graph_objects.Figure``.

Marks become traces in ``page/traces.py``, axes are in ``page/axes.py``, and ``page/grid.py`` says
where panels lie; this file puts them together. The JSON is made here and not by plotly's classes,
which take a second for charts of a hundred panels; it is the same figure. Nothing in it is loaded
from elsewhere and no text in it is interpreted.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from trialbook.report.charts import Cells, Chart, ColorScale, Panel, Rule
from trialbook.report.geometry import (
    color_scales,
    drawable,
    ends,
    is_bare,
    marks_count,
    panels_of,
    same_scale,
)
from trialbook.report.page.axes import axis_json, title_axis
from trialbook.report.page.color_bars import color_bar
from trialbook.report.page.drawn import Drawn, Json, Place
from trialbook.report.page.grid import PANEL_PX, WIDE_PX, Grid, grid_of
from trialbook.report.page.texts import LETTER_PX, label, wrapped_lines
from trialbook.report.page.traces import draw

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_GL_FROM = 20_000
"""A chart of more points than this is drawn by WebGL, of which a page has few contexts."""
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
_INK, _SOFT = "#222222", "#767676"


def figure(chart: Chart) -> Figure:
    """A chart as a figure of plotly, to show in a notebook or to change."""
    from plotly.graph_objects import Figure

    found = described(chart)
    # Without a template of its own a figure takes plotly's.
    return Figure(found | {"layout": found["layout"] | {"template": {}}})


def figure_json(chart: Chart) -> str:
    """A chart as plotly's JSON: one line of ASCII, the same for the same chart.

    ``<`` and ``>`` are escaped, so that it can stand in a ``<script>`` element.
    """
    text = json.dumps(described(chart), separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def narrowest_px(chart: Chart) -> int:
    """The width below which a page should scroll instead of making the chart narrower."""
    columns = grid_of(chart).columns
    named = max((len(panel.x.categories) for panel in panels_of(chart)), default=0)
    return max(280 if columns == 1 else columns * PANEL_PX, min(120 + named * 44, WIDE_PX))


def described(chart: Chart) -> Json:
    """A chart as plotly's JSON: ``data`` and ``layout``."""
    grid = grid_of(chart)
    scales = color_scales(chart)
    drawn = Drawn(gl=_points_count(chart) > _GL_FROM)
    layout = _layout(grid)
    places: list[tuple[int, int, Place]] = []
    for row, panels in enumerate(chart.panels):
        for column, panel in enumerate(panels):
            if panel is not None:
                number = len(places) + 1
                suffix = "" if number == 1 else str(number)
                place = Place(
                    drawable(panel), f"x{suffix}", f"y{suffix}", _color_axis(panel, scales)
                )
                places.append((row, column, place))
    for row, column, place in places:
        _set_axes(layout, chart, grid, places, (row, column, place))
        for mark in place.panel.marks:
            draw(drawn, place, mark)
        if not any(trace.get("xaxis") == place.x for trace in drawn.traces):
            # Axes that no trace uses are not drawn.
            drawn.traces.append(
                {"type": "scatter", "x": [None], "y": [None], "xaxis": place.x, "yaxis": place.y}
                | {"showlegend": False, "hoverinfo": "skip"}
            )
    for number, scale in enumerate(scales):
        owners = [(r, c) for r, c, p in places if p.coloraxis == _color_name(number)]
        layout[_color_name(number)] = color_bar(scale, owners, len(places), grid)
    if drawn.shapes:
        layout["shapes"] = drawn.shapes
    if not layout["annotations"]:
        del layout["annotations"]
    if drawn.labels:
        layout["showlegend"] = True
    return {"data": drawn.traces, "layout": layout}


def _points_count(chart: Chart) -> int:
    return sum(
        marks_count(mark)
        for row in chart.panels
        for panel in row
        if panel is not None
        for mark in panel.marks
        if not isinstance(mark, Cells | Rule)
    )


def _layout(grid: Grid) -> Json:
    return {
        "autosize": True,
        "height": grid.height_px,
        "margin": {"l": 64, "r": 16, "t": round(grid.top_px), "b": round(grid.bottom_px), "pad": 2},
        "font": {"family": _FONT, "size": 12, "color": _INK},
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "hovermode": "closest",
        "hoverlabel": {"align": "left", "namelength": -1, "bgcolor": "#ffffff"},
        "barmode": "overlay",
        "showlegend": False,
        "legend": {
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1 + (grid.top_px - 34) / grid.inner_px,
            "yanchor": "bottom",
            "itemsizing": "constant",
        },
        "annotations": [],
    }


def _set_axes(
    layout: Json,
    chart: Chart,
    grid: Grid,
    places: list[tuple[int, int, Place]],
    at: tuple[int, int, Place],
) -> None:
    row, column, place = at
    panel = place.panel
    above = [p for r, c, p in places if c == column and r <= row]
    before = [p for r, c, p in places if r == row and c <= column]
    last = not any(c == column and r > row for r, c, _ in places)
    shown = last or not chart.share_x
    x = axis_json(panel.x, ends(panel, "x"), grid.panel_px, shown=shown, vertical=False)
    shown = len(before) == 1 or not chart.share_y
    y = axis_json(panel.y, ends(panel, "y"), grid.rows_px[row], shown=shown, vertical=True)
    title_axis(x, panel.x, [p.x.label for p in panels_of(chart)], grid.panel_px)
    title_axis(y, panel.y, [p.y.label for p in panels_of(chart)], grid.rows_px[row])
    # What is between panels pushes no margin of the whole.
    x["automargin"] = last
    y["automargin"] = len(before) == 1
    x |= {"anchor": place.y, "domain": grid.x_domain(column)}
    y |= {"anchor": place.x, "domain": grid.y_domain(row)}
    if chart.share_x and above[0] is not place:
        x["matches"] = above[0].x
    if chart.share_y and before[0] is not place:
        y["matches"] = before[0].y
    if is_bare(panel):
        for axis, found, shared in ((panel.x, x, chart.share_x), (panel.y, y, chart.share_y)):
            if axis.limits is None and not axis.categories and not axis.ticks and not shared:
                found |= {"showticklabels": False, "ticks": "", "showgrid": False}
    suffix = place.x[1:]
    layout[f"xaxis{suffix}"], layout[f"yaxis{suffix}"] = x, y
    refs = {"xref": f"{place.x} domain", "yref": f"{place.y} domain", "showarrow": False}
    if panel.title:
        text = label(panel.title, int(grid.panel_px / LETTER_PX))
        layout["annotations"].append(
            refs | {"x": 0.5, "y": 1, "yanchor": "bottom", "yshift": 4, "text": text}
        )
    if panel.empty:
        layout["annotations"].append(
            refs
            | {"x": 0.5, "y": 0.5, "text": wrapped_lines(panel.empty, grid.panel_px, 4)}
            | {"font": {"color": _SOFT, "size": 13}}
        )


def _color_name(number: int) -> str:
    return "coloraxis" if number == 0 else f"coloraxis{number + 1}"


def _color_axis(panel: Panel, scales: tuple[ColorScale, ...]) -> str:
    if panel.color is None:
        return ""
    return next(
        _color_name(number) for number, scale in enumerate(scales) if same_scale(panel.color, scale)
    )
