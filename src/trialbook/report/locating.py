"""From a file back to the run behind it.

A file leads back in three ways: by the reference that it carries (``carrying/``), by its content
(``book/located.py``), and, while the trial runs, by the directory it lies in. What each finds is
put together here. Nothing of the file is executed, and nothing that it names is opened.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, TypeVar

from trialbook.analysis.opening import Storage, opened
from trialbook.book import located as in_book
from trialbook.book.checkpointed_files import saved_in_checkpoints
from trialbook.book.located import StudyIdentity, Use
from trialbook.book.reading import Reader
from trialbook.book.study_facts import sealed
from trialbook.errors import BookCorruptError, NotFoundError, TrialbookError
from trialbook.records.coordinates import CoordinateDigests
from trialbook.records.figure_references import FigureReference, ShownStudy
from trialbook.records.references import TrialReference
from trialbook.records.shell_words import arguments, shell_word
from trialbook.records.study import TrialRecord
from trialbook.report.carrying import reading as carrying
from trialbook.report.carrying.carried import Carried
from trialbook.report.located import (
    CoordinatesInShort,
    Kept,
    Located,
    LocatedStudy,
    LocatedTrial,
    RunningPlace,
    Shown,
    Standing,
)
from trialbook.report.opened_files import digest_of_file, opened_file, spooled

STREAM = "-"
_State = TypeVar("_State")
_KEPT_SHOWN = 20
_TRIALS_SHOWN = 50
_HASHED_ANYWAY = 64 * 1024 * 1024
_DIRECTORY = re.compile(r"trialbook-([0-9]{1,9})-[a-z0-9_]{8}")
_EMPTY = "it is empty, and so are many files: its content leads nowhere"


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
        OSError: It cannot be read.
        BookNotFoundError: There is no book at that place.
    """
    with opened(storage) as reader:
        return Locating(reader, named=storage is not None).of(file)


def references_in(file: str | Path) -> tuple[FigureReference, ...]:
    """The references that a file carries, without a book to ask.

    Raises:
        NotFoundError: There is no such file.
        InvalidInputError: It is a directory, a pipe, a device, or a file of a book.
        OSError: It cannot be read.
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
        self._named = named
        self._trials: dict[tuple[str, int, int | None], LocatedTrial] = {}
        self._leaders: dict[str, tuple[int, ...]] = {}
        self._studies: dict[ShownStudy, LocatedStudy] = {}
        self._coordinates: dict[CoordinateDigests, CoordinatesInShort] = {}

    def of(self, file: str | Path | BinaryIO) -> Located:
        """The answer for one file, as ``locate`` gives it.

        Raises:
            NotFoundError: There is no such file.
            InvalidInputError: It is a directory, a pipe, a device, or a file of the book itself.
            OSError: It cannot be read.
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
        if size <= _HASHED_ANYWAY or in_book.is_size_known(self._reader.book, size):
            digest = digest_of_file(file)
        kept: tuple[Kept, ...] = ()
        kept_in_all = 0
        uses: tuple[Use, ...] = ()
        if digest is None:
            looked_for.append(f"anything of {size:,} bytes in the book")
        elif size:
            keepings, kept_in_all = in_book.keepings(self._reader.book, digest, _KEPT_SHOWN)
            if not keepings:
                keepings = saved_in_checkpoints(self._reader.book, digest, size)
                kept_in_all = len(keepings)
            kept = tuple(Kept(k, self._trial(k.study, k.number, k.attempt)) for k in keepings)
            uses = in_book.uses(self._reader.book, digest)
            looked_for.append(
                "its content among the artifacts, checkpoints, console output, code, data and "
                "configuration of all trials"
            )
            if path is not None and not carried:
                listed, said = _listed_beside(path, digest)
                carried, notes = [*carried, *listed], [*notes, *said]
                looked_for.append(f"its content in an {carrying.INDEX} beside it")
        else:
            notes.append(_EMPTY)
        place = None if path is None else self._place(path)
        located = Located(
            file=name,
            format=found.format,
            size_bytes=size,
            digest=digest,
            shown=tuple(self._shown(each) for each in carried),
            kept=kept,
            kept_in_all=kept_in_all,
            uses=uses,
            place=place,
            book=self._reader.book.url,
            looked_for=tuple(looked_for),
            notes=tuple(notes),
        )
        return _with_advice(located)

    # What a reference leads to

    def _shown(self, carried: Carried) -> Shown:
        reference = carried.reference
        studies = tuple(self._study(shown) for shown in reference.studies)
        first = studies[0]
        trials: tuple[LocatedTrial, ...] = ()
        if first.is_here and first.name is not None:
            numbers = reference.trials[:_TRIALS_SHOWN] or self._best(first.name)
            trials = tuple(self._trial(first.name, number) for number in numbers)
        names = [study.name for study in studies if study.is_here and study.name is not None]
        draw = self._drawing(reference, names) if len(names) == len(studies) else None
        return Shown(
            shows=reference.shows,
            page=carried.page,
            studies=studies,
            trials=trials,
            singled_out=bool(reference.trials),
            draw=draw,
            reference=str(reference),
        )

    def _best(self, study: str) -> tuple[int, ...]:
        """The number of a study's best trial now; none without one."""
        if study not in self._leaders:
            leader = self._reader.leader(self._reader.study(study))
            self._leaders[study] = () if leader is None else (leader.number,)
        return self._leaders[study]

    def _study(self, shown: ShownStudy) -> LocatedStudy:
        if shown not in self._studies:
            identity = in_book.identities(self._reader.book, {shown.key}).get(shown.key)
            self._studies[shown] = self._standing(shown, identity)
        return self._studies[shown]

    def _standing(self, shown: ShownStudy, identity: StudyIdentity | None) -> LocatedStudy:
        book = self._reader.book
        if identity is None:
            return LocatedStudy(None, shown.name, shown.key, Standing.NOT_HERE, shown.seal)
        now = sealed(book, identity.study_id)
        standing, added = Standing.UNCHANGED, None
        if identity.deleted_s is not None:
            standing = Standing.DELETED
        elif shown.seal is None:
            standing = Standing.NOT_SEALED
        elif shown.seal != now.seal:
            covered = in_book.covered(book, identity.study_id, shown.seal)
            standing = Standing.DIFFERENT if covered is None else Standing.GROWN
            added = None if covered is None else now.trials - covered
        return LocatedStudy(
            name=identity.name,
            carried_name=shown.name,
            key=shown.key,
            standing=standing,
            seal=shown.seal,
            seal_now=now.seal,
            trials=now.trials,
            added=added,
            deleted_s=identity.deleted_s,
        )

    def _drawing(self, reference: FigureReference, names: Sequence[str]) -> str | None:
        """The command that makes the same of the studies as they are now."""
        from trialbook.report.figures.kinds import KINDS

        shows = reference.shows
        if shows == "comparison":
            return self._command("compare", *names, options=("--write", "html"))
        if shows == "report":
            return self._command("report", names[0])
        if shows.startswith("table:"):
            return self._command("report", names[0], options=("--format", "csv"))
        if shows in [kind.name for kind in KINDS]:
            return self._command("plot", names[0], shows)
        return None

    # What a trial is

    def _trial(self, study: str, number: int, attempt: int | None = None) -> LocatedTrial:
        """A trial, with the coordinates of this attempt; of the one that counts by default."""
        key = (study, number, attempt)
        if key not in self._trials:
            name = TrialReference(study, number)
            try:
                self._trials[key] = self._of_record(self._reader.trial(name), attempt)
            except NotFoundError as error:
                self._trials[key] = LocatedTrial(str(name), None, missing=error.what)
        return self._trials[key]

    def _of_record(self, record: TrialRecord, number: int | None) -> LocatedTrial:
        attempt = record.attempt
        if number is not None:
            attempt = next((a for a in record.attempts if a.number == number), attempt)
        tracked = attempt is not None and attempt.seeds is not None
        coordinates = None
        if attempt is not None and tracked:
            coordinates = self._in_short(attempt.coordinates)
        return LocatedTrial(
            reference=record.reference,
            state=record.state,
            values=record.values,
            attempt=None if attempt is None else attempt.number,
            coordinates=coordinates,
            rerun=self._command("rerun", record.reference) if tracked else None,
            missing="" if tracked else "it was not tracked, so it cannot be run again",
        )

    def _in_short(self, digests: CoordinateDigests) -> CoordinatesInShort:
        key = CoordinateDigests(digests.code, digests.data, None, digests.environment, None)
        if key not in self._coordinates:
            git = self._state(key.code, _Code).git
            inputs = self._state(key.data, _Data).inputs
            self._coordinates[key] = CoordinatesInShort(
                commit=None if git is None else git.commit,
                dirty=None if git is None else git.dirty,
                code=key.code,
                data=tuple((each.name, each.digest) for each in inputs),
                environment=key.environment,
            )
        return self._coordinates[key]

    def _state(self, digest: str | None, kind: type[_State]) -> _State:
        if digest is None:
            return kind()
        try:
            return self._reader.snapshot(digest).state_as(kind)
        except (NotFoundError, BookCorruptError):
            return kind()  # 'verify' names it; here it is not known

    # Where a file lies

    def _place(self, path: Path) -> RunningPlace | None:
        """The attempt in whose own directory a file lies; trials' directories go when they end."""
        for directory in Path(os.path.realpath(path)).parents:
            found = _DIRECTORY.fullmatch(directory.name)
            if found is not None:
                number = int(found[1])
                running = in_book.running_here(self._reader.book, number)
                return RunningPlace(str(directory), number, running)
        return None

    def _command(self, command: str, *of: str, options: Sequence[str] = ()) -> str:
        """A command line, quoted for a POSIX shell."""
        words = ["trialbook", command, *options]
        if self._named:
            words += ["--storage", self._reader.book.url]
        return " ".join([*map(shell_word, words), arguments(*of)])


@dataclass(frozen=True, slots=True)
class _Git:
    commit: str | None = None
    dirty: bool | None = None


@dataclass(frozen=True, slots=True)
class _Code:
    """Of the code's state only what git said; the files are long to read."""

    git: _Git | None = None


@dataclass(frozen=True, slots=True)
class _Input:
    name: str
    digest: str


@dataclass(frozen=True, slots=True)
class _Data:
    """Of the data's state only the declared inputs."""

    inputs: tuple[_Input, ...] = ()


def _listed_beside(path: Path, digest: str) -> tuple[tuple[Carried, ...], tuple[str, ...]]:
    """What the index of a report beside a file says of its content."""
    index = carrying.index_beside(path)
    if index is None:
        return (), ()
    try:
        with opened_file(index) as file:
            asked = None if path.name == carrying.INDEX else digest
            found = carrying.indexed(file, asked, path.name)
    except (TrialbookError, OSError) as error:
        return (), (f"{carrying.INDEX} beside it cannot be read: {error}",)
    return found.carried, found.notes


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
