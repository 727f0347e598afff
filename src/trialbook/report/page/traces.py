"""A mark of a chart as traces and shapes of plotly.js: which family draws it.

Points and lines are in ``lines.py``, bars in ``bars.py``, areas in ``areas.py``.
"""

from __future__ import annotations

from trialbook.report.charts import (
    Band,
    Bars,
    Cells,
    Curves,
    Intervals,
    Labels,
    Line,
    Mark,
    Points,
    Rule,
    Spans,
)
from trialbook.report.geometry import has_numbers
from trialbook.report.page.areas import draw_band, draw_cells
from trialbook.report.page.bars import draw_bars, draw_intervals, draw_spans
from trialbook.report.page.drawn import Drawn, Place
from trialbook.report.page.lines import draw_curves, draw_labels, draw_line, draw_points, draw_rule


def draw(drawn: Drawn, place: Place, mark: Mark) -> None:
    """Add a mark, unless there is nothing of it to draw."""
    if not has_numbers(mark):
        return
    match mark:
        case Points():
            draw_points(drawn, place, mark)
        case Line():
            draw_line(drawn, place, mark)
        case Curves():
            draw_curves(drawn, place, mark)
        case Band():
            draw_band(drawn, place, mark)
        case Bars():
            draw_bars(drawn, place, mark)
        case Spans():
            draw_spans(drawn, place, mark)
        case Intervals():
            draw_intervals(drawn, place, mark)
        case Cells():
            draw_cells(drawn, place, mark)
        case Rule():
            draw_rule(drawn, place, mark)
        case Labels():
            draw_labels(drawn, place, mark)
