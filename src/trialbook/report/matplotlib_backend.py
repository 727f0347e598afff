"""Charts for paper: a chart as a ``matplotlib.figure.Figure``, without a display or ``pyplot``.

Marks are drawn in ``paper/marks.py``, axes in ``paper/axes.py``; this file lays panels, legend and
colour bars out. A figure has no title: a paper has its caption.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trialbook.errors import MissingPackageError
from trialbook.report.charts import Chart, ColorScale, Panel
from trialbook.report.geometry import color_scales, drawable, panels_of, same_scale
from trialbook.report.labels import axis_labels, cells_of, shortened, texts_of, wrapped
from trialbook.report.venues import Width, usual_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from trialbook.report.paper.axes import Room
    from trialbook.report.paper.marks import Entry

_RATIO = 0.64
_ROW_IN = (1.3, 2.8)
"""Lowest and highest usual height of a row."""
_ALONE_IN = 1.7
"""Lowest height of a row that is alone: its labels are as long as those of many."""
_LEGEND_ROW_IN = 0.16
_COLOR_BAR_IN = 0.55
"""What a colour bar with its label takes from the panels beside it."""


def figure(chart: Chart, width: Width | None = None) -> Figure:
    """Draw a chart for paper.

    Write it within ``paper.settings.drawing``, as ``figure_files.write_figure`` does: fonts are
    embedded by settings that hold while a file is written.

    Args:
        chart: What to draw.
        width: How wide it is, ``None`` for the usual width of such a chart.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    require()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    from trialbook.report.paper.axes import Room, finish_axes, set_scales
    from trialbook.report.paper.marks import draw
    from trialbook.report.paper.settings import drawing

    inches = (width or usual_width(chart)).inches
    rows, columns = len(chart.panels), max((len(row) for row in chart.panels), default=1)
    lowest = _ROW_IN[0] if rows > 1 else _ALONE_IN
    usual_in = min(max(inches / columns * _RATIO, lowest), _ROW_IN[1])
    heights = chart.heights
    width_in = (inches - _COLOR_BAR_IN * len(color_scales(chart))) / columns
    rooms = [Room(width_in, usual_in * height) for height in heights]
    room = Room(width_in, usual_in * sum(heights) / len(heights))
    with drawing(texts_of(chart)):
        drawn = Figure(
            figsize=(inches, room.height_in * max(rows, 1)),
            layout=ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03, wspace=0.02, hspace=0.02),
        )
        FigureCanvasAgg(drawn)
        places = _places(drawn, chart)
        entries: list[Entry] = []
        for place, axes in places.items():
            panel = drawable(_panel(chart, place))
            set_scales(axes, panel)
            entries += draw(axes, panel, rooms[place[0]])
            if (panel.empty and not panel.marks) or (panel.empty and not axes.has_data()):
                _say_empty(axes, panel, room)
        x_labels, y_labels = _axis_labels(drawn, chart, room)
        for place, axes in places.items():
            panel = drawable(_panel(chart, place))
            finish_axes(
                axes,
                panel,
                rooms[place[0]],
                x_labels[panel.x.label] if not chart.share_x or _is_last(chart, place) else None,
                y_labels[panel.y.label] if not chart.share_y or _is_first(chart, place) else None,
            )
        _color_bars(drawn, chart, places, room)
        _legend(drawn, entries, inches)
    return drawn


def require() -> None:
    """Say what to install where matplotlib is missing.

    Raises:
        MissingPackageError: It is.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(
            "figures for paper need matplotlib, which is not installed",
            hint="pip install 'trialbook[paper]', or write .html",
        ) from error


_Place = tuple[int, int]


def _panel(chart: Chart, place: _Place) -> Panel:
    panel = chart.panels[place[0]][place[1]]
    assert panel is not None
    return panel


def _places(drawn: Figure, chart: Chart) -> dict[_Place, Axes]:
    """Axes for each panel, by row and column."""
    columns = max((len(row) for row in chart.panels), default=1)
    grid = drawn.add_gridspec(max(len(chart.panels), 1), columns, height_ratios=list(chart.heights))
    found: dict[_Place, Axes] = {}
    for row, panels in enumerate(chart.panels):
        for column, panel in enumerate(panels):
            if panel is None:
                continue
            above = [axes for (r, c), axes in found.items() if c == column]
            left = [axes for (r, c), axes in found.items() if r == row]
            found[row, column] = drawn.add_subplot(
                grid[row, column],
                sharex=above[0] if chart.share_x and above else None,
                sharey=left[0] if chart.share_y and left else None,
            )
    return found


def _is_last(chart: Chart, place: _Place) -> bool:
    row, column = place
    return all(len(below) <= column or below[column] is None for below in chart.panels[row + 1 :])


def _is_first(chart: Chart, place: _Place) -> bool:
    row, column = place
    return all(panel is None for panel in chart.panels[row][:column])


def _axis_labels(drawn: Figure, chart: Chart, room: Room) -> tuple[dict[str, str], dict[str, str]]:
    """How the labels of x and y axes are drawn; one that all rows have is drawn once for all."""
    panels = panels_of(chart)
    x_labels = axis_labels([p.x.label for p in panels], room.letters(room.width_in - 0.35))
    y_labels = axis_labels([p.y.label for p in panels], room.letters(room.height_in - 0.35))
    if len(y_labels) == 1 and len(chart.panels) > 1:
        (whole,) = y_labels
        height_in = room.height_in * len(chart.panels) - 0.5
        drawn.supylabel(
            wrapped(whole, room.letters(height_in)), fontsize="medium", parse_math=False
        )
        return x_labels, {whole: ""}
    return x_labels, y_labels


def _say_empty(axes: Axes, panel: Panel, room: Room) -> None:
    axes.text(
        0.5,
        0.5,
        wrapped(panel.empty, room.letters(room.width_in - 0.6), 4),
        transform=axes.transAxes,
        horizontalalignment="center",
        verticalalignment="center",
        color="#555555",
        parse_math=False,
    )


def _color_bars(drawn: Figure, chart: Chart, places: dict[_Place, Axes], room: Room) -> None:
    """One colour bar for each scale, beside the panels that it is for."""
    for scale in color_scales(chart):
        owners = [axes for place, axes in places.items() if _has(_panel(chart, place).color, scale)]
        _color_bar(drawn, scale, owners, len(owners) == len(places), room)


def _has(color: ColorScale | None, scale: ColorScale) -> bool:
    return color is not None and same_scale(color, scale)


def _color_bar(
    drawn: Figure, scale: ColorScale, owners: list[Axes], whole: bool, room: Room
) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.ticker import MaxNLocator, NullLocator

    from trialbook.report.paper.axes import mark_log_ticks
    from trialbook.report.paper.looks import color_map, norm_of
    from trialbook.report.paper.settings import TICK_PT

    rows = {axes.get_subplotspec().rowspan.start for axes in owners}  # type: ignore[union-attr]
    length_in = room.height_in * (len(rows) if whole else 1)
    bar = drawn.colorbar(
        ScalarMappable(norm_of(scale), color_map(scale)),
        ax=owners,
        pad=0.02,
        aspect=min(max(length_in * 9, 12), 40),
        shrink=1.0 if length_in < 4 else 0.6,
    )
    if scale.log:
        drawn_in = length_in * (1.0 if length_in < 4 else 0.6)
        mark_log_ticks(bar.ax.yaxis, drawn_in - 0.35, TICK_PT)
    else:
        count = min(max(int(length_in / 0.35), 2), 7)
        least = 1 if scale.integer else 2
        bar.locator = MaxNLocator(nbins=count, integer=scale.integer, min_n_ticks=least)
        bar.update_ticks()
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.outline.set_visible(False)
    bar.ax.set_ylabel(wrapped(scale.label, room.letters(length_in - 0.2)), parse_math=False)


def _legend(drawn: Figure, entries: list[Entry], inches: float) -> None:
    """One legend above all panels, each label once."""
    from trialbook.report.paper.settings import TICK_PT

    found: dict[str, Entry] = {}
    for entry in entries:
        found.setdefault(entry.label, entry)
    if not found:
        return
    letter_in = TICK_PT * 0.55 / 72
    labels = [shortened(label, min(int((inches - 0.5) / letter_in), 48)) for label in found]
    widths_in = [cells_of(label) * letter_in + 0.38 for label in labels]
    columns = _legend_columns(widths_in, inches - 0.1)
    rows = -(-len(labels) // columns)
    drawn.set_figheight(drawn.get_figheight() + _LEGEND_ROW_IN * rows)
    legend = drawn.legend(
        [entry.handle for entry in found.values()],
        labels,
        loc="outside upper center",
        ncols=columns,
        borderaxespad=0.2,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _legend_columns(widths_in: list[float], inches: float) -> int:
    """How many columns of a legend fit; entries go down each column before the next."""
    for columns in range(len(widths_in), 1, -1):
        # As matplotlib deals them out: the first columns have one more where it does not come out.
        parts = np.array_split(np.array(widths_in), columns)
        if sum(float(part.max()) for part in parts) <= inches:
            return columns
    return 1
