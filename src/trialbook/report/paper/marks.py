"""A mark of a chart on matplotlib's axes: which family draws it, and its entry in the legend.

Points and lines are in ``lines.py``, bars in ``bars.py``, areas in ``areas.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.artist import Artist
from matplotlib.axes import Axes

from trialbook.report.charts import (
    Band,
    Bars,
    Cells,
    Curves,
    Intervals,
    Labels,
    Line,
    Mark,
    Panel,
    Points,
    Rule,
    Spans,
)
from trialbook.report.geometry import has_numbers
from trialbook.report.paper.areas import draw_band, draw_cells
from trialbook.report.paper.axes import Room
from trialbook.report.paper.bars import draw_bars, draw_intervals, draw_spans
from trialbook.report.paper.lines import (
    draw_curves,
    draw_labels,
    draw_line,
    draw_points,
    draw_rule,
)


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the legend.

    Args:
        label: The text.
        handle: What stands beside it.
    """

    label: str
    handle: Artist


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
            return draw_points(axes, panel, mark, order, room.scale)
        case Line():
            return draw_line(axes, panel, mark, order)
        case Curves():
            return draw_curves(axes, panel, mark, order)
        case Band():
            return draw_band(axes, panel, mark, order)
        case Bars():
            return draw_bars(axes, panel, mark, order)
        case Spans():
            return draw_spans(axes, panel, mark, order)
        case Intervals():
            return draw_intervals(axes, panel, mark, order)
        case Cells():
            draw_cells(axes, panel, mark, order)
            return None
        case Rule():
            return draw_rule(axes, panel, mark, order)
        case Labels():
            draw_labels(axes, panel, mark, room)
    return None
