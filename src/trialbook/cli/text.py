"""Text on its way to a terminal: what was recorded must not steer it.

Names, console output and attributes come from other people's programs. Control characters, escape
sequences and the marks that reverse the direction of writing are shown as escapes, never sent.
"""

from __future__ import annotations

import os
from typing import IO

from trialbook.records.printable import printable as printable

_STYLES = {"bold": "1", "dim": "2", "red": "31;1", "yellow": "33;1", "green": "32", "cyan": "36"}


def coloured(stream: IO[str]) -> bool:
    """Whether colours may be written: to a terminal, unless ``NO_COLOR`` is set (no-color.org)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty()


def styled(text: str, style: str, stream: IO[str]) -> str:
    """Text of our own (never recorded text) in a style, plain where colours are not wanted."""
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if coloured(stream) else text
