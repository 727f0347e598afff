"""Where the panels of a chart lie on a page."""

from __future__ import annotations

from dataclasses import dataclass

from trialbook.report.charts import Chart, Scale
from trialbook.report.geometry import color_scales
from trialbook.report.labels import cells_of, distinct
from trialbook.report.page.texts import LETTER_PX, X_LETTERS

WIDE_PX = 900
PANEL_PX = 250
"""Below this width of a panel, labels run into each other."""


@dataclass(frozen=True, slots=True)
class Grid:
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
        return max(WIDE_PX, self.columns * PANEL_PX)

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


def grid_of(chart: Chart) -> Grid:
    """Where a chart's panels lie, with room for titles, legend and turned labels."""
    columns = max((len(row) for row in chart.panels), default=1)
    wide = max(WIDE_PX, columns * PANEL_PX)
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
    return Grid(
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
                labels = distinct(panel.x.categories, X_LETTERS)
                each_px = [cells_of(text) * LETTER_PX for text in labels]
                if sum(each_px) > wide_px / len(row) - 80:
                    lengths.append(max(each_px) + 6)
    return max(lengths)
