"""PNG: a text chunk of the keyword ``trialbook`` (PNG specification, third edition, 11.3.3).

matplotlib writes it as tEXt. It is read as tEXt, zTXt and iTXt, because programs that keep it may
write it anew. The image is not decoded: pixels are skipped, whatever their size.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from trialbook.records.figure_references import FigureReference
from trialbook.report.carrying.carried import (
    LONGEST_REFERENCE,
    Found,
    Reading,
    plain_reference,
    reading,
)

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KEYWORD = b"trialbook"
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_MOST_CHUNKS = 100_000
_TOO_LONG = 1024 * 1024


def metadata(reference: FigureReference) -> dict[str, str | None]:
    """What matplotlib's ``savefig`` takes as ``metadata=`` for PNG."""
    return {_KEYWORD.decode(): str(reference), "Software": None}


def finished(content: bytes, reference: FigureReference) -> bytes:
    """A PNG with the reference; one that it carries already is replaced.

    Raises:
        ValueError: The content is no PNG.
    """
    if not content.startswith(SIGNATURE):
        raise ValueError("this is no PNG")
    parts = [SIGNATURE]
    at, first = len(SIGNATURE), True
    while at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        kind, chunk = content[at + 4 : at + 8], content[at : at + 12 + length]
        if not (kind in _TEXTS and chunk[8:].startswith(_KEYWORD + b"\0")):
            parts.append(chunk)
        if first:
            parts.append(_chunk(b"tEXt", _KEYWORD + b"\0" + str(reference).encode("ascii")))
        at, first = at + 12 + length, False
    return b"".join(parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def carried(file: BinaryIO) -> Reading:
    """The references of a PNG.

    Args:
        file: Seekable, at its beginning.
    """
    notes: list[str] = []
    return reading(map(Found, _texts(file, notes)), notes)


def _texts(file: BinaryIO, notes: list[str]) -> Iterator[str]:
    """The texts of our keyword; ``notes`` grows while they are taken."""
    file.seek(0, 2)
    size = file.tell()
    at = len(SIGNATURE)
    for _ in range(_MOST_CHUNKS):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            notes.append("the PNG ends before its last chunk")
            return
        length, kind = struct.unpack(">I4s", head)
        if at + 12 + length > size:
            notes.append("the PNG ends before its last chunk")
            return
        if kind in _TEXTS:
            yield from _text(file, kind, length, notes)
        if kind == b"IEND":
            return
        at += 12 + length
    notes.append(f"the PNG has more than {_MOST_CHUNKS:,} chunks")


def _text(file: BinaryIO, kind: bytes, length: int, notes: list[str]) -> Iterator[str]:
    if length > _TOO_LONG:
        return  # a text of ours is never that long
    data = file.read(length)
    keyword, _, rest = data.partition(b"\0")
    if keyword != _KEYWORD:
        return
    if file.read(4) != struct.pack(">I", zlib.crc32(kind + data)):
        notes.append("the PNG's chunk for Trialbook is damaged: its checksum is wrong")
        return
    text = _content(kind, rest)
    found = None if text is None else plain_reference(text)
    if found is None:
        notes.append("the PNG's chunk for Trialbook holds no reference")
    else:
        yield found


def _content(kind: bytes, rest: bytes) -> bytes | None:
    """The text after the keyword; ``None`` when it cannot be read."""
    if kind == b"tEXt":
        return rest
    if kind == b"zTXt":
        return _inflated(rest[1:]) if rest[:1] == b"\0" else None
    flag, method, rest = rest[:1], rest[1:2], rest[2:]
    text = rest.partition(b"\0")[2].partition(b"\0")[2]  # after the language, in two forms
    if flag == b"\0":
        return text
    return _inflated(text) if (flag, method) == (b"\1", b"\0") else None


def _inflated(data: bytes) -> bytes | None:
    try:
        return zlib.decompressobj().decompress(data, LONGEST_REFERENCE)
    except zlib.error:
        return None
