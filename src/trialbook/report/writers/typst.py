"""The PDF writer: ``report.pdf``, set by Typst without TeX or a browser.

A report becomes data (JSON) for ``templates/report.typ``, which knows how each block looks; no text
of a book is ever Typst's markup. The file is tagged for screen readers, and holds no time. Typst
writes no marks: a figure brings its own, and a table gets that of an empty page put beside it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from trialbook.analysis.columns import Cell, Holds
from trialbook.errors import MissingPackageError
from trialbook.report.carrying import pdf
from trialbook.report.document import (
    Block,
    Checklist,
    Command,
    Document,
    Facts,
    FigureBlock,
    Notice,
    Paragraph,
    TableBlock,
)
from trialbook.report.drawn_figures import DrawnFigures
from trialbook.report.numbers import cell_text, table_text
from trialbook.report.writers.captions import caption_of, ended, notes_of
from trialbook.report.writers.table_layout import LaidColumn, excerpt, parts
from trialbook.report.writers.typst_text import FONTS, plain, typst_text

FILE = "report.pdf"
LINE = 104
"""Characters of a line in a table."""
_MARKS = "marks"
"""The directory of the pages that mark tables."""
_LONGEST_WHOLE_CELL = 400
"""Characters of a cell up to which no row breaks over pages."""

Data = dict[str, Any]
"""What is written as a JSON object for the template, which documents the keys."""


def write(
    document: Document, directory: Path, figures: DrawnFigures | None = None
) -> tuple[Path, ...]:
    """Write ``report.pdf`` under a directory.

    Args:
        document: What to write.
        directory: Where; made when it is not there.
        figures: Figures of this document that are drawn already; ``None`` to draw them here.

    Returns:
        The file.

    Raises:
        MissingPackageError: typst or matplotlib is not installed.
    """
    try:
        from typst import Compiler
    except ImportError as error:
        raise MissingPackageError(
            "a report as PDF needs typst, which is not installed",
            hint="pip install 'trialbook[paper]', or choose html or md",
        ) from error
    drawn = figures if figures is not None else DrawnFigures()
    with TemporaryDirectory(prefix="trialbook-typst-") as temporary:
        root = Path(temporary)
        (root / _MARKS).mkdir()
        for block in _pictured(document):
            (root / _file(block)).write_bytes(
                drawn.content(block, "pdf")
                if isinstance(block, FigureBlock)
                else pdf.blank(block.reference)
            )
        (root / "data.json").write_text(json.dumps(_data(document)), encoding="utf-8")
        compiler = Compiler(input=_template(), root=root, ignore_system_fonts=True)
        content = cast(bytes, compiler.compile(format="pdf", timestamp=0))
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / FILE
    path.write_bytes(content)
    return (path,)


def _template() -> bytes:
    return resources.files(__package__).joinpath("templates", "report.typ").read_bytes()


def _pictured(document: Document) -> Iterator[FigureBlock | TableBlock]:
    """The blocks that take in a page: a drawing, or one that is empty but for its mark."""
    for section in document.sections:
        for block in section.blocks:
            if isinstance(block, (FigureBlock, TableBlock)):
                yield block


def _file(block: FigureBlock | TableBlock) -> str:
    """The page that a block takes in, as the template names it."""
    place = "" if isinstance(block, FigureBlock) else f"{_MARKS}/"
    return f"{place}{block.name}.pdf"


def _data(document: Document) -> Data:
    return {
        "title": plain(document.title),
        "shown_title": typst_text(document.title),
        "summary": typst_text(document.summary),
        "plain_summary": plain(document.summary),
        "reference": str(document.reference),
        "shown_reference": typst_text(str(document.reference)),
        "fonts": FONTS,
        "sections": [
            {
                "title": typst_text(section.title),
                "blocks": [_block(block) for block in section.blocks],
            }
            for section in document.sections
        ],
    }


def _block(block: Block) -> Data:
    match block:
        case Paragraph():
            return {"kind": "paragraph", "text": typst_text(block.text)}
        case Notice():
            return {"kind": "notice", "tone": block.tone.value, "text": typst_text(block.text)}
        case Facts():
            facts = [
                {
                    "label": typst_text(fact.label),
                    "value": _value(
                        cell_text(fact.value, fact.holds, fact.unit), fact.holds, fact.value
                    ),
                    "note": typst_text(fact.note),
                }
                for fact in block.facts
            ]
            return {"kind": "facts", "facts": facts}
        case TableBlock():
            return _table(block)
        case FigureBlock():
            chart = block.chart
            return {
                "kind": "figure",
                "file": _file(block),
                "alt": plain(caption_of(chart)),
                "caption": typst_text(caption_of(chart)),
                "notes": [typst_text(note) for note in notes_of(chart)],
                "reference": typst_text(str(block.reference)),
            }
        case Command():
            text, says = typst_text(block.text), typst_text(ended(block.says))
            return {"kind": "command", "text": text, "says": says}
        case Checklist():
            return _checklist(block)


def _value(text: str, holds: Holds, value: Cell) -> Data:
    mono = value is not None and holds in (Holds.CODE, Holds.DIGEST)
    return {"text": typst_text(text), "mono": mono}


def _row(block: TableBlock, row: tuple[Cell, ...], part: tuple[LaidColumn, ...]) -> list[Data]:
    return [
        _value(table_text(row[laid.index], holds), holds, row[laid.index])
        for laid in part
        for holds in (block.table.columns[laid.index].holds,)
    ]


def _table(block: TableBlock) -> Data:
    shown = excerpt(block)
    return {
        "kind": "table",
        "caption": typst_text(ended(block.caption) if shown.note else block.caption),
        "note": typst_text(shown.note),
        "reference": typst_text(str(block.reference)),
        "mark": _file(block),
        "parts": [
            {
                "columns": [_column(column) for column in part],
                "rows": [_row(block, row, part) for row in shown.rows],
                "breakable": _longest(shown.rows) > _LONGEST_WHOLE_CELL,
            }
            for part in parts(block.table, shown.rows, LINE)
        ],
    }


def _longest(rows: tuple[tuple[Cell, ...], ...]) -> int:
    return max((len(cell) for row in rows for cell in row if isinstance(cell, str)), default=0)


def _column(laid: LaidColumn) -> Data:
    return {
        "heading": typst_text(laid.heading),
        "numeric": laid.numeric,
        "share": laid.share,
        "characters": laid.wrapped,
    }


def _checklist(block: Checklist) -> Data:
    items = [
        {
            "source": typst_text(item.source),
            "question": typst_text(item.question),
            "answer": item.answer.value,
            "state": item.answer.name.lower(),
            "evidence": [typst_text(text) for text in item.evidence],
        }
        for item in block.items
    ]
    return {"kind": "checklist", "items": items}
