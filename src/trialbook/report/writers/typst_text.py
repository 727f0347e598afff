"""Plain text as data for Typst: nothing in it is markup, long words break, no glyph is missing.

Typst's compiler carries fonts of its own (Libertinus, New Computer Modern, DejaVu Sans Mono), and
only those are used, so that a report is the same on every machine. They have the letters of
European scripts, Hebrew and Arabic, and mathematical signs. A character without a glyph, such as
one of Chinese or an emoji, is shown as its code, ``U+6F22``, in a frame.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from trialbook.records.printable import printable
from trialbook.report.writers.breaking import runs

FONTS = ("Libertinus Serif", "New Computer Modern", "DejaVu Sans Mono", "New Computer Modern Math")
CODE_BEGINS, CODE_ENDS = "\ue000", "\ue001"
"""Around the hexadecimal code of a character without a glyph; both are escaped in any text."""

_DRAWABLE = (
    (0x0020, 0x007E),
    (0x00A0, 0x036F),
    (0x0386, 0x03CE),
    (0x0400, 0x045F),
    (0x05D0, 0x05EA),
    (0x0621, 0x063A),
    (0x0641, 0x0652),
    (0x1E00, 0x1EFF),
    (0x2010, 0x2027),
    (0x2030, 0x205E),
    (0x2070, 0x208E),
    (0x20A0, 0x20BF),
    (0x2190, 0x22FF),
    (0x2500, 0x25FF),
)
"""Blocks of Unicode that the fonts cover, checked by a test."""

Text = list[str | list[str]]
"""Stretches of text, and words as pieces between which a line may end."""


def typst_text(text: str) -> Text:
    """A text as ``report.typ`` takes it."""
    shown = unicodedata.normalize("NFC", printable(text))
    return [
        _drawable(run) if isinstance(run, str) else [_drawable(piece) for piece in run]
        for run in runs(shown)
    ]


def plain(text: str) -> str:
    """A text for a PDF's properties and for screen readers, which need no glyphs."""
    return printable(text)


def _drawable(text: str) -> str:
    if text.isascii():
        return text
    return "".join(_character(character) for character in text)


@lru_cache(maxsize=4096)
def _character(character: str) -> str:
    code = ord(character)
    if any(first <= code <= last for first, last in _DRAWABLE):
        return character
    return f"{CODE_BEGINS}{code:04X}{CODE_ENDS}"
