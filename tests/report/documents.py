"""A document with every kind of block, made by hand, and one whose every text is hostile."""

from __future__ import annotations

import math

import numpy as np

from trialbook.analysis.columns import Column, Holds, Table
from trialbook.records.figure_references import FigureReference, ShownStudy
from trialbook.report.charts import (
    Axis,
    Band,
    Bars,
    Cells,
    Chart,
    ColorScale,
    Curves,
    Intervals,
    Line,
    Mark,
    Panel,
    Points,
    Role,
    Rule,
    Scale,
    Spans,
)
from trialbook.report.document import (
    Answer,
    Checklist,
    ChecklistItem,
    Command,
    Document,
    Fact,
    Facts,
    FigureBlock,
    Macro,
    Notice,
    Paragraph,
    Section,
    TableBlock,
    Tone,
)

STUDY = ShownStudy.of("digits", "0123456789abcdef", "9a" * 32)
HOSTILE = (
    "<script>window.ran='script'</script>",
    '"><img src=x onerror="window.ran=\'img\'">',
    "'><svg onload=window.ran='svg'>",
    "</script><script>window.ran='closed'</script>",
    "<!-- <script>",
    "]]><script>window.ran='cdata'</script>",
    "{{7*7}}{% for x in y %}${7*7}#{7*7}",
    "<a href=\"javascript:window.ran='link'\">click</a>",
    "javascript:window.ran='url'",
    "<b onmouseover=window.ran='b'>bold</b><br>&lt;i&gt;&amp;lt;",
    "%{x} %{fullData.name} $\\frac{1}{2}$",
    "\u2028window.ran='line'\u2029\x00\x1b[31m\u202eabc",
    "שלום עולם " + "مرحبا",
    "__proto__",
    "n" * 300,
)


def reference(shows: str, *trials: int) -> FigureReference:
    """What a block of the test's document carries."""
    return FigureReference(shows, (STUDY,), trials)


def chart(*marks: Mark, text: str = "a figure", rows: int = 40) -> Chart:
    """A chart of one panel with these marks, whose every text is the given one."""
    names = tuple(f"{text} {index}" for index in range(3))
    category = any(isinstance(mark, (Bars, Spans)) for mark in marks)
    return Chart(
        kind="history",
        title=text,
        panels=(
            (
                Panel(
                    Axis(text),
                    Axis(text, Scale.CATEGORY, names) if category else Axis(text),
                    marks,
                    title=text,
                    color=ColorScale(text, (0.0, 1.0)),
                ),
            ),
        ),
        table=Table(
            (Column(text), Column("value", Holds.NUMBER, "s")),
            tuple((f"{text} {row}", 0.1 * row) for row in range(rows)),
        ),
        caption=f"{text}: caption",
        notes=(f"{text}: 40 of 80 points are drawn",),
        trials=(25,),
    )


def every_chart(text: str = "a figure") -> dict[str, Chart]:
    """A chart for each kind of mark, by the name of the mark."""
    x = np.linspace(0.0, 2.0, 9)
    y, texts = np.sin(x), (text,) * 9
    lines_x, lines_y = np.append(x, np.nan), np.append(y, np.nan)
    at = np.arange(3.0)
    marks: dict[str, Mark | tuple[Mark, ...]] = {
        "points": Points(x, y, Role.COMPLETE, text, colors=y, texts=texts),
        "line": Line(x, y, Role.LEADING, text, step=True, markers=True, texts=texts),
        "curves": Curves(np.tile(lines_x, 2), np.tile(lines_y, 2), Role.FAINT, text),
        "band": Band(x, y - 0.1, y + 0.1, 1, text),
        "bars": Bars(at, at + 1.0, at + 0.5, at + 1.5, 0, text, texts=texts[:3]),
        "spans": Spans(at, at + 1.0, at, Role.PRUNED, text, texts=texts[:3]),
        "intervals": Intervals(x, y, y - 0.1, y + 0.1, style=2, label=text, texts=texts),
        "cells": Cells(np.arange(4.0), np.arange(3.0), np.arange(6.0).reshape(2, 3) / 6),
        "rule": (Points(x, y, 3), Rule(y=0.5, label=text)),
    }
    return {
        name: chart(*(mark if isinstance(mark, tuple) else (mark,)), text=text)
        for name, mark in marks.items()
    }


def document(text: str = "plain") -> Document:
    """A document with every kind of block; every text in it contains the given one."""
    table = Table(
        (
            Column(f"param {text}"),
            Column("trials", Holds.INTEGER),
            Column("time", Holds.NUMBER, "s"),
            Column("value", Holds.EXACT),
            Column("digest", Holds.DIGEST),
            Column(f"command {text}", Holds.CODE),
        ),
        (
            *(
                (f"{text} {row}", row, 0.123456789 * row, 0.1 + 0.2, "9a" * 32, f"run {text}")
                for row in range(12)
            ),
            (None, None, math.nan, -math.inf, None, None),
            (f"={text}", -1, -0.5, 1e-300, "", ""),
        ),
    )
    items = tuple(
        ChecklistItem(f"NeurIPS {number}", f"Question {text}?", answer, (f"evidence {text}", "b"))
        for number, answer in enumerate(Answer)
    )
    blocks = (
        Paragraph(f"A paragraph: {text}"),
        Notice(f"A note: {text}"),
        Notice(f"A warning: {text}", Tone.WARNING),
        Facts(
            (
                Fact(f"label {text}", f"value {text}", note=f"note {text}"),
                Fact("best", 0.1 + 0.2, Holds.EXACT),
                Fact("time", 12.3456789, Holds.NUMBER, "s"),
                Fact("seal", "9a" * 32, Holds.DIGEST),
                Fact("nothing", None),
            )
        ),
        TableBlock("params", f"Params: {text}", table, reference("table:params"), shown=5),
        TableBlock("empty", f"Empty: {text}", Table(table.columns), reference("table:empty")),
        Command(f"trialbook show {text}", f"shows {text}"),
        Checklist(items),
    )
    figures = tuple(
        FigureBlock(name, figure, reference("history", 25))
        for name, figure in every_chart(text).items()
    )
    return Document(
        title=f"Title {text}",
        summary=f"Summary {text}",
        sections=(
            Section("everything", f"Everything {text}", blocks),
            Section("figures", f"Figures {text}", figures),
        ),
        macros=(Macro("BestValue", 0.9, Holds.EXACT, says=text),),
        reference=reference("report"),
    )
