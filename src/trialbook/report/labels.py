"""Recorded text on its way into a drawing: on one line, with nothing hidden, and not too long.

Names of params, choices and metrics are other people's. What would break a line, reverse the
direction of writing or cannot be seen is shown as an escape. Each backend escapes what its own
library would interpret.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import combinations, pairwise

from trialbook.records.printable import escaped, is_hidden
from trialbook.report.charts import Chart, ColorScale, Labels, Panel

_SPACES = {"\n": " ", "\t": " ", "\r": " "}
_JOINERS = "\u200c\u200d"  # Indic scripts, Persian and emoji need them
_WIDE = frozenset("WF")
ELLIPSIS = "…"
_MOST_WORDS = 24


def one_line(text: str) -> str:
    r"""The text without line breaks, control and direction characters as ``\x1b``, ``\u202e``."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    if character in _SPACES:
        return _SPACES[character]
    return escaped(character) if is_hidden(character) and character not in _JOINERS else character


def cells_of(text: str) -> int:
    """How many columns of Latin letters the text takes; those of East Asian scripts take two."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in _WIDE else 1
        for c in text
    )


def shortened(text: str, limit: int) -> str:
    """The text on one line, with its middle left out when it takes more than ``limit`` columns.

    Args:
        text: Any text.
        limit: Columns of Latin letters, at least 3.
    """
    line = one_line(text)
    if cells_of(line) <= limit:
        return line
    room = max(limit, 3) - 1
    head = _first(line, room - room // 2)
    tail = _first(line[::-1], room // 2)[::-1]
    return f"{head.rstrip()}{ELLIPSIS}{tail.lstrip()}"


def wrapped(text: str, limit: int, lines: int = 2) -> str:
    """The text broken at spaces into at most so many lines, shortened when it still is too long.

    Args:
        text: Any text.
        limit: Columns of a line.
        lines: How many lines at the most.
    """
    line = one_line(text)
    if cells_of(line) <= limit:
        return line
    words = line.split(" ")
    for count in range(2, lines + 1):
        ways = _ways(words, count)
        fitting = [way for way in ways if max(map(cells_of, way)) <= limit]
        if fitting:
            best = min(fitting, key=_uneven)
            return "\n".join(best)
    almost = [way for way in _ways(words, lines) if sum(cells_of(p) > limit for p in way) == 1]
    if almost:
        best = min(almost, key=_uneven)
        return "\n".join(shortened(part, limit) for part in best)
    return shortened(line, limit)


def _ways(words: list[str], count: int) -> list[tuple[str, ...]]:
    """Every way to put the words on so many lines; none when they are too few, or very many."""
    if len(words) < count or len(words) > _MOST_WORDS:
        return []
    return [
        tuple(" ".join(words[a:b]) for a, b in pairwise((0, *cuts, len(words))))
        for cuts in combinations(range(1, len(words)), count - 1)
    ]


def _uneven(way: Sequence[str]) -> tuple[bool, int]:
    """What is least for the best way: a break before a parenthesis, then lines of equal length."""
    return not any(part.startswith("(") for part in way[1:]), max(map(cells_of, way))


def distinct(texts: Sequence[str], limit: int) -> tuple[str, ...]:
    """Each text shortened so that different ones look different, where there is room for it.

    Texts that would look the same are shown around the place where they begin to differ; if that is
    not enough, they get their place among all behind them.
    """
    short = [shortened(text, limit) for text in texts]
    for group in _alike(texts, short):
        lines = [one_line(texts[index]) for index in group]
        head = _shared(lines)
        tail = _shared([line[head:][::-1] for line in lines])
        for index, line in zip(group, lines, strict=True):
            short[index] = _around(line, head, len(line) - tail, limit)
    for group in _alike(texts, short):
        for index in group:
            short[index] = f"{shortened(short[index], max(limit - 5, 3))} ({index + 1})"
    return tuple(short)


def _alike(texts: Sequence[str], short: Sequence[str]) -> list[list[int]]:
    """The places of different texts that look the same."""
    groups: dict[str, list[int]] = {}
    for index, text in enumerate(short):
        groups.setdefault(text, []).append(index)
    return [group for group in groups.values() if len({texts[index] for index in group}) > 1]


def _shared(lines: Sequence[str]) -> int:
    """How many first characters all have in common."""
    first, last = min(lines), max(lines)
    return next((i for i, c in enumerate(first) if c != last[i]), len(first))


def _around(line: str, start: int, end: int, limit: int) -> str:
    """A part of a line with what differs in it and as much before and after as fits."""
    end = max(end, start + 1)
    room = max(limit - (end - start) - 2, 0)
    first = max(start - (room - room // 2), 0)
    last = min(end + room // 2, len(line))
    part = line[first:last]
    head = ELLIPSIS if first else ""
    tail = ELLIPSIS if last < len(line) else ""
    return f"{head}{shortened(part, max(limit - len(head) - len(tail), 3))}{tail}"


def axis_labels(labels: Sequence[str], letters: int, lines: int = 3) -> dict[str, str]:
    """How each of a chart's labels is drawn: on a few lines or shortened, and still told apart.

    Args:
        labels: Whole labels; the same one can come again.
        letters: Columns of a line.
        lines: How many lines at the most.
    """
    kept = tuple(dict.fromkeys(labels))
    found = {text: wrapped(text, letters, lines) for text in kept}
    if len(set(found.values())) < len(kept):
        return dict(zip(kept, distinct(kept, letters), strict=True))
    return found


def texts_of(chart: Chart) -> tuple[str, ...]:
    """All texts that a drawing of the chart shows, in its order; hovered ones are left out."""
    found: list[str] = []
    for row in chart.panels:
        for panel in row:
            if panel is not None:
                found += _texts_of(panel)
    return tuple(map(one_line, found))


def _texts_of(panel: Panel) -> list[str]:
    found = [panel.title, panel.empty]
    for axis in (panel.x, panel.y):
        found += [axis.label, *axis.categories, *(label for _, label in axis.ticks or ())]
    for mark in panel.marks:
        found += mark.texts if isinstance(mark, Labels) else [getattr(mark, "label", "")]
    if isinstance(panel.color, ColorScale):
        found.append(panel.color.label)
    return found


def _first(text: str, room: int) -> str:
    """As many characters as fit into so many columns."""
    for count in range(min(room, len(text)), 0, -1):
        if cells_of(text[:count]) <= room:
            return text[:count]
    return ""
