"""How what analyses and reports give is printed: their tables, and where documents are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trialbook.cli.output import (
    Column,
    number_text,
    on_terminal,
    write_line,
    write_note,
    write_table,
)

if TYPE_CHECKING:
    from trialbook.analysis.columns import Cell, Table
    from trialbook.report.writing import WrittenReport


def write_result(table: Table, *, indent: int = 2) -> None:
    """Print a table of an analysis; on a terminal its numbers are rounded."""
    from trialbook.analysis.columns import Holds

    numbers = {Holds.INTEGER, Holds.NUMBER, Holds.EXACT}
    columns = tuple(
        Column(column.heading.upper(), right=column.holds in numbers, wide=not index)
        for index, column in enumerate(table.columns)
    )
    exact = [column.holds is Holds.EXACT for column in table.columns]
    write_table(
        columns,
        (
            tuple(_text(cell, exact=kept) for cell, kept in zip(row, exact, strict=True))
            for row in table.rows
        ),
        indent=indent,
    )


def write_paths(written: WrittenReport) -> None:
    """Print where a report's documents are, and on stderr what is missing or doubtful in them."""
    for notice in written.notices:
        write_note(notice)
    for path in written.paths:
        write_line(str(path))


def _text(cell: Cell, *, exact: bool) -> str:
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, (int, float)):
        return number_text(cell, brief=on_terminal() and not exact)
    return cell or ""
