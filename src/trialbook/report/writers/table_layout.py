"""How a table is laid on a page: which rows, which columns beside each other, how wide.

Nothing of a format is here: widths are counted in characters and given as shares of the line. A
table that is too wide even with narrow columns is split into parts that repeat its first column.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from trialbook.analysis.columns import Cell, Holds, Table
from trialbook.report.document import TableBlock
from trialbook.report.labels import distinct
from trialbook.report.numbers import table_text
from trialbook.report.writers.breaking import LONGEST_WORD, pieces

LONGEST_HEADING = 60
"""Characters of a heading; the whole name is in the CSV file."""
GAP = 3
"""Width of the space between two columns, in characters."""
_NUMBERS = (Holds.INTEGER, Holds.NUMBER, Holds.EXACT)
_NARROWEST = 12
_LONG_HEADING = 24
_TYPED = 1.2
"""Width of a typewriter's letter beside that of others."""
_POWER = 4
"""What a power of ten takes in print above what its ``e`` takes."""
_NARROWEST_DIGEST = 18


@dataclass(frozen=True, slots=True)
class LaidColumn:
    """A column on a page.

    Args:
        index: Which column of the table.
        numeric: Whether all its cells are numbers or empty, so that it stands to the right.
        share: Its share of the line with the gap to the next, ``None`` for as wide as its cells.
        heading: What stands above it, with the middle of a very long name left out.
        width: Characters of its widest cell, without the heading.
        wrapped: Characters that its cells and its heading, broken over lines, take.
    """

    index: int
    numeric: bool
    share: float | None
    heading: str
    width: int
    wrapped: int


@dataclass(frozen=True, slots=True)
class Excerpt:
    """What a page shows of a table.

    Args:
        rows: The rows.
        note: Where the others are; empty when these are all.
    """

    rows: tuple[tuple[Cell, ...], ...]
    note: str


def excerpt(block: TableBlock, most: int | None = None) -> Excerpt:
    """The rows of a table that a page shows.

    Args:
        block: The table.
        most: At most so many, whatever the block says; ``None`` for no limit of the format's.
    """
    rows = block.table.rows
    limits = [limit for limit in (block.shown, most) if limit is not None]
    shown = rows[: min(limits)] if limits else rows
    if len(shown) == len(rows):
        return Excerpt(rows, "")
    note = (
        f"The first {len(shown)} of {len(rows)} rows. "
        f"The format csv writes all of them, to csv/{block.name}.csv."
    )
    return Excerpt(shown, note)


def is_numeric(table: Table, index: int, rows: tuple[tuple[Cell, ...], ...]) -> bool:
    """Whether a column holds numbers, or nothing, in each of these rows."""
    return table.columns[index].holds in _NUMBERS and all(
        cell is None or (isinstance(cell, (int, float)) and not isinstance(cell, bool))
        for cell in (row[index] for row in rows)
    )


def parts(
    table: Table, rows: tuple[tuple[Cell, ...], ...], line: int
) -> tuple[tuple[LaidColumn, ...], ...]:
    """The columns of a table, part by part.

    Args:
        table: The table.
        rows: Those that are shown.
        line: How many characters fit on a line.

    Returns:
        One part when the columns fit beside each other; else each part begins with the first
        column, and every other column is in one of them.
    """
    headings = distinct([column.heading for column in table.columns], LONGEST_HEADING)
    measured = [_measured(table, rows, at, heading) for at, heading in enumerate(headings)]
    if sum(column.natural + GAP for column in measured) <= line:
        return (tuple(column.laid(None) for column in measured),)
    key, *others = measured
    room = line - key.least - GAP
    widths = [column.least + GAP for column in others]
    count = len(_split(others, widths, room))
    # As many parts as are needed, of about the same width.
    rooms = range(sum(widths) // max(count, 1), room)
    even = (split for split in (_split(others, widths, r) for r in rooms) if len(split) <= count)
    groups = next(even, _split(others, widths, room))
    return tuple(_shared([key, *group], line) for group in groups) or (_shared([key], line),)


def _split(columns: list[_Measured], widths: list[int], room: int) -> list[list[_Measured]]:
    """Columns in groups that are not wider, unless a single one is."""
    groups: list[list[_Measured]] = []
    used = 0
    for column, width in zip(columns, widths, strict=True):
        if not groups or used + width > room:
            groups.append([])
            used = 0
        groups[-1].append(column)
        used += width
    return groups


@dataclass(frozen=True, slots=True)
class _Measured:
    """A column's widths in characters: of its cells, broken up, and in one line."""

    index: int
    numeric: bool
    heading: str
    width: int
    wrapped: int
    least: int
    natural: int

    def laid(self, share: float | None) -> LaidColumn:
        return LaidColumn(self.index, self.numeric, share, self.heading, self.width, self.wrapped)


def _measured(
    table: Table, rows: tuple[tuple[Cell, ...], ...], index: int, heading: str
) -> _Measured:
    holds = table.columns[index].holds
    texts = [table_text(row[index], holds) for row in rows]
    numeric = is_numeric(table, index, rows)
    exponents = numeric and any("e" in text for text in texts)
    width = max(map(len, texts), default=1) + (_POWER if exponents else 0)
    natural = max(width, len(heading))
    broken = max((len(p) for word in heading.split() for p in pieces(word)), default=1)
    if len(heading) > _LONG_HEADING:
        broken = max(broken, _NARROWEST)
    wrapped = max(width, broken)
    if numeric:
        # Headings are letters, which are wider than digits.
        least = max(width, math.ceil(1.3 * broken))
        return _Measured(index, True, heading, width, wrapped, least, max(natural, least))
    usual = _NARROWEST_DIGEST if holds is Holds.DIGEST else _NARROWEST
    widest = max((_widest_piece(text) for text in texts), default=1)
    if holds in (Holds.CODE, Holds.DIGEST):
        widest, natural = math.ceil(_TYPED * widest), max(natural, math.ceil(_TYPED * width))
    least = min(natural, max(usual, widest, broken))
    return _Measured(index, False, heading, width, wrapped, least, natural)


def _widest_piece(text: str) -> int:
    return min(max((len(word) for word in text.split()), default=1), LONGEST_WORD)


def _shared(group: list[_Measured], line: int) -> tuple[LaidColumn, ...]:
    """Text gets what numbers leave, in proportion to what each column lacks."""
    free = line - sum(column.least + GAP for column in group)
    lacking = sum(column.natural - column.least for column in group if not column.numeric)
    laid = []
    for column in group:
        if column.numeric:
            laid.append(column.laid(None))
            continue
        more = free * (column.natural - column.least) / lacking if lacking and free > 0 else 0.0
        width = min(column.natural, column.least + more)
        laid.append(column.laid(round((width + GAP) / line, 4)))
    return tuple(laid)
