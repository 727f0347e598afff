"""HTML: one ``<meta name="trialbook">`` for the page, ``data-reference`` on figures and tables.

Values stand in double quotes. In text and in scripts a double quote is always written as an entity
or after a backslash, so a study's name cannot pretend to be an attribute. Reading looks for the
attributes in the bytes: a page of any size takes constant memory, and nothing in it is executed.
"""

from __future__ import annotations

import re
from html import escape, unescape
from typing import BinaryIO

from trialbook.records.figure_references import FigureReference
from trialbook.report.carrying.carried import Found, Reading, found_in, reading

NAME = "trialbook"
ATTRIBUTE = "data-reference"
_VALUE = re.compile(rb'(?:data-reference|content)\s{0,9}=\s{0,9}"(trialbook:1\?[^"<>\s]{1,65536})"')


def meta(reference: FigureReference) -> str:
    """The element for the head of a page."""
    return f'<meta name="{NAME}" content="{escape(str(reference))}">'


def attribute(reference: FigureReference) -> str:
    """The attribute for the element of a figure or a table, without spaces around it."""
    return f'{ATTRIBUTE}="{escape(str(reference))}"'


def carried(file: BinaryIO) -> Reading:
    """The references of a page: its own first, then those of its figures and tables.

    Args:
        file: At its beginning.
    """
    values = (found[1].decode("ascii", "replace") for found in found_in(file, _VALUE))
    return reading(Found(unescape(value)) for value in values)
