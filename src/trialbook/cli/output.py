r"""Printing data: tables for people, JSON and CSV for programs. Data goes to stdout.

JSON is strict (RFC 8259) and ASCII. What it has no form for is written as in the record format:
``{"$float": "nan"}``, ``{"$float": "inf"}``, ``{"$float": "-inf"}``, ``{"$bytes": "<hex>"}``; times
are seconds since the epoch where their name ends in ``_s``, else ISO 8601.

CSV has one header line and one line a row; control characters are escaped as in tables. A text that
a spreadsheet would take for a formula (it begins with ``=``, ``+``, ``-``, ``@``) gets a ``'`` in
front. NaN and infinities are ``nan``, ``inf``, ``-inf``; nothing is an empty cell.

Tables are truncated to the width of a terminal and to a number of rows only on a terminal.
"""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from itertools import chain, islice
from typing import IO, Any

from trialbook.cli.text import coloured, printable, styled
from trialbook.records.printable import spreadsheet_text
from trialbook.records.sizes import size_text as size_text

Cell = str | int | float | bool | None

_CHUNK_ROWS = 1000


class Format(Enum):
    """How data is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Args:
        title: Its heading.
        right: Align to the right, for numbers.
        wide: Gives way first when the terminal is too narrow.
    """

    title: str
    right: bool = False
    wide: bool = False


def json_value(value: object) -> Any:
    """A record as plain JSON values: dataclasses become objects, NaN the tagged form."""
    if value is None or (isinstance(value, (bool, str)) and not isinstance(value, Enum)):
        return value
    if isinstance(value, Enum):
        return json_value(value.value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"$float": repr(float(value))}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return {"$bytes": value.hex()}
    fields = getattr(type(value), "__dataclass_fields__", None)
    if fields is not None:
        return {name: json_value(getattr(value, name)) for name in fields}
    if isinstance(value, Mapping):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, Iterable):
        return [json_value(item) for item in value]
    return str(value)


def json_text(value: object, *, indent: int | None = 2) -> str:
    """The value as strict JSON, without a final line feed."""
    text = json.dumps(json_value(value), indent=indent, allow_nan=False)
    return text.replace("\x7f", "\\u007f")


def write_json(value: object, stream: IO[str] | None = None) -> None:
    """Print one JSON document."""
    out = sys.stdout if stream is None else stream
    out.write(json_text(value) + "\n")


def write_json_rows(rows: Iterable[object], stream: IO[str] | None = None) -> None:
    """Print a JSON array, one element a line, as the rows come."""
    out = sys.stdout if stream is None else stream
    separator = "[\n"
    for row in rows:
        out.write(separator + json_text(row, indent=None))
        separator = ",\n"
    out.write("[]\n" if separator == "[\n" else "\n]\n")


def write_csv(
    header: Sequence[str], rows: Iterable[Sequence[Cell]], stream: IO[str] | None = None
) -> None:
    """Print a header line and the rows as they come (RFC 4180, lines end in a line feed)."""
    out = sys.stdout if stream is None else stream
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([csv_cell(name) for name in header])
    for row in rows:
        writer.writerow([csv_cell(cell) for cell in row])


def csv_cell(cell: Cell) -> str:
    """One cell as CSV text, safe for spreadsheets and terminals."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, (int, float)):
        return repr(cell)
    return spreadsheet_text(cell)


def number_text(value: float | None, *, brief: bool = False) -> str:
    """A number as people read it; all its digits unless ``brief``; empty for ``None``."""
    if value is None:
        return ""
    if brief and isinstance(value, float) and math.isfinite(value):
        return f"{value:.6g}"
    return repr(value)


def duration_text(seconds: float | None) -> str:
    """A duration: ``0.12 s``, ``3 min 05 s``, ``2 h 07 min``; empty for ``None``."""
    if seconds is None or not math.isfinite(seconds):
        return ""
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def time_text(seconds: float | None) -> str:
    """Seconds since the epoch as local time to the second; empty for ``None``."""
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def on_terminal() -> bool:
    """Whether data is read by a person on a terminal."""
    return sys.stdout.isatty()


def write_line(text: str = "") -> None:
    """Print a line of data; recorded text in it is made safe."""
    sys.stdout.write(printable(text) + "\n")


def write_heading(text: str) -> None:
    """Print a heading of a section."""
    sys.stdout.write(styled(printable(text), "bold", sys.stdout) + "\n")


def write_note(text: str) -> None:
    """Tell the person something that is no data, on stderr."""
    print(printable(text, keep_newlines=True), file=sys.stderr)


def write_table(
    columns: Sequence[Column], rows: Iterable[Sequence[str]], *, indent: int = 0
) -> None:
    """Print rows of text in columns: fitted to a terminal, whole and as they come elsewhere."""
    safe = (tuple(printable(cell) for cell in row) for row in rows)
    if on_terminal():
        _write_fitted(columns, safe, indent)
    else:
        _write_whole(columns, safe, indent)


def _write_fitted(columns: Sequence[Column], rows: Iterator[tuple[str, ...]], indent: int) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=True,
            overflow="ellipsis",
            ratio=None,
            min_width=None if column.wide else min(len(column.title), 12),
        )
    for row in rows:
        table.add_row(*[Text(cell) for cell in row])
    console = Console(
        color_system="auto" if coloured(sys.stdout) else None,
        highlight=False,
        markup=False,
        emoji=False,
    )
    console.print(Padding(table, (0, 0, 0, indent)))


def _write_whole(columns: Sequence[Column], rows: Iterator[tuple[str, ...]], indent: int) -> None:
    """Aligned lines by chunks of rows: rich needs 15 s for 20,000 rows of eight columns."""
    titles = tuple(column.title for column in columns)
    widths = [0] * len(columns)
    chunk = list(chain([titles], islice(rows, _CHUNK_ROWS)))
    while chunk:
        widths = [
            max(width, *map(_width, cells))
            for width, cells in zip(widths, zip(*chunk, strict=True), strict=True)
        ]
        for row in chunk:
            cells = (
                _aligned(cell, width, right=column.right)
                for cell, width, column in zip(row, widths, columns, strict=True)
            )
            sys.stdout.write((" " * indent + "  ".join(cells)).rstrip() + "\n")
        chunk = list(islice(rows, _CHUNK_ROWS))


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _aligned(text: str, width: int, *, right: bool) -> str:
    gap = " " * (width - _width(text))
    return gap + text if right else text + gap
