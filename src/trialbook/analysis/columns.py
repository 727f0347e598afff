"""A table of results: named and typed columns, rows of plain values. How it is written is report's.

Every analysis gives what it found as such a table too, so that a figure always has one behind it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

Cell = str | int | float | bool | None
"""A value of a table; ``None`` where there is none, which is not the same as NaN or empty text."""


def number_cell(value: float) -> float | None:
    """The cell of a number that an array holds, in which NaN stands for none."""
    return None if math.isnan(value) else float(value)


class Holds(StrEnum):
    """What the values of a column are, which decides how they are set."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    """A measured quantity: shown rounded, kept in full in CSV."""
    EXACT = "exact"
    """A number that must be read off exactly, such as a param of the best configuration."""
    DIGEST = "digest"
    CODE = "code"
    """Text that a reader may copy: a command, a path, an expression."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column.

    Args:
        name: What it holds, as a heading.
        holds: What its values are.
        unit: As in ``s`` or ``GiB``; empty for none.
    """

    name: str
    holds: Holds = Holds.TEXT
    unit: str = ""

    @property
    def heading(self) -> str:
        """Name and unit."""
        return f"{self.name} ({self.unit})" if self.unit else self.name


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under columns.

    Args:
        columns: From left to right.
        rows: Each with a cell for every column.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...] = ()
