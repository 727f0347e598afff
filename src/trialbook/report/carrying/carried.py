"""What reading a file for references gives: the references, where they lie, what was not read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from trialbook.errors import BadReferenceError
from trialbook.records.figure_references import REFERENCE, FigureReference, figure_reference

LONGEST_REFERENCE = 64 * 1024
"""Bytes; a comparison of a dozen studies with long names takes a tenth of it."""
MOST_REFERENCES = 1000
"""Different ones of a file; a report has some fifty."""
_MOST_STUDIES = 5000
"""Of all references of a file; one of a comparison has some."""
_WRONG_QUOTED = 3

_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Carried:
    """A reference in a file.

    Args:
        reference: What it says.
        page: The page it lies on, from 1; ``None`` for the whole file.
        writer: The format of a report, ``md``, ``latex`` or ``csv``, that has references like this
            one; empty where the file's own format tells.
    """

    reference: FigureReference
    page: int | None = None
    writer: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """A text that may be a reference; the rest is as in ``Carried``."""

    text: str
    page: int | None = None
    writer: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """What was found in a file.

    Args:
        carried: The references in the order of the file, each once a page.
        notes: What could not be read and may hold more, as sentences without a full stop.
    """

    carried: tuple[Carried, ...] = ()
    notes: tuple[str, ...] = ()


def reading(found: Iterable[Found], notes: Iterable[str] = ()) -> Reading:
    """From texts; one that is no reference becomes a note. Those after the first thousand are left.

    Args:
        found: The texts.
        notes: What else is said; it may grow while the texts are taken.
    """
    carried: dict[Carried, None] = {}
    wrong: dict[str, None] = {}
    seen: set[Found] = set()
    more: list[str] = []
    studies = 0
    for each in found:
        if each in seen:
            continue
        if len(seen) == MOST_REFERENCES:
            more.append(f"it carries more than the {MOST_REFERENCES:,} references that are read")
            break
        seen.add(each)
        try:
            reference = figure_reference(each.text)
        except BadReferenceError as error:
            wrong[error.what] = None
            continue
        studies += len(reference.studies)
        if studies > _MOST_STUDIES:
            more.append(
                f"its references name more than the {_MOST_STUDIES:,} studies that are read"
            )
            break
        carried[Carried(reference, each.page, each.writer)] = None
    if len(wrong) > _WRONG_QUOTED:
        more.append(f"and {len(wrong) - _WRONG_QUOTED} others are none")
    said = dict.fromkeys([*notes, *list(wrong)[:_WRONG_QUOTED], *more])
    return Reading(tuple(carried), tuple(said))


def windows(file: BinaryIO, overlap: int) -> Iterator[tuple[bytes, bool]]:
    """A file by pieces that overlap, so that what is shorter lies whole in one of them.

    Args:
        file: Read from where it stands.
        overlap: Bytes that a piece repeats of the one before.

    Yields:
        A piece, and whether it is the last one.
    """
    piece = file.read(_CHUNK + overlap)
    while True:
        following = file.read(_CHUNK)
        yield piece, not following
        if not following:
            return
        piece = piece[-overlap:] + following


def found_in(file: BinaryIO, pattern: re.Pattern[bytes]) -> Iterator[re.Match[bytes]]:
    """What a pattern finds in a file; a reference across pieces is found too.

    Args:
        file: At its beginning.
        pattern: Matches at most about ``LONGEST_REFERENCE`` bytes.
    """
    for piece, _ in windows(file, LONGEST_REFERENCE):
        yield from pattern.finditer(piece)


def plain_reference(text: bytes) -> str | None:
    """The one reference that a text is, spaces around it left out; ``None`` when it is none."""
    match = REFERENCE.fullmatch(text.strip())
    return match.group().decode("ascii") if match else None
