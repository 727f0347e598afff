"""Many trial numbers as short text."""

from __future__ import annotations

from collections.abc import Iterable

_NAMED = 20


def numbers_text(numbers: Iterable[int], named: int = _NAMED) -> str:
    """Ascending numbers as ``0, 3-7, 12``; after so many parts ``and N more``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    texts = [str(a) if a == b else f"{a}, {b}" if b == a + 1 else f"{a}-{b}" for a, b in runs]
    if len(runs) <= named:
        return ", ".join(texts)
    more = sum(b - a + 1 for a, b in runs[named:])
    return f"{', '.join(texts[:named])} and {more} more"
