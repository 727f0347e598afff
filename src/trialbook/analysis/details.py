"""One trial in full: its coordinates with their coverage, its console, which attempts count.

What the book does not hold is said, with the reason, instead of being left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from trialbook.analysis.coordinate_changes import HeldAgainst, Reference, reference_trial
from trialbook.analysis.opening import Storage, StudyOrName, name_of, opened
from trialbook.analysis.places import Place, Places
from trialbook.book.reading import ConsoleText, Reader
from trialbook.errors import BookCorruptError, NotFoundError
from trialbook.records.coordinates import Kind, Snapshot
from trialbook.records.coverage import Coverage
from trialbook.records.programs import Program, brief_launch
from trialbook.records.references import TrialReference
from trialbook.records.returned import unusable_return
from trialbook.records.study import AttemptRecord, SeriesSummary, TrialRecord

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
    """A trial with what one of its attempts refers to.

    Args:
        trial: The trial.
        attempt: The attempt that the rest is about: the one that was asked for, else the one that
            counts, else the last one; ``None`` when there is none.
        series: Every metric of it; of the one that counts, with what it went on from.
        coordinates: All five, in the order of ``Kind``.
        console: What the attempt wrote; both streams ``None`` when nothing was captured.
        console_problem: Why the console cannot be read, ``None`` when it can.
        places: Where each attempt of the trial ran, oldest first.
        against: The trial of the study that others are held against; ``None`` without one.
        changes: In what the attempt's code, data, configuration, environment and program differ
            from those of that trial, a few words each.
        unusable: What the attempt returned that is no result, as in ``unusable_return``.
    """

    trial: TrialRecord
    attempt: AttemptRecord | None
    series: tuple[SeriesSummary, ...]
    coordinates: tuple[CoordinateDetail, ...]
    console: ConsoleText
    console_problem: str | None = None
    places: tuple[Place, ...] = ()
    against: Reference | None = None
    changes: tuple[str, ...] = ()
    unusable: str = ""

    @property
    def place(self) -> Place | None:
        """Where the attempt ran that the rest is about."""
        for attempt, place in zip(self.trial.attempts, self.places, strict=False):
            if attempt == self.attempt:
                return place
        return None

    @property
    def counts(self) -> bool:
        """Whether the attempt is the one whose result is the trial's."""
        return self.attempt is not None and self.attempt.number == self.trial.current

    @property
    def differs(self) -> tuple[str, ...]:
        """In what the attempt's process differed from the study, see ``LaunchState.differs``."""
        for coordinate in self.coordinates:
            if coordinate.kind is Kind.EXECUTION and coordinate.snapshot is not None:
                return tuple(coordinate.snapshot.state.get("differs", ()))
        return ()


def detail(
    reference: TrialReference | str | StudyOrName,
    number: int | None = None,
    *,
    attempt: int | None = None,
    storage: Storage = None,
) -> TrialDetail:
    """A trial in full; the arguments are those of ``analysis.trial``.

    Args:
        reference: The trial, or its study.
        number: The trial's number, with a study.
        attempt: Number of the attempt to look at, ``None`` for the one that counts.
        storage: Where the book is.

    Raises:
        NotFoundError: It is not in the book.
        BadReferenceError: The text names no trial.
    """
    study = None if isinstance(reference, (str, TrialReference)) else reference
    with opened(storage, study) as reader:
        return trial_detail(reader, reader.trial(reference_of(reference, number)), attempt)


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


def trial_detail(reader: Reader, trial: TrialRecord, number: int | None = None) -> TrialDetail:
    """The details of a trial that was read already.

    Args:
        reader: The open book.
        trial: The trial.
        number: Number of the attempt to look at, ``None`` for the one that counts.

    Raises:
        NotFoundError: The trial has no such attempt.
    """
    attempt = _chosen(trial, number)
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
    own = () if attempt is None else attempt.series
    series = trial.series if attempt == trial.attempt else own
    places = Places(reader)
    study = reader.study(trial.study)
    against = reference_trial(reader, study)
    held = HeldAgainst(reader, against)
    return TrialDetail(
        trial,
        attempt,
        series,
        tuple(coordinates),
        console,
        console_problem,
        tuple(map(places.of, trial.attempts)),
        against,
        () if attempt is None else held.texts(attempt.coordinates, _program(coordinates)),
        "" if attempt is None else _unusable(attempt, len(study.directions)),
    )


def _program(coordinates: Sequence[CoordinateDetail]) -> Program | None:
    """What the attempt was run by; ``None`` when that cannot be read."""
    for one in coordinates:
        if one.kind is Kind.EXECUTION and one.snapshot is not None:
            launch = brief_launch(one.snapshot.document)
            return None if launch is None else launch.program
    return None


def _unusable(attempt: AttemptRecord, objectives: int) -> str:
    outcome = None if attempt.outcome is None else attempt.outcome.reason
    return unusable_return(attempt.end_reason, outcome, attempt.returned, objectives)


def _chosen(trial: TrialRecord, number: int | None) -> AttemptRecord | None:
    if number is None:
        return trial.attempt or next(reversed(trial.attempts), None)
    found = replace(trial, current=number).attempt
    if found is None:
        last = f"its last one is {trial.attempts[-1].number}" if trial.attempts else "it has none"
        raise NotFoundError(f"{trial.reference} has no attempt {number}", hint=last)
    return found


def counted_until(trial: TrialRecord) -> dict[int, int | None]:
    """Which attempts of a trial count: number to the last checkpoint that does.

    ``None`` stands for all of an attempt, which is so of the trial's current one. Of attempts
    that are not named nothing counts, whatever they reported.
    """
    counted: dict[int, int | None] = {}
    attempt, until = trial.attempt, None
    while attempt is not None:
        counted[attempt.number] = until
        origin = attempt.resumed_from
        if origin is None:
            break
        until = origin.number
        attempt = replace(trial, current=origin.attempt).attempt
    return counted


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
