"""Charts for the tests of both backends: one with every mark, and one whose texts are hostile."""

from __future__ import annotations

import numpy as np

from trialbook.analysis.columns import Column, Table
from trialbook.report.charts import (
    Axis,
    Band,
    Bars,
    Cells,
    Chart,
    ColorScale,
    Curves,
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
)

TABLE = Table((Column("x"),))
NAN, INF = np.nan, np.inf


def chart(*panels: Panel, columns: int = 1, **settings: object) -> Chart:
    """A chart of these panels, row by row."""
    rows = tuple(panels[at : at + columns] for at in range(0, len(panels), columns))
    return Chart("history", "A title", rows, TABLE, **settings)  # type: ignore[arg-type]


def one(*marks: Mark, x: Axis | None = None, y: Axis | None = None, **settings: object) -> Chart:
    """A chart of one panel with these marks."""
    return chart(Panel(x or Axis("x"), y or Axis("y"), marks, **settings))  # type: ignore[arg-type]


def every_mark(text: str = "name") -> Chart:
    """Every mark, scale and kind of label; each text begins with ``text``."""
    x = np.arange(6.0)
    y = np.array([3.0, 1.0, NAN, 2.0, INF, 0.5])
    scale = ColorScale(f"{text} colour", (0.1, 10.0), log=True, reverse=True)
    names = tuple(f"{text} {index}" for index in range(3))
    curves = Curves(
        np.array([0.0, 1, NAN, 0, 1, 2]), np.array([1.0, 2, NAN, 2, 1, 3]), 1, f"{text} curves"
    )
    rows = np.array([0.0, 1.0, 2.0])
    return chart(
        Panel(
            Axis(f"{text} x"),
            Axis(f"{text} y"),
            (
                Band(x, y - 1, y + 1, 2, f"{text} band", step=True),
                Points(x, y, Role.COMPLETE, f"{text} points", texts=(text,) * 6),
                Line(x, y, Role.LEADING, f"{text} line", step=True, markers=True),
                Rule(x=2.0, label=f"{text} rule"),
                Rule(y=INF),
            ),
            title=f"{text} title",
        ),
        Panel(
            Axis(f"{text} log", Scale.LOG),
            Axis(f"{text} count", integer=True, reverse=True),
            (
                Points(10.0**x, x, 0, f"{text} points", colors=np.array([1, 2, NAN, 0, -1, 5.0])),
                Labels(10.0**x, x, (text,) * 6, "left"),
            ),
            color=scale,
        ),
        Panel(
            Axis("seconds", Scale.TIME),
            Axis("worker", Scale.CATEGORY, names),
            (Spans(1e9 + rows * 60, 1e9 + rows * 60 + 90, rows, Role.PRUNED, f"{text} span"),),
        ),
        Panel(
            Axis("share"),
            Axis("param", Scale.CATEGORY, names),
            (Bars(rows, rows + 1, rows, rows + 2, 0, f"{text} bars", texts=names),),
        ),
        Panel(
            Axis("category", Scale.CATEGORY, names),
            Axis("value", ticks=((0.0, f"{text} low"), (2.0, "high"))),
            (
                Intervals(rows, rows, rows - 1, rows + 1, style=3, label=f"{text} interval"),
                curves,
                Curves(curves.x, curves.y, colors=np.array([1.0, 9.0])),
            ),
            color=scale,
        ),
        Panel(
            Axis("a", limits=(0, 4)),
            Axis("b"),
            (
                Cells(np.arange(5.0), np.arange(4.0), np.arange(12.0).reshape(3, 4) + 0.1),
                Cells(
                    np.arange(5.0),
                    np.arange(4.0),
                    np.arange(12.0).reshape(3, 4) + 0.1,
                    contours=True,
                ),
            ),
            color=scale,
        ),
        Panel(Axis("nothing", Scale.LOG), Axis("here"), empty=f"{text} is not there"),
        columns=3,
    )
