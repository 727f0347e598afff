"""How numbers are set: one place, so that a number reads the same in every format and figure."""

from __future__ import annotations

import math

from trialbook.analysis.columns import Cell, Holds

DIGITS = 4
"""Significant digits of a measured quantity."""
NOTHING = "not recorded"
NO_CELL = "–"
"""Where a row of a table has no value, which need not mean that one was missed."""


def number_text(value: float, digits: int = DIGITS) -> str:
    """A measured quantity, rounded: ``0.9812``, ``12 345`` never grouped, ``1.5e-05``, ``NaN``."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return f"{value:.{digits}g}"


def exact_text(value: float) -> str:
    """The shortest text that reads back as the same number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{value!r} is no number")
    if isinstance(value, float) and not math.isfinite(value):
        return number_text(value)
    return repr(float(value)) if isinstance(value, float) else repr(value)


def cell_text(value: Cell, holds: Holds, unit: str = "") -> str:
    """A value as plain text; a unit follows after a space."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        text = "yes" if value else "no"
    elif isinstance(value, (int, float)):
        rounded = holds is Holds.NUMBER and isinstance(value, float)
        text = number_text(value) if rounded else exact_text(value)
    else:
        text = value
    return f"{text} {unit}" if unit else text


def table_text(value: Cell, holds: Holds) -> str:
    """A cell of a table; its unit stands in the heading."""
    return NO_CELL if value is None else cell_text(value, holds)
