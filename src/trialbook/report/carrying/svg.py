"""SVG: the Dublin Core identifier in ``<metadata>``, as matplotlib writes it.

It is read by looking for the element in the bytes, not by an XML parser: so no entity is expanded,
no other file is opened, and a file of any size takes constant memory. In SVG as programs write it
``<`` is an element and never text, so a study's name cannot pretend to be metadata.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from html import unescape
from typing import BinaryIO, cast

from trialbook.records.figure_references import FigureReference
from trialbook.report.carrying.carried import (
    LONGEST_REFERENCE,
    Found,
    Reading,
    plain_reference,
    reading,
    windows,
)

_TAG = re.compile(rb"<(/?)(?:\w{1,40}:)?metadata[\s>]")
_TEXT = re.compile(rb">\s*(trialbook:1\?[^<>\s]+)\s*<")
_INFLATED_AT_MOST = 64 * 1024 * 1024


def metadata(reference: FigureReference) -> dict[str, str | None]:
    """What matplotlib's ``savefig`` takes as ``metadata=`` for SVG."""
    return {"Identifier": str(reference), "Date": None, "Creator": None}


def carried(file: BinaryIO) -> Reading:
    """The references of an SVG, also of a compressed one (``.svgz``).

    Args:
        file: At its beginning.
    """
    notes: list[str] = []
    return reading(map(Found, _texts(file, notes)), notes)


def _texts(file: BinaryIO, notes: list[str]) -> Iterator[str]:
    if file.read(2) == b"\x1f\x8b":
        file.seek(0)
        file = cast(BinaryIO, _Inflated(file, notes))
    else:
        file.seek(0)
    for piece, _ in windows(file, 2 * LONGEST_REFERENCE):
        for element in _elements(piece):
            for text in _TEXT.findall(element):
                found = plain_reference(
                    unescape(text.decode("latin-1")).encode("latin-1", "replace")
                )
                if found is None:
                    notes.append("the SVG's metadata holds a damaged reference")
                else:
                    yield found


def _elements(piece: bytes) -> Iterator[bytes]:
    """The metadata elements that lie whole in a piece; one pass, whatever is in it."""
    begin = None
    for tag in _TAG.finditer(piece):
        if not tag[1]:
            begin = tag.start() if begin is None else begin
        elif begin is not None:
            yield piece[begin : tag.end()]
            begin = None


class _Inflated:
    """A gzip file as its content, up to a limit.

    Args:
        file: The compressed file, at its beginning.
        notes: Told when the content is damaged or passes the limit.
    """

    def __init__(self, file: BinaryIO, notes: list[str]) -> None:
        self._file = file
        self._notes = notes
        self._inflating = zlib.decompressobj(wbits=31)
        self._given = 0

    def read(self, size: int) -> bytes:
        """Up to that many bytes; none at the end."""
        parts: list[bytes] = []
        wanted = size
        try:
            while wanted > 0 and not self._inflating.eof:
                data = self._inflating.unconsumed_tail or self._file.read(64 * 1024)
                if not data:
                    self._notes.append("the compressed SVG ends before its end")
                    break
                parts.append(self._inflating.decompress(data, wanted))
                wanted -= len(parts[-1])
        except zlib.error:
            self._notes.append("the compressed SVG is damaged")
        content = b"".join(parts)
        self._given += len(content)
        if self._given > _INFLATED_AT_MOST:
            self._notes.append("the compressed SVG holds more than 64 MiB")
            return b""
        return content
