"""The Markdown writer: ``report.md`` for a repository, with its figures beside it.

It is GitHub's dialect (GitHub Flavored Markdown Spec 0.29). All text is escaped: HTML, links and
tables in a name stay text. Long tables are cut, and say where the rest is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from trialbook.analysis.columns import Cell, Holds, Table
from trialbook.records.printable import printable
from trialbook.report.carrying.text import markdown as reference_comment
from trialbook.report.document import (
    Answer,
    Block,
    Checklist,
    Command,
    Document,
    Fact,
    Facts,
    FigureBlock,
    Notice,
    Paragraph,
    TableBlock,
    Tone,
)
from trialbook.report.drawn_figures import DrawnFigures
from trialbook.report.numbers import NO_CELL, cell_text
from trialbook.report.writers.captions import caption_of, ended, notes_of
from trialbook.report.writers.table_layout import excerpt, is_numeric

FILE = "report.md"
FIGURES = "figures"
MOST_ROWS = 50
"""Rows of a table; a file in a repository is read on a screen."""

_SPECIAL = re.compile(r"[\\`*_\[\]|#$~&<>]")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_LINK = re.compile(r"(?<=\w):(?=//)|(?<=www)\.", re.IGNORECASE)
_BEGINNING = re.compile(r"^(?:[-+](?=\s|$)|[-=]+$|\d+[.)](?=\s|$))")


def write(
    document: Document, directory: Path, figures: DrawnFigures | None = None
) -> tuple[Path, ...]:
    """Write ``report.md`` and ``figures/NAME.png`` under a directory.

    Args:
        document: What to write.
        directory: Where; made when it is not there.
        figures: Figures of this document that are drawn already; ``None`` to draw them here.

    Returns:
        The files, the page first.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    drawn = figures if figures is not None else DrawnFigures()
    directory.mkdir(parents=True, exist_ok=True)
    page = directory / FILE
    page.write_bytes(("\n\n".join(_page(document)) + "\n").encode())
    written = [page]
    for section in document.sections:
        for block in section.blocks:
            if isinstance(block, FigureBlock):
                path = directory / FIGURES / f"{block.name}.png"
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(drawn.content(block, "png"))
                written.append(path)
    return tuple(written)


def markdown(text: str) -> str:
    """Running text that shows as it is, in a line of its own, a list or a table."""
    shown = _SPECIAL.sub(_special, printable(text).strip())
    shown = _LINK.sub(lambda match: f"&#{ord(match[0])};", shown)
    return _BEGINNING.sub(lambda match: f"&#{ord(match[0][0])};{match[0][1:]}", shown)


def code(text: str, *, in_table: bool = False) -> str:
    """Text that a reader may copy, as a code span."""
    shown = printable(text)
    if not shown.strip():
        return ""
    if in_table:  # a table is cut at its bars before its cells are read
        shown = shown.replace("|", "\\|")
    runs = {len(run) for run in re.findall("`+", shown)}
    fence = "`" * next(length for length in range(1, len(runs) + 2) if length not in runs)
    inside = f" {shown} " if "`" in (shown[0], shown[-1]) else shown
    return f"{fence}{inside}{fence}"


def _special(match: re.Match[str]) -> str:
    return _ENTITIES.get(match[0], f"\\{match[0]}")


def _page(document: Document) -> Iterator[str]:
    yield reference_comment(document.reference)
    yield f"# {markdown(document.title)}"
    yield markdown(document.summary)
    for section in document.sections:
        yield f"## {markdown(section.title)}"
        for block in section.blocks:
            yield from _block(block)
    yield f"Reference: {code(str(document.reference))}"


def _block(block: Block) -> Iterator[str]:
    match block:
        case Paragraph():
            yield markdown(block.text)
        case Notice():
            title = "WARNING" if block.tone is Tone.WARNING else "NOTE"
            yield f"> [!{title}]\n> {markdown(block.text)}"
        case Facts():
            yield "\n".join(_fact(fact) for fact in block.facts)
        case TableBlock():
            yield from _table(block)
        case FigureBlock():
            yield from _figure(block)
        case Command():
            if block.says:
                yield markdown(ended(block.says))
            yield _fenced(block.text)
        case Checklist():
            yield _checklist(block)


def _fact(fact: Fact) -> str:
    note = f" ({markdown(fact.note)})" if fact.note else ""
    return f"- **{markdown(fact.label)}:** {_value(fact.value, fact.holds, fact.unit)}{note}"


def _value(value: Cell, holds: Holds, unit: str = "", *, in_table: bool = False) -> str:
    if value is None and in_table:
        return NO_CELL
    if value is not None and holds in (Holds.CODE, Holds.DIGEST):
        return code(str(value), in_table=in_table)
    return markdown(cell_text(value, holds, unit))


def _fenced(text: str) -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}sh\n{printable(text)}\n{fence}"


def _table(block: TableBlock) -> Iterator[str]:
    yield reference_comment(block.reference)
    yield f"**{markdown(block.caption)}**"
    shown = excerpt(block, MOST_ROWS)
    table = block.table
    aligned = ["--:" if is_numeric(table, i, shown.rows) else "---" for i in _indices(table)]
    cells = (
        [
            _value(cell, column.holds, in_table=True)
            for cell, column in zip(row, table.columns, strict=True)
        ]
        for row in shown.rows
    )
    yield _rows([markdown(column.heading) for column in table.columns], aligned, cells)
    if not shown.rows:
        yield "*no rows*"
    if shown.note:
        yield f"*{markdown(shown.note)}*"
    yield f"<sub>{markdown(str(block.reference))}</sub>"


def _indices(table: Table) -> range:
    return range(len(table.columns))


def _rows(heading: list[str], aligned: list[str], rows: Iterator[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heading, aligned, *rows))


def _figure(block: FigureBlock) -> Iterator[str]:
    chart = block.chart
    yield reference_comment(block.reference)
    yield f"![{markdown(chart.title)}]({FIGURES}/{block.name}.png)"
    yield " ".join(markdown(text) for text in (caption_of(chart), *notes_of(chart)))
    yield f"<sub>{markdown(str(block.reference))}</sub>"


def _checklist(block: Checklist) -> str:
    rows = (
        [
            markdown(item.source),
            markdown(item.question),
            f"**{markdown(item.answer.value)}**"
            if item.answer in (Answer.MISSING, Answer.AUTHORS)
            else markdown(item.answer.value),
            "<br>".join(markdown(text) for text in item.evidence),
        ]
        for item in block.items
    )
    return _rows(["Item", "Question", "Answer", "Evidence"], ["---"] * 4, rows)
