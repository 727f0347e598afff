"""Charts for pages: a chart as plotly's JSON, or as a ``plotly.graph_objects.Figure``.

Marks become traces in ``page/traces.py``; this file lays panels, legend and colour bars out. The
JSON is made here and not by plotly's classes, which take a second for charts of a hundred panels;
it is the same figure. Nothing in it is loaded from elsewhere and no text in it is interpreted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trialbook.report.charts import Axis, Cells, Chart, ColorScale, Panel, Rule, Scale
from trialbook.report.geometry import (
    color_scales,
    drawable,
    extent,
    is_bare,
    limits_of,
    marks_count,
    panels_of,
    same_scale,
)
from trialbook.report.labels import axis_labels, cells_of, distinct, wrapped
from trialbook.report.page.colors import colored, colorscale
from trialbook.report.page.texts import escaped, label, numbers, placed
from trialbook.report.page.traces import Drawn, Json, Place, draw

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_WIDE_PX = 900
_PANEL_PX = 250
"""Below this width of a panel, labels run into each other."""
_LETTER_PX, _TITLE_PX = 6.8, 12
_X_LETTERS, _Y_LETTERS = 16, 26
"""Of the names of categories."""
_GL_FROM = 20_000
"""A chart of more points than this is drawn by WebGL, of which a page has few contexts."""
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
_GRID, _INK, _SOFT = "#e5e5e5", "#222222", "#767676"


@dataclass(frozen=True, slots=True)
class _Grid:
    """Where panels lie, in pixels of a page of usual width.

    Args:
        rows_px: Height of the panels of each row.
        columns: How many.
        gap_px: Between rows.
        side_px: Between columns.
        top_px: Above the first row.
        bottom_px: Below the last row.
    """

    rows_px: tuple[float, ...]
    columns: int
    gap_px: float
    side_px: float
    top_px: float
    bottom_px: float

    @property
    def inner_px(self) -> float:
        """Height of all rows with what is between them."""
        return sum(self.rows_px) + (len(self.rows_px) - 1) * self.gap_px

    @property
    def height_px(self) -> int:
        """Height of the figure."""
        return round(self.inner_px + self.top_px + self.bottom_px)

    @property
    def wide_px(self) -> float:
        """Width that it is laid out for."""
        return max(_WIDE_PX, self.columns * _PANEL_PX)

    @property
    def panel_px(self) -> float:
        """Width of a panel then."""
        return (self.wide_px - 80 - (self.columns - 1) * self.side_px) / self.columns

    def x_domain(self, column: int) -> list[float]:
        """Left and right end of a column, as shares of the width."""
        gap = self.side_px / (self.wide_px - 80)
        width = (1 - gap * (self.columns - 1)) / self.columns
        left = column * (width + gap)
        return [round(left, 5), round(min(left + width, 1.0), 5)]

    def y_domain(self, row: int) -> list[float]:
        """Lower and upper end of a row, as shares of the height."""
        above_px = sum(self.rows_px[:row]) + row * self.gap_px
        top, bottom = (1 - px / self.inner_px for px in (above_px, above_px + self.rows_px[row]))
        return [round(max(bottom, 0.0), 5), round(top, 5)]


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
    columns = _grid(chart).columns
    named = max((len(panel.x.categories) for panel in panels_of(chart)), default=0)
    return max(280 if columns == 1 else columns * _PANEL_PX, min(120 + named * 44, _WIDE_PX))


def described(chart: Chart) -> Json:
    """A chart as plotly's JSON: ``data`` and ``layout``."""
    grid = _grid(chart)
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
        layout[_color_name(number)] = _color_bar(scale, owners, len(places), grid)
    if drawn.shapes:
        layout["shapes"] = drawn.shapes
    if not layout["annotations"]:
        del layout["annotations"]
    if drawn.labels:
        layout["showlegend"] = True
    return {"data": drawn.traces, "layout": layout}


def _grid(chart: Chart) -> _Grid:
    columns = max((len(row) for row in chart.panels), default=1)
    wide = max(_WIDE_PX, columns * _PANEL_PX)
    usual = 340.0 if columns == 1 else min(max(wide / columns * 0.75, 150.0), 300.0)
    panels = [panel for row in chart.panels for panel in row if panel is not None]
    titled = any(panel.title for panel in panels)
    named = any(
        panel is not None and panel.y.scale is Scale.CATEGORY
        for row in chart.panels
        for panel in row[1:]
    )
    side = 22.0 if chart.share_y else 150.0 if named else 78.0
    if len(color_scales(chart)) > 1:
        side += 70
    has_legend = any(getattr(mark, "label", "") for panel in panels for mark in panel.marks)
    return _Grid(
        tuple(usual * height for height in chart.heights),
        columns,
        (18.0 if chart.share_x else 62.0 + _turned_px(chart, wide)) + (22.0 if titled else 0.0),
        side,
        12.0 + (24.0 if titled else 0.0) + (34.0 if has_legend else 0.0),
        64.0,
    )


def _turned_px(chart: Chart, wide_px: float) -> float:
    """How much room turned labels of categories need between rows."""
    lengths = [0.0]
    for row in chart.panels[:-1]:
        for panel in row:
            if panel is not None and panel.x.scale is Scale.CATEGORY:
                labels = distinct(panel.x.categories, _X_LETTERS)
                each_px = [cells_of(text) * _LETTER_PX for text in labels]
                if sum(each_px) > wide_px / len(row) - 80:
                    lengths.append(max(each_px) + 6)
    return max(lengths)


def _points_count(chart: Chart) -> int:
    return sum(
        marks_count(mark)
        for row in chart.panels
        for panel in row
        if panel is not None
        for mark in panel.marks
        if not isinstance(mark, Cells | Rule)
    )


def _layout(grid: _Grid) -> Json:
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
    grid: _Grid,
    places: list[tuple[int, int, Place]],
    at: tuple[int, int, Place],
) -> None:
    row, column, place = at
    panel = place.panel
    above = [p for r, c, p in places if c == column and r <= row]
    before = [p for r, c, p in places if r == row and c <= column]
    last = not any(c == column and r > row for r, c, _ in places)
    x = _axis(panel.x, grid.panel_px, shown=last or not chart.share_x, vertical=False)
    shown = len(before) == 1 or not chart.share_y
    y = _axis(panel.y, grid.rows_px[row], shown=shown, vertical=True)
    for which, axis, found in (("x", panel.x, x), ("y", panel.y, y)):
        if axis.integer and not axis.ticks and extent(panel, which) < found["nticks"]:
            found["dtick"] = 1  # plotly would set ticks between whole numbers too
    _title(x, panel.x, [p.x.label for p in panels_of(chart)], grid.panel_px)
    _title(y, panel.y, [p.y.label for p in panels_of(chart)], grid.rows_px[row])
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
        text = label(panel.title, int(grid.panel_px / _LETTER_PX))
        layout["annotations"].append(
            refs | {"x": 0.5, "y": 1, "yanchor": "bottom", "yshift": 4, "text": text}
        )
    if panel.empty:
        layout["annotations"].append(
            refs
            | {"x": 0.5, "y": 0.5, "text": _lines(panel.empty, grid.panel_px, 4)}
            | {"font": {"color": _SOFT, "size": 13}}
        )


def _title(found: Json, axis: Axis, labels: list[str], length_px: float) -> None:
    """Give an axis its label, told apart from those of the other panels."""
    if found["showticklabels"] and axis.label:
        letters = max(int((length_px - 16) / _LETTER_PX), 8)
        drawn = axis_labels(labels, letters, 2)[axis.label]
        text = "<br>".join(escaped(line) for line in drawn.split("\n"))
        found["title"] = {"text": text, "standoff": 8, "font": {"size": _TITLE_PX}}


def _lines(text: str, width_px: float, lines: int = 2) -> str:
    """A text on a few lines of a width."""
    found = wrapped(text, max(int(width_px / _LETTER_PX), 8), lines)
    return "<br>".join(escaped(line) for line in found.split("\n"))


def _axis(axis: Axis, length_px: float, *, shown: bool, vertical: bool) -> Json:
    found: Json = {
        "type": {Scale.LOG: "log", Scale.TIME: "date"}.get(axis.scale, "linear"),
        "gridcolor": _GRID,
        "zeroline": False,
        "showline": True,
        "linecolor": _SOFT,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": _SOFT,
        "automargin": True,
        "showticklabels": shown,
        "exponentformat": "power",
        "nticks": max(int(length_px / (36 if vertical else 64)), 3),
    }
    if axis.scale is Scale.TIME:
        found["hoverformat"] = "%Y-%m-%d %H:%M:%S"
    if axis.integer:
        found["tickformat"] = "d"
    if axis.ticks is not None:
        _name_ticks(found, axis, length_px, vertical)
    elif axis.scale is Scale.CATEGORY:
        labels = distinct(axis.categories, _Y_LETTERS if vertical else _X_LETTERS)
        step = max(-(-len(labels) * 15 // max(int(length_px), 1)), 1)
        found |= {
            "tickmode": "array",
            "tickvals": list(range(0, len(labels), step)),
            "ticktext": [escaped(text) for text in labels[::step]],
            "autotickangles": [0, 90],  # slanted ones reach into the next panel
            "showgrid": False,
        }
    ends = _range(axis)
    if ends is not None:
        found |= {"range": ends[::-1] if axis.reverse else ends, "autorange": False}
    elif axis.reverse:
        found["autorange"] = "reversed"
    return found


def _name_ticks(found: Json, axis: Axis, length_px: float, vertical: bool) -> None:
    assert axis.ticks is not None
    step = max(-(-len(axis.ticks) * (16 if vertical else 40) // max(int(length_px), 1)), 1)
    chosen = axis.ticks[::step]
    found |= {
        "tickmode": "array",
        "tickvals": numbers(placed(np.array([value for value, _ in chosen]), axis)),
        "ticktext": [label(text, 24) for _, text in chosen],
    }


def _range(axis: Axis) -> list[Any] | None:
    if axis.limits is not None:
        low, high = placed(np.array(axis.limits), axis).tolist()
        if axis.scale is Scale.LOG:
            if low <= 0 or high <= 0:
                return None
            return [float(np.log10(low)), float(np.log10(high))]
        return [low, high]
    if axis.scale is Scale.CATEGORY and axis.categories:
        return [-0.6, len(axis.categories) - 0.4]
    return None


def _color_name(number: int) -> str:
    return "coloraxis" if number == 0 else f"coloraxis{number + 1}"


def _color_axis(panel: Panel, scales: tuple[ColorScale, ...]) -> str:
    if panel.color is None:
        return ""
    return next(
        _color_name(number) for number, scale in enumerate(scales) if same_scale(panel.color, scale)
    )


def _color_bar(scale: ColorScale, owners: list[tuple[int, int]], panels: int, grid: _Grid) -> Json:
    low, high = colored(np.array(limits_of(scale)), scale.log).tolist()
    whole = len(owners) == panels
    top = max((grid.y_domain(row)[1] for row, _ in owners), default=1.0)
    bottom = min((grid.y_domain(row)[0] for row, _ in owners), default=0.0)
    right = max((grid.x_domain(column)[1] for _, column in owners), default=1.0)
    length_px = min((top - bottom) * grid.inner_px, 420.0)
    bar: Json = {
        "thickness": 12,
        "outlinewidth": 0,
        "x": round(1.01 if whole else right + 0.006, 5),
        "xanchor": "left",
        "y": round(top, 5),
        "yanchor": "top",
        "lenmode": "pixels",
        "len": round(length_px),
        "title": {"text": _lines(scale.label, length_px), "side": "right"},
        "exponentformat": "power",
        "nticks": max(int(length_px / 40), 3),
    }
    if scale.log:
        bar |= _log_ticks(low, high)
    return {
        "cmin": low,
        "cmax": high,
        "colorscale": colorscale(scale),
        "colorbar": bar,
    }


def _log_ticks(low: float, high: float) -> Json:
    """Ticks of a colour bar whose numbers are logarithms."""
    factors = (1, 2, 5) if high - low < 3 else (1,)
    places = [
        (exponent + float(np.log10(factor)), factor * 10.0**exponent)
        for exponent in range(int(np.floor(low)), int(np.ceil(high)) + 1)
        for factor in factors
    ]
    shown = [(place, value) for place, value in places if low - 1e-9 <= place <= high + 1e-9]
    step = max(len(shown) // 8, 1)
    return {
        "tickmode": "array",
        "tickvals": [round(place, 6) for place, _ in shown[::step]],
        "ticktext": [f"{value:.4g}" for _, value in shown[::step]],
    }
