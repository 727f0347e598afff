"""Markdown, LaTeX and Typst: a comment on a line of its own.

Of CSV nothing can be commented out that every reader skips: it is known by its content, through the
list of files that a report writes beside it (see ``locating.py``).
"""

from __future__ import annotations

import re
from typing import BinaryIO

from trialbook.records.figure_references import FigureReference
from trialbook.report.carrying.carried import Found, Reading, found_in, reading

_LINE = re.compile(
    rb"^[ \t]{0,80}(<!--|%+|//|#)[ \t]{0,80}(trialbook:1\?[A-Za-z0-9_.~%=&+*-]{1,65536}?)"
    rb"[ \t]{0,80}(?:-->)?[ \t]{0,80}\r?$",
    re.MULTILINE,
)


def markdown(reference: FigureReference) -> str:
    """A comment, one line without its end."""
    return f"<!-- {reference} -->"


def latex(reference: FigureReference) -> str:
    """A comment, one line without its end."""
    return f"% {reference}"


def typst(reference: FigureReference) -> str:
    """A comment, one line without its end."""
    return f"// {reference}"


def carried(file: BinaryIO) -> Reading:
    """The references of a text in any of these formats.

    Args:
        file: At its beginning.
    """
    lines = found_in(file, _LINE)
    return reading(Found(line[2].decode("ascii"), None, _writer(line[1])) for line in lines)


def _writer(sign: bytes) -> str:
    return "md" if sign == b"<!--" else "latex" if sign.startswith(b"%") else ""
