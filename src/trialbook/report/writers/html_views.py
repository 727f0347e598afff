"""What a page shows of each block: plain text made safe to read, and how it is set.

A view holds text, never markup; the templates escape it. ``kind`` names the template's macro.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from trialbook.analysis.columns import Cell, Column, Holds, Table
from trialbook.records.figure_references import FigureReference
from trialbook.records.printable import printable
from trialbook.report.document import (
    Answer,
    Block,
    Checklist,
    ChecklistItem,
    Command,
    Fact,
    Facts,
    FigureBlock,
    Notice,
    Paragraph,
    TableBlock,
    Tone,
)
from trialbook.report.numbers import NOTHING, cell_text
from trialbook.report.writers.captions import caption_of, ended, notes_of
from trialbook.report.writers.csv import DIRECTORY, csv_text

FIGURE_ROWS = 20
"""Rows of the table behind a figure that the page shows."""
EMBEDDED_BYTES = 48 * 1024
"""A table that is not shown whole can be saved from the page when its CSV is not larger."""

_RIGHT = frozenset({Holds.INTEGER, Holds.NUMBER, Holds.EXACT})
_CODE = frozenset({Holds.DIGEST, Holds.CODE})


@dataclass(frozen=True, slots=True)
class CellView:
    """A value as text, and the class of the element that it stands in."""

    text: str
    css: str


@dataclass(frozen=True, slots=True)
class ParagraphView:
    """Running text."""

    kind: ClassVar[str] = "paragraph"
    text: str


@dataclass(frozen=True, slots=True)
class NoticeView:
    """A notice, with the word that says how serious it is."""

    kind: ClassVar[str] = "notice"
    tone: str
    label: str
    text: str


@dataclass(frozen=True, slots=True)
class FactView:
    """A label and a value."""

    label: str
    value: CellView
    note: str


@dataclass(frozen=True, slots=True)
class FactsView:
    """Labels and values."""

    kind: ClassVar[str] = "facts"
    facts: tuple[FactView, ...]


@dataclass(frozen=True, slots=True)
class TableView:
    """A table, or its first rows.

    Args:
        name: Its file name without ending.
        caption: What it shows.
        reference: What it carries.
        headings: Of the columns.
        rows: Those that are shown.
        named: Whether the first cell of each row says which row it is.
        more: What the page leaves out and where it is; empty when it shows everything.
        download: A ``data:`` URL of the whole table as CSV; empty without one.
    """

    kind: ClassVar[str] = "table"
    name: str
    caption: str
    reference: FigureReference
    headings: tuple[CellView, ...]
    rows: tuple[tuple[CellView, ...], ...]
    named: bool
    more: str
    download: str


@dataclass(frozen=True, slots=True)
class FigureView:
    """A figure, with everything that is known of it without drawing it.

    Args:
        name: Its file name without ending.
        title: One line.
        alternative: What stands for the drawing where it cannot be seen.
        caption: What is seen.
        notes: What was left out.
        reference: What it carries.
        numbers: Says what the folded table is.
        table: The first rows of what it shows, in numbers.
        block: What is drawn.
    """

    kind: ClassVar[str] = "figure"
    name: str
    title: str
    alternative: str
    caption: str
    notes: tuple[str, ...]
    reference: FigureReference
    numbers: str
    table: TableView
    block: FigureBlock


@dataclass(frozen=True, slots=True)
class CommandView:
    """A command to copy."""

    kind: ClassVar[str] = "command"
    text: str
    says: str


@dataclass(frozen=True, slots=True)
class ItemView:
    """An item of a checklist."""

    source: str
    question: str
    answer: str
    css: str
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChecklistView:
    """A checklist, after how many items have which answer."""

    kind: ClassVar[str] = "checklist"
    counts: tuple[CellView, ...]
    items: tuple[ItemView, ...]


View = ParagraphView | NoticeView | FactsView | TableView | FigureView | CommandView | ChecklistView


def view_of(block: Block) -> View:
    """What a page shows of a block."""
    make: Callable[..., View] = _MAKERS[type(block)]
    return make(block)


def _paragraph(block: Paragraph) -> ParagraphView:
    return ParagraphView(printable(block.text))


def _notice(block: Notice) -> NoticeView:
    label = "Warning:" if block.tone is Tone.WARNING else "Note:"
    return NoticeView(block.tone.value, label, printable(block.text))


def _facts(block: Facts) -> FactsView:
    return FactsView(tuple(_fact(fact) for fact in block.facts))


def _fact(fact: Fact) -> FactView:
    if fact.value is None:
        value = CellView(NOTHING, "nothing")
    else:
        text = printable(cell_text(fact.value, fact.holds, fact.unit))
        value = CellView(text, "code" if fact.holds in _CODE else "")
    return FactView(printable(fact.label), value, printable(fact.note))


def _table(block: TableBlock) -> TableView:
    return _table_view(block.name, block.caption, block.table, block.reference, block.shown)


def _figure(block: FigureBlock) -> FigureView:
    chart = block.chart
    caption, notes = caption_of(chart), notes_of(chart)
    rows = len(chart.table.rows)
    table = _table_view(block.name, chart.title, chart.table, block.reference, FIGURE_ROWS)
    return FigureView(
        name=block.name,
        title=printable(chart.title),
        alternative=printable(" ".join(dict.fromkeys((ended(chart.title), caption, *notes)))),
        caption=printable(caption),
        notes=tuple(printable(note) for note in notes),
        reference=block.reference,
        numbers=f"The numbers behind this figure ({_rows_text(rows)})",
        table=table,
        block=block,
    )


def _table_view(
    name: str, caption: str, table: Table, reference: FigureReference, shown: int | None
) -> TableView:
    count = len(table.rows)
    rows = table.rows if shown is None else table.rows[:shown]
    more, download = "", ""
    if len(rows) < count:
        download = _download(table)
        more = f"The first {len(rows)} of {_rows_text(count)}. "
        more += (
            "" if download else f"All of them are in {DIRECTORY}/{name}.csv of the report's CSV."
        )
    return TableView(
        name=name,
        caption=printable(caption),
        reference=reference,
        headings=tuple(
            CellView(printable(column.heading), "number" if column.holds in _RIGHT else "")
            for column in table.columns
        ),
        rows=tuple(_row(table.columns, row) for row in rows),
        named=_named(rows),
        more=more,
        download=download,
    )


def _named(rows: Sequence[Sequence[Cell]]) -> bool:
    """Whether the first cells tell the rows apart, so that a screen reader may read them first."""
    first = [row[0] for row in rows]
    return None not in first and len(set(first)) == len(first) and all(len(r) > 1 for r in rows)


def _rows_text(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def _download(table: Table) -> str:
    if len(table.rows) * len(table.columns) > EMBEDDED_BYTES // 2:
        return ""
    content = csv_text(table).encode()
    if len(content) > EMBEDDED_BYTES:
        return ""
    return "data:text/csv;charset=utf-8;base64," + base64.b64encode(content).decode("ascii")


def _row(columns: Sequence[Column], row: Sequence[Cell]) -> tuple[CellView, ...]:
    return tuple(_cell(column.holds, cell) for column, cell in zip(columns, row, strict=True))


def _cell(holds: Holds, cell: Cell) -> CellView:
    if cell is None:
        return CellView("–", "nothing")
    return CellView(printable(cell_text(cell, holds)), _aligned(holds))


def _aligned(holds: Holds) -> str:
    return "number" if holds in _RIGHT else holds.value if holds in _CODE else ""


def _command(block: Command) -> CommandView:
    return CommandView(printable(block.text), printable(block.says))


def _checklist(block: Checklist) -> ChecklistView:
    counted = Counter(item.answer for item in block.items)
    counts = tuple(
        CellView(f"{counted[answer]} {answer.value}", _answer_css(answer))
        for answer in Answer
        if counted[answer]
    )
    return ChecklistView(counts, tuple(_item(item) for item in block.items))


def _item(item: ChecklistItem) -> ItemView:
    return ItemView(
        printable(item.source),
        printable(item.question),
        item.answer.value,
        _answer_css(item.answer),
        tuple(printable(line) for line in item.evidence),
    )


def _answer_css(answer: Answer) -> str:
    return answer.name.lower().replace("_", "-")


_MAKERS: dict[type[Block], Callable[..., View]] = {
    Paragraph: _paragraph,
    Notice: _notice,
    Facts: _facts,
    TableBlock: _table,
    FigureBlock: _figure,
    Command: _command,
    Checklist: _checklist,
}
