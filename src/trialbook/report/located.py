"""The answer to "which run made this file?": typed values, worded elsewhere.

``locating.py`` finds them, ``cli/locate_page.py`` prints them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from trialbook.book.located import Keeping, Use


class Standing(StrEnum):
    """What has become of a study since a figure of it was drawn."""

    UNCHANGED = "unchanged"
    """Its seal is the one that the figure carries."""
    GROWN = "grown"
    """The trials that the figure's seal covers are as they were; others were added."""
    DIFFERENT = "different"
    """The seal is another one: trials finished that ran then, or were changed."""
    NOT_SEALED = "not sealed"
    """The figure carries no seal."""
    DELETED = "deleted"
    """The study was deleted; its tombstone is left."""
    NOT_HERE = "not here"
    """The book does not hold the study."""


@dataclass(frozen=True, slots=True)
class LocatedStudy:
    """A study that a figure shows.

    Args:
        name: Its name in the book; ``None`` when the book does not hold it.
        carried_name: Its name in the reference; ``None`` in an opaque one.
        key: ``study_key`` of its identity.
        standing: What has become of it.
        seal: The seal that the figure carries, ``None`` without one.
        seal_now: The study's seal now; ``None`` when the book does not hold it.
        trials: How many trials its seal covers now, likewise.
        added: How many trials were added, for ``GROWN``.
        deleted_s: When it was deleted, seconds since the epoch.
    """

    name: str | None
    carried_name: str | None
    key: str
    standing: Standing
    seal: str | None
    seal_now: str | None = None
    trials: int | None = None
    added: int | None = None
    deleted_s: float | None = None

    @property
    def is_here(self) -> bool:
        """Whether the book holds it with its trials."""
        return self.standing not in (Standing.DELETED, Standing.NOT_HERE)

    @property
    def was_renamed(self) -> bool:
        """Whether it has another name now than the figure says."""
        names = (self.name, self.carried_name)
        return None not in names and self.name != self.carried_name


@dataclass(frozen=True, slots=True)
class CoordinatesInShort:
    """Of the coordinates of an attempt what identifies a result; ``None``: not recorded.

    Args:
        commit: The git commit.
        dirty: Whether the tree differed from it.
        code: Digest of the code snapshot.
        data: Name and digest of each declared input.
        environment: Digest of the environment snapshot.
    """

    commit: str | None = None
    dirty: bool | None = None
    code: str | None = None
    data: tuple[tuple[str, str], ...] = ()
    environment: str | None = None


@dataclass(frozen=True, slots=True)
class LocatedTrial:
    """A trial behind a file.

    Args:
        reference: ``STUDY/NUMBER``.
        state: Its state; ``None`` when it is not in the book any more.
        values: Its objective values.
        attempt: Number of the attempt that the coordinates are of; ``None`` without one.
        coordinates: ``None`` when none were captured.
        rerun: The command that runs it again; ``None`` when nothing was tracked.
        missing: Why it is not there, or why it cannot be run again; empty when nothing is wrong.
    """

    reference: str
    state: str | None
    values: tuple[float, ...] | None = None
    attempt: int | None = None
    coordinates: CoordinatesInShort | None = None
    rerun: str | None = None
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """A reference that the file carries, and what the book says to it.

    Args:
        shows: As in ``FigureReference``.
        page: Page of the file, from 1; ``None`` for the whole file.
        studies: The studies that it shows.
        trials: Trials of the first study: those that it singles out; when it singles out none,
            the study's best one now, if it has one.
        singled_out: Whether the trials are those that it singles out.
        draw: The command that makes the figure, table or report again as the study is now, with
            the options it was made with; ``None`` when the book does not hold the study, or the
            reference does not tell all of the options.
        reference: The reference as the file carries it.
    """

    shows: str
    page: int | None
    studies: tuple[LocatedStudy, ...]
    trials: tuple[LocatedTrial, ...]
    singled_out: bool
    draw: str | None
    reference: str

    @property
    def is_here(self) -> bool:
        """Whether the book holds every study that it shows."""
        return all(study.is_here for study in self.studies)


@dataclass(frozen=True, slots=True)
class Kept:
    """The file's content as an attempt kept it."""

    keeping: Keeping
    trial: LocatedTrial


@dataclass(frozen=True, slots=True)
class RunningPlace:
    """The file lies in the directory of an attempt that runs on this machine.

    Args:
        directory: The directory, as ``trial.dir`` gave it.
        number: The trial's number, which the directory's name tells.
        candidates: The attempts that it may belong to; the name does not tell the study.
    """

    directory: str
    number: int
    candidates: tuple[Keeping, ...]


@dataclass(frozen=True, slots=True)
class Located:
    """What is known of a file.

    Args:
        file: As it was given.
        format: ``png``, ``svg``, ``pdf``, ``html``, ``text`` or ``other``.
        size_bytes: Its length.
        digest: SHA-256 of its content; ``None`` when it need not be computed, because the book
            names nothing of its size.
        shown: What it carries or contains, in the order of the file.
        kept: Attempts that kept the same content, the one that counts first.
        kept_in_all: How many there are, of which ``kept`` has the first ones.
        uses: Studies that have the same content among their inputs.
        place: Where it lies, for a file in a trial's own directory.
        book: The book that was asked, without a password.
        looked_for: What was looked for, one phrase each.
        notes: What could not be read, and what may help, one sentence each.
    """

    file: str
    format: str
    size_bytes: int
    digest: str | None
    shown: tuple[Shown, ...]
    kept: tuple[Kept, ...]
    kept_in_all: int
    uses: tuple[Use, ...]
    place: RunningPlace | None
    book: str
    looked_for: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def is_found(self) -> bool:
        """Whether the book leads to the run behind the file, and behind all that it shows."""
        placed = self.place is not None and len(self.place.candidates) == 1
        any_answer = bool(self.shown or self.kept or self.uses or placed)
        return any_answer and all(shown.is_here for shown in self.shown)
