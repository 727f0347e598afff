"""What macros are called after a param or a number: letters only, as LaTeX asks."""

from __future__ import annotations

import re
from collections.abc import Iterable

_PREFIX = "Best"
_DIGITS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")
_LONGEST = 40


def best_names(params: Iterable[str]) -> list[str]:
    """A name of ASCII letters for each param, different from all macros and from each other.

    ``learning_rate`` becomes ``BestLearningRate``, ``units_1`` ``BestUnitsOne``; what nothing is
    left of is counted: ``BestParamOne``.
    """
    taken = {"bestvalue", "bestvalueexact", "besttrial"}
    found = []
    for index, name in enumerate(params, start=1):
        parts = re.findall(r"[A-Za-z]+|[0-9]", name)
        words = "".join(_DIGITS[int(p)] if p.isdigit() else p[0].upper() + p[1:] for p in parts)
        base = _PREFIX + (words[:_LONGEST] or f"Param{spelt(index)}")
        unique, again = base, 1
        while unique.lower() in taken:
            again += 1
            unique = f"{base}Again{spelt(again)}"
        taken.add(unique.lower())
        found.append(unique)
    return found


def spelt(number: int) -> str:
    """A number in letters, digit by digit: ``OneZero`` for 10."""
    return "".join(_DIGITS[int(digit)] for digit in str(number))
