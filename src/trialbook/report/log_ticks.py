"""Ticks of a logarithmic axis: which numbers are labelled, all in one format.

Nothing is drawn here; how much room a label takes is the caller's to say.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

_POWERS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_PLAIN = (1e-3, 1e4)
"""Numbers from here to there are written out where all of an axis are."""
_FACTORS: tuple[tuple[float, ...], ...] = ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7))
_STEPS = (1, 2, 2.5, 5, 10)
_MOST = 9
_MOST_MARKS = 60
_NEAR = 1e-9


@dataclass(frozen=True, slots=True)
class LogTicks:
    """Ticks of a logarithmic axis.

    Args:
        labelled: Value and label of each, growing.
        marks: Values between that get a mark without a label.
    """

    labelled: tuple[tuple[float, str], ...]
    marks: tuple[float, ...] = ()


def log_ticks(low: float, high: float, length: float, room_of: Callable[[str], float]) -> LogTicks:
    """The ticks of an axis from ``low`` to ``high``.

    Powers of ten are labelled where two of them are in view, and other numbers only where there are
    not. Labels are all plain numbers, or all powers of ten.

    Args:
        low: The lowest number in view, above 0.
        high: The highest, above ``low``.
        length: How long the axis is.
        room_of: How much of the length a label takes, with the gap to the next.
    """
    decades = _within([10.0**exponent for exponent in _exponents(low, high)], low, high)
    if len(decades) < 2:
        chosen = _between(low, high, length, room_of)
        marks = _multiples(low, high)
    else:
        chosen = _fitting(_strided(decades), low, high, length, room_of)
        marks = decades if len(chosen) < len(decades) else _multiples(low, high)
    labelled = {value for value, _ in chosen}
    return LogTicks(chosen, tuple(v for v in marks if v not in labelled)[:_MOST_MARKS])


def is_plain(low: float, high: float) -> bool:
    """Whether the numbers of an axis are written out, instead of as powers of ten."""
    return _PLAIN[0] * (1 - _NEAR) <= low and high <= _PLAIN[1] * (1 + _NEAR)


def labels_of(values: Sequence[float]) -> tuple[str, ...]:
    """The numbers, above 0, in one format."""
    if not values:
        return ()
    plain = is_plain(min(values), max(values))
    found: tuple[str, ...] = ()
    for digits in range(5, 18):
        found = tuple(f"{v:.{digits}g}" if plain else _power(v, digits) for v in values)
        if len(set(found)) == len(values):
            break
    return found


def _power(value: float, digits: int) -> str:
    exponent = math.floor(math.log10(value) + _NEAR)
    factor = f"{value / 10.0**exponent:.{digits}g}"
    power = f"10{str(exponent).translate(_POWERS)}"
    return power if factor == "1" else f"{factor}×{power}"


def _exponents(low: float, high: float) -> range:
    return range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)


def _within(values: Iterable[float], low: float, high: float) -> list[float]:
    return [value for value in values if low * (1 - _NEAR) <= value <= high * (1 + _NEAR)]


def _multiples(low: float, high: float) -> list[float]:
    """2 to 9 times each power of ten."""
    return _within(
        (factor * 10.0**exponent for exponent in _exponents(low, high) for factor in range(2, 10)),
        low,
        high,
    )


def _between(
    low: float, high: float, length: float, room_of: Callable[[str], float]
) -> tuple[tuple[float, str], ...]:
    """Labels where less than two powers of ten are in view."""
    exponents = _exponents(low, high)
    for factors in _FACTORS:
        values = [factor * 10.0**exponent for exponent in exponents for factor in factors]
        seen = _within(values, low, high)
        if len(seen) >= 3:
            return _fitting(_strided(seen), low, high, length, room_of)
    return _fitting(_evenly(low, high), low, high, length, room_of)


def _strided(values: list[float]) -> Iterable[Sequence[float]]:
    """Every one of the values, every second, and so on: with 1 if three remain, else the most."""
    for stride in range(1, len(values) + 1):
        ways = [values[start::stride] for start in range(stride)]
        yield max(ways, key=lambda way: (len(way) > 2 and 1.0 in way, len(way)))


def _evenly(low: float, high: float) -> Iterable[Sequence[float]]:
    """Round numbers at even distances, fewer each time."""
    first = math.floor(math.log10((high - low) / 8))
    for exponent in range(first, first + 3):
        for step in _STEPS[:-1]:
            width = step * 10.0**exponent
            start, end = math.ceil(low / width - _NEAR), math.floor(high / width + _NEAR)
            if end - start < _MOST:
                yield [round(place * width, 12 - exponent) for place in range(start, end + 1)]


def _fitting(
    ways: Iterable[Sequence[float]],
    low: float,
    high: float,
    length: float,
    room_of: Callable[[str], float],
) -> tuple[tuple[float, str], ...]:
    """The first way whose labels do not run into each other; the least crowded where all do."""
    scale = length / (math.log10(high) - math.log10(low))
    found: tuple[tuple[float, str], ...] = ()
    for values in ways:
        if not values:
            break
        found = tuple(zip(values, labels_of(values), strict=True))
        gaps = [
            (math.log10(right) - math.log10(left)) * scale - (room_of(a) + room_of(b)) / 2
            for (left, a), (right, b) in pairwise(found)
        ]
        if len(values) <= _MOST and all(gap >= 0 for gap in gaps):
            break
    return found
