"""Reading the references of a file of any format: which format it is, and what stands beside it."""

from __future__ import annotations

import csv
import io
import os
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from trialbook.report.carrying import html, pdf, png, svg, text
from trialbook.report.carrying.carried import Found, Reading, reading

_HEAD = 4096
_SEARCHED_AT_MOST = 4 * 1024 * 1024 * 1024
_TOO_LARGE = "it has more than 4 GiB, so no reference was looked for"
_LARGEST_INDEX = 16 * 1024 * 1024
INDEX = "index.csv"
_COLUMNS = {"file", "reference", "sha256"}
_READERS: dict[str, Callable[[BinaryIO], Reading]] = {
    "png": png.carried,
    "pdf": pdf.carried,
    "svg": svg.carried,
    "html": html.carried,
    "text": text.carried,
}
_WHERE = {
    "png": "a reference in the PNG's text chunks",
    "pdf": "references in the PDF's keywords and in what its pages draw",
    "svg": "a reference in the SVG's metadata",
    "html": "references in the page's elements",
    "text": "a reference in a comment",
}


@dataclass(frozen=True, slots=True)
class FormatReading:
    """What reading a file gave.

    Args:
        format: ``png``, ``pdf``, ``svg``, ``html``, ``text`` or ``other``.
        reading: What it carries.
        looked_for: Where that was looked for, in words; empty for ``other``.
    """

    format: str
    reading: Reading
    looked_for: str


def read(file: BinaryIO) -> FormatReading:
    """The references of a file.

    Args:
        file: Seekable.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    kind = format_of(file.read(_HEAD))
    file.seek(0)
    reader = _READERS.get(kind)
    if reader is None:
        return FormatReading(kind, Reading(), "")
    if size > _SEARCHED_AT_MOST and kind != "png":
        return FormatReading(kind, Reading(notes=(_TOO_LARGE,)), "")
    return FormatReading(kind, reader(file), _WHERE[kind])


def format_of(head: bytes) -> str:
    """The format of a file that begins like this, by its content and not by its name."""
    if head.startswith(png.SIGNATURE):
        return "png"
    if pdf.SIGNATURE in head[:1024]:
        return "pdf"
    if head.startswith(b"\x1f\x8b"):
        return "svg" if b"<svg" in _inflated(head) else "other"
    if b"\0" in head:
        return "other"
    if re.search(rb"<svg[\s>]", head) and not re.search(rb"<html[\s>]", head, re.IGNORECASE):
        return "svg"
    if re.search(rb"<(?:!doctype html|html)[\s>]", head, re.IGNORECASE):
        return "html"
    return "text"


def _inflated(head: bytes) -> bytes:
    """The beginning of a gzip file's content."""
    try:
        return zlib.decompressobj(wbits=31).decompress(head, _HEAD)
    except zlib.error:
        return b""


def indexed(index: BinaryIO, digest: str | None, name: str) -> Reading:
    """What the index of a report says of a CSV file.

    Args:
        index: The file ``index.csv`` beside it.
        digest: SHA-256 of the file; ``None`` for all that the index knows.
        name: Its name.
    """
    content = index.read(_LARGEST_INDEX + 1)
    if len(content) > _LARGEST_INDEX:
        return Reading()
    rows = csv.DictReader(io.StringIO(content.decode("utf-8", "replace"), newline=""))
    found: list[Found] = []
    notes: list[str] = []
    try:
        if not _COLUMNS.issubset(rows.fieldnames or ()):
            return Reading()
        for row in rows:
            if digest is None or row["sha256"] == digest:
                found.append(Found(str(row["reference"]), None, "csv"))
            elif row["file"] == name:
                notes.append(f"{INDEX} beside it knows {name} with other content: it was changed")
    except csv.Error as error:
        return Reading(notes=(f"{INDEX} beside it cannot be read: {error}",))
    return reading(found, [] if found else notes)


def index_beside(path: Path) -> Path | None:
    """The index that may know a file, that file itself for an index; ``None`` without one."""
    index = path.parent / INDEX
    return index if index.is_file() else None
