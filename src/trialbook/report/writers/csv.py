"""The CSV writer: one file for every table and for the table behind every figure, and an index.

RFC 4180 in UTF-8, with a header line and lines that end in a line feed. Numbers are written in
full, as ``NaN``, ``inf`` and ``-inf`` where they are none; a cell without a value is empty. Text is
made safe for spreadsheets and terminals (``records/printable.py``).

A line that said what a file shows would break its readers, so that is in ``index.csv``: each file's
caption, its reference and the SHA-256 of its bytes, by which a file is known again.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from trialbook.analysis.columns import Cell, Table
from trialbook.records.figure_references import FigureReference
from trialbook.records.printable import spreadsheet_text
from trialbook.report.document import Document, FigureBlock, TableBlock
from trialbook.report.numbers import exact_text
from trialbook.report.writers.captions import caption_of

DIRECTORY = "csv"
INDEX = "index.csv"
INDEX_COLUMNS = ("file", "caption", "reference", "sha256")


@dataclass(frozen=True, slots=True, eq=False)
class NamedTable:
    """A table of a document, or the table behind one of its figures.

    Args:
        name: Its file name without ending.
        caption: What it shows.
        table: The table.
        reference: What it carries.
    """

    name: str
    caption: str
    table: Table
    reference: FigureReference


def tables_of(document: Document) -> Iterator[NamedTable]:
    """All tables of a document and of its figures, in the document's order."""
    for section in document.sections:
        for block in section.blocks:
            if isinstance(block, TableBlock):
                yield NamedTable(block.name, block.caption, block.table, block.reference)
            elif isinstance(block, FigureBlock):
                chart = block.chart
                yield NamedTable(block.name, caption_of(chart), chart.table, block.reference)


def csv_text(table: Table) -> str:
    """A table as CSV: a header line with the units, then its rows."""
    return _lines([column.heading for column in table.columns], table.rows)


def write(document: Document, directory: Path) -> tuple[Path, ...]:
    """Write ``csv/NAME.csv`` for each table and ``csv/index.csv`` under a directory.

    Args:
        document: What to write.
        directory: Where; made when it is not there.

    Returns:
        The files, the index first.
    """
    place = directory / DIRECTORY
    place.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    index: list[tuple[str, str, str, str]] = []
    for named in tables_of(document):
        content = csv_text(named.table).encode()
        path = place / f"{named.name}.csv"
        path.write_bytes(content)
        written.append(path)
        digest = hashlib.sha256(content).hexdigest()
        index.append((path.name, named.caption, str(named.reference), digest))
    path = place / INDEX
    path.write_bytes(_lines(INDEX_COLUMNS, index).encode())
    return path, *written


def _lines(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([spreadsheet_text(name) for name in header])
    writer.writerows([_cell(cell) for cell in row] for row in rows)
    return out.getvalue()


def _cell(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return spreadsheet_text(cell) if isinstance(cell, str) else exact_text(cell)
