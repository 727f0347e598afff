"""Text on its way to a terminal: what was recorded must not steer it.

Names, console output and attributes come from other people's programs. Control characters, escape
sequences and the marks that reverse the direction of writing are shown as escapes, never sent.
"""

from __future__ import annotations

import os
import unicodedata
from typing import IO

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_STYLES = {"bold": "1", "dim": "2", "red": "31;1", "yellow": "33;1", "green": "32", "cyan": "36"}


def printable(text: str, *, keep_newlines: bool = False) -> str:
    r"""The text with everything that a terminal would act upon written as an escape.

    Args:
        text: Any text.
        keep_newlines: Leave line feeds, for text that is meant to have lines.

    Returns:
        The text with control, format and surrogate characters as ``\x1b``, ``\u202e`` and so on;
        a backslash that is there already is left alone, so the form is for reading, not undoing.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character
        if character == "\n" and keep_newlines
        else _escaped(character)
        if unicodedata.category(character) in _HIDDEN
        else character
        for character in text
    )


def _escaped(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def coloured(stream: IO[str]) -> bool:
    """Whether colours may be written: to a terminal, unless ``NO_COLOR`` is set (no-color.org)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty()


def styled(text: str, style: str, stream: IO[str]) -> str:
    """Text of our own (never recorded text) in a style, plain where colours are not wanted."""
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if coloured(stream) else text
