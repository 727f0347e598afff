"""From a file back to the run behind it.

A file leads back in three ways: by the references that it carries (``carrying/``; what they lead
to, ``located_references.py``), by its content (``book/located.py``), and, while the trial runs, by
the directory it lies in. What each finds is put together here. Nothing of the file is executed, and
nothing that it names is opened.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from trialbook.analysis.opening import Storage, opened
from trialbook.book import located as in_book
from trialbook.book.checkpointed_files import saved_in_checkpoints
from trialbook.book.located import Use
from trialbook.book.reading import Reader
from trialbook.errors import TrialbookError
from trialbook.records.figure_references import FigureReference
from trialbook.report.carrying import reading as carrying
from trialbook.report.carrying.carried import Reading
from trialbook.report.located import Kept, Located, RunningPlace
from trialbook.report.located_references import LocatedReferences
from trialbook.report.located_studies import LocatedStudies
from trialbook.report.located_trials import LocatedTrials
from trialbook.report.making_again import Commands
from trialbook.report.opened_files import digest_of_file, opened_file, spooled

STREAM = "-"
_KEPT_SHOWN = 20
_HASHED_ANYWAY = 64 * 1024 * 1024
_DIRECTORY = re.compile(r"trialbook-([0-9]{1,9})-[a-z0-9_]{8}")
_EMPTY = "it is empty, and so are many files: its content leads nowhere"
_CONTENT = (
    "its content among the artifacts, checkpoints, console output, code, data and configuration of "
    "all trials"
)


def locate(file: str | Path | BinaryIO, *, storage: Storage = None) -> Located:
    """Which study and trials a file comes from.

    Args:
        file: A figure, a report, a table, an artifact, a log, an input or a paper that includes
            figures: a path, or an open file or stream of bytes.
        storage: The book to ask.

    Returns:
        What was found; ``is_found`` is false when the book leads to no run behind it, or not to
        those behind everything that it shows.

    Raises:
        NotFoundError: There is no such file.
        InvalidInputError: It is a directory, a pipe, a device, or a file of the book itself.
        UnreadableFileError: It cannot be read.
        BookNotFoundError: There is no book at that place.
    """
    with opened(storage) as reader:
        return Locating(reader, named=storage is not None).of(file)


def references_in(file: str | Path) -> tuple[FigureReference, ...]:
    """The references that a file carries, without a book to ask.

    Raises:
        NotFoundError: There is no such file.
        InvalidInputError: It is a directory, a pipe, a device, or a file of a book.
        UnreadableFileError: It cannot be read.
    """
    with opened_file(Path(file)) as content:
        found = carrying.read(content).reading.carried
    return tuple(dict.fromkeys(each.reference for each in found))


class Locating:
    """Answers for files from one open book; what several files share is read once.

    Args:
        reader: The open book.
        named: Whether commands name the book, because whoever asked did.
    """

    def __init__(self, reader: Reader, *, named: bool) -> None:
        self._reader = reader
        commands = Commands(reader.book.url if named else None)
        self._trials = LocatedTrials(reader, commands)
        self._references = LocatedReferences(LocatedStudies(reader.book), self._trials, commands)

    def of(self, file: str | Path | BinaryIO) -> Located:
        """The answer for one file, as ``locate`` gives it.

        Raises:
            NotFoundError: There is no such file.
            InvalidInputError: It is a directory, a pipe, a device, or a file of the book itself.
            UnreadableFileError: It cannot be read.
        """
        if isinstance(file, (str, Path)):
            path = Path(file)
            with opened_file(path) as content:
                return self._of_content(content, str(file), path)
        with spooled(file) as content:
            return self._of_content(content, STREAM, None)

    def _of_content(self, file: BinaryIO, name: str, path: Path | None) -> Located:
        size = file.seek(0, os.SEEK_END)
        found = carrying.read(file)
        carried, notes = list(found.reading.carried), list(found.reading.notes)
        looked_for = [found.looked_for] if found.looked_for else []
        digest = None
        kept: tuple[Kept, ...] = ()
        kept_in_all = 0
        uses: tuple[Use, ...] = ()
        if size <= _HASHED_ANYWAY or in_book.is_size_known(self._reader.book, size):
            digest = digest_of_file(file)
        if digest is None:
            looked_for.append(f"anything of {size:,} bytes in the book")
        elif not size:
            notes.append(_EMPTY)
        else:
            kept, kept_in_all = self._kept(digest, size)
            uses = in_book.uses(self._reader.book, digest)
            looked_for.append(_CONTENT)
            if path is not None and not carried:
                listed = _listed_beside(path, digest)
                carried, notes = list(listed.carried), [*notes, *listed.notes]
                looked_for.append(f"its content in an {carrying.INDEX} beside it")
        shown, said = self._references.of(carried, found.format)
        located = Located(
            file=name,
            format=found.format,
            size_bytes=size,
            digest=digest,
            shown=shown,
            kept=kept,
            kept_in_all=kept_in_all,
            uses=uses,
            place=None if path is None else self._place(path),
            book=self._reader.book.url,
            looked_for=tuple(looked_for),
            notes=(*notes, *said),
        )
        return _with_advice(located)

    def _kept(self, digest: str, size: int) -> tuple[tuple[Kept, ...], int]:
        """The first of the attempts that kept a content, and how many there are."""
        found, in_all = in_book.keepings(self._reader.book, digest, _KEPT_SHOWN)
        if not found:
            found = saved_in_checkpoints(self._reader.book, digest, size)
            in_all = len(found)
        trials = [self._trials.of(each.study, each.number, each.attempt) for each in found]
        return tuple(map(Kept, found, trials)), in_all

    def _place(self, path: Path) -> RunningPlace | None:
        """The attempt in whose own directory a file lies; trials' directories go when they end."""
        for directory in Path(os.path.realpath(path)).parents:
            found = _DIRECTORY.fullmatch(directory.name)
            if found is not None:
                number = int(found[1])
                running = in_book.running_here(self._reader.book, number)
                return RunningPlace(str(directory), number, running)
        return None


def _listed_beside(path: Path, digest: str) -> Reading:
    """What the index of a report beside a file says of its content."""
    index = carrying.index_beside(path)
    if index is None:
        return Reading()
    try:
        with opened_file(index) as file:
            asked = None if path.name == carrying.INDEX else digest
            return carrying.indexed(file, asked, path.name)
    except TrialbookError as error:
        return Reading(notes=(f"{carrying.INDEX} beside it was not read: {error.what}",))


_ADVICE = {
    "png": "screenshots and programs that write an image anew leave the reference out",
    "svg": "editors that clean an SVG remove its metadata",
    "pdf": (
        "printing to PDF, Ghostscript and other programs that draw pages anew leave references out"
    ),
    "html": "only pages that Trialbook wrote carry references",
}


def _with_advice(located: Located) -> Located:
    """With a note on what else to try, when nothing was found."""
    if located.shown or located.kept or located.uses:
        return located
    why = _ADVICE.get(located.format)
    advice = [] if why is None else [f"it carries no reference: {why}"]
    advice.append(
        "try the file as Trialbook wrote it, the CSV behind it with its index.csv, or an artifact "
        "of the trial"
    )
    return replace(located, notes=(*located.notes, *advice))
