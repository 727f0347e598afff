"""Recorded text on its way into a drawing: on one line, with nothing hidden, and not too long.

Names of params, choices and metrics are other people's. What would break a line, reverse the
direction of writing or cannot be seen is shown as an escape. Each backend escapes what its own
library would interpret.
"""

from __future__ import annotations

import unicodedata

from trialbook.report.charts import Chart, ColorScale, Labels, Panel

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_SPACES = {"\n": " ", "\t": " ", "\r": " "}
_JOINERS = "\u200c\u200d"  # Indic scripts, Persian and emoji need them
_WIDE = frozenset("WF")
ELLIPSIS = "…"


def one_line(text: str) -> str:
    r"""The text without line breaks, control and direction characters as ``\x1b``, ``\u202e``."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    if character in _SPACES:
        return _SPACES[character]
    if character in _JOINERS or unicodedata.category(character) not in _HIDDEN:
        return character
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


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
    found: list[str] = []
    for word in line.split():
        if found and cells_of(found[-1]) + 1 + cells_of(word) <= limit:
            found[-1] += " " + word
        else:
            found.append(word)
    if len(found) <= lines and all(cells_of(part) <= limit for part in found):
        return "\n".join(found)
    if lines > 1 and 1 < len(found) <= lines:
        return "\n".join(shortened(part, limit) for part in found)
    return shortened(line, limit)


def distinct(texts: tuple[str, ...], limit: int) -> tuple[str, ...]:
    """Each text shortened; those that would look the same get their place behind them."""
    short = [shortened(text, limit) for text in texts]
    seen: dict[str, int] = {}
    for text in short:
        seen[text] = seen.get(text, 0) + 1
    return tuple(
        f"{shortened(text, max(limit - 4, 3))} ({index + 1})" if seen[text] > 1 else text
        for index, text in enumerate(short)
    )


def texts_of(chart: Chart) -> tuple[str, ...]:
    """All texts that a drawing of the chart shows, in its order; hovered ones are left out."""
    found: list[str] = []
    for row in chart.panels:
        for panel in row:
            if panel is not None:
                found += _texts_of(panel)
    return tuple(found)


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
    return text[:1]
