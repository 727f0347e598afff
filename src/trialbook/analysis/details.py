"""One trial in full: its coordinates with their coverage, and what it wrote to the console.

What the book does not hold is said, with the reason, instead of being left out.
"""

from __future__ import annotations

from dataclasses import dataclass

from trialbook.analysis.opening import Storage, StudyOrName, name_of, opened
from trialbook.book.reading import ConsoleText, Reader
from trialbook.errors import BookCorruptError, NotFoundError
from trialbook.records.coordinates import Kind, Snapshot
from trialbook.records.coverage import Coverage
from trialbook.records.references import TrialReference
from trialbook.records.study import AttemptRecord, TrialRecord

NOT_TRACKED = "not tracked"


@dataclass(frozen=True, slots=True)
class CoordinateDetail:
    """One coordinate of an attempt.

    Args:
        kind: Which.
        coverage: How complete it is; absent with a reason where there is no snapshot.
        snapshot: ``None`` when there is none, or when it is damaged.
    """

    kind: Kind
    coverage: Coverage
    snapshot: Snapshot | None


@dataclass(frozen=True, slots=True)
class TrialDetail:
    """A trial with what its current attempt refers to.

    Args:
        trial: The trial.
        coordinates: All five, in the order of ``Kind``.
        console: What the attempt wrote; both streams ``None`` when nothing was captured.
        console_problem: Why the console cannot be read, ``None`` when it can.
    """

    trial: TrialRecord
    coordinates: tuple[CoordinateDetail, ...]
    console: ConsoleText
    console_problem: str | None = None


def detail(
    reference: TrialReference | str | StudyOrName,
    number: int | None = None,
    *,
    storage: Storage = None,
) -> TrialDetail:
    """A trial in full; the arguments are those of ``analysis.trial``.

    Raises:
        NotFoundError: It is not in the book.
        BadReferenceError: The text names no trial.
    """
    study = None if isinstance(reference, (str, TrialReference)) else reference
    with opened(storage, study) as reader:
        return trial_detail(reader, reader.trial(reference_of(reference, number)))


def reference_of(
    reference: TrialReference | str | StudyOrName, number: int | None
) -> TrialReference | str:
    """The reference that these two name: a study with a number, or a reference alone.

    A study without a number stands for its best trial.
    """
    if isinstance(reference, TrialReference):
        return reference
    if isinstance(reference, str) and number is None:
        return reference
    name = name_of(reference)
    return TrialReference(name, number=number, rank=0 if number is None else None)


def trial_detail(reader: Reader, trial: TrialRecord) -> TrialDetail:
    """The details of a trial that was read already."""
    attempt = trial.attempt
    coordinates = []
    for kind in Kind:
        snapshot, problem = snapshot_of(reader, attempt, kind)
        coverage = Coverage.absent(problem) if snapshot is None else snapshot.coverage
        coordinates.append(CoordinateDetail(kind, coverage, snapshot))
    console, console_problem = ConsoleText(None, None), None
    if attempt is not None:
        try:
            console = reader.console(attempt)
        except (NotFoundError, BookCorruptError) as error:
            console_problem = error.what
    return TrialDetail(trial, tuple(coordinates), console, console_problem)


def snapshot_of(
    reader: Reader, attempt: AttemptRecord | None, kind: Kind
) -> tuple[Snapshot | None, str]:
    """The snapshot of an attempt's coordinate, or ``None`` and why there is none."""
    digest = None if attempt is None else attempt.coordinates.of(kind)
    if digest is None:
        return None, NOT_TRACKED
    try:
        return reader.snapshot(digest), ""
    except (NotFoundError, BookCorruptError) as error:
        return None, error.what
