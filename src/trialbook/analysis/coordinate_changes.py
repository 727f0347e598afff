"""Which trials of a study ran with other code, data, configuration or environment, and in what.

Of the execution only what they were run by is compared (``records/programs.py``): another objective
of the same file, or other arguments of the program, is in none of the other coordinates.

Every trial is held against one of them, the best: the others are what it was chosen among. What
differs comes from the records of the attempts that count, whoever ran them: a worker that was let
in (``marks.py``), or ``study.optimize`` after an edit. As with workers that join a study, what was
asked of the search is no difference here; ``searches/asked.py`` has it.

Trials that name the same snapshots are looked at once, and each snapshot is read once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trialbook.analysis.marks import differing_trials
from trialbook.analysis.opening import Storage, StudyOrName, name_of, opened
from trialbook.book.coordinate_rows import NamedCoordinates, named_by_one, named_coordinates
from trialbook.book.launch_rows import Launched, launched
from trialbook.book.reading import Reader
from trialbook.errors import BookCorruptError, NotFoundError
from trialbook.records.coordinates import CoordinateDigests, Kind, Snapshot
from trialbook.records.differences import coordinate_differences
from trialbook.records.marks import difference_text, mark_of, named
from trialbook.records.programs import ARGUMENTS, OBJECTIVE, Program, program_differences
from trialbook.records.study import StudyRecord
from trialbook.records.verdict import CoordinateDifference
from trialbook.running.admission import weighed

KINDS = (Kind.CODE, Kind.DATA, Kind.CONFIG, Kind.ENVIRONMENT)
"""The coordinates that trials are compared in as a whole, in this order."""
Differences = tuple[CoordinateDifference, ...]


@dataclass(frozen=True, slots=True)
class Reference:
    """The trial that the others of a study are held against.

    Args:
        number: Its number.
        is_best: Whether it is the best one; else it is the first that was tracked.
        digests: What it names.
        program: What it was run by; ``None`` when that cannot be read.
    """

    number: int
    is_best: bool
    digests: CoordinateDigests
    program: Program | None = None

    @property
    def text(self) -> str:
        """As in ``trial 12, the best``."""
        return f"trial {self.number}, the {'best' if self.is_best else 'first that was tracked'}"


@dataclass(frozen=True, slots=True)
class ChangedTrials:
    """Trials that differ from the reference in the same.

    Args:
        trials: Their numbers, ascending.
        differences: In what, the reference's side first; by coordinate.
        marks: What a worker said of itself in coordinates that cannot be compared.
    """

    trials: tuple[int, ...]
    differences: Differences
    marks: tuple[str, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        """What differs in a few words each, as a mark of a trial says it (``records/marks.py``)."""
        return (*mark_of(self.differences), *self.marks)

    @property
    def weighs(self) -> bool:
        """Whether a worker with these differences would be kept out (``running/admission.py``).

        Else they are what several machines differ in by nature, such as the processor, or other
        arguments, which may be no more than a larger budget.
        """
        others = [one for one in self.differences if one.kind != Kind.EXECUTION]
        return bool(self.other_objective or weighed(others, ()).refused or self.marks)

    @property
    def other_objective(self) -> bool:
        """Whether another objective was run, as another function of the same file."""
        return any(one.what == OBJECTIVE for one in self.of(Kind.EXECUTION))

    @property
    def other_arguments(self) -> bool:
        """Whether they were run by a program with other arguments; what that means, it knows."""
        return any(one.what == ARGUMENTS for one in self.of(Kind.EXECUTION))

    def of(self, kind: Kind) -> Differences:
        """The differences of one coordinate."""
        return tuple(one for one in self.differences if one.kind == kind)

    def differs_in(self, kinds: tuple[Kind, ...]) -> bool:
        """Whether any of these coordinates differs."""
        return bool(_of_kinds(self.marks, kinds)) or any(self.of(kind) for kind in kinds)

    def said(self, kind: Kind, *, anonymous: bool = False) -> str:
        """What differs in one coordinate, the first few things; empty when nothing does.

        Args:
            kind: Which.
            anonymous: Whether to say only how many things.
        """
        texts = [difference_text(one) for one in self.of(kind)]
        marked = (text.partition(": ") for text in self.marks)
        texts += [text for name, _, text in marked if name == kind]
        if anonymous and texts:
            return f"{len(texts)} {'difference' if len(texts) == 1 else 'differences'}"
        return named(texts)


@dataclass(frozen=True, slots=True)
class Version:
    """Trials that ran with one version of a coordinate.

    Args:
        trials: Their numbers, ascending.
        digest: The snapshot that the first of them names; the others differ from it in nothing that
            counts.
        differences: From the reference's version; empty for that one.
    """

    trials: tuple[int, ...]
    digest: str
    differences: Differences


@dataclass(frozen=True, slots=True)
class CoordinateChanges:
    """What the tracked trials of a study ran with, against one of them.

    Args:
        reference: What they are held against; ``None`` when no trial was tracked.
        tracked: How many trials were tracked.
        groups: Those that differ from it, the group of the first trial first; a trial is in one.
        versions: The versions of each coordinate, the reference's first.
        unknown: Trials of which a coordinate cannot be compared, since it was not recorded for
            them or for the reference, or its snapshot cannot be read; of the execution their
            program.
    """

    reference: Reference | None
    tracked: int
    groups: tuple[ChangedTrials, ...]
    versions: dict[Kind, tuple[Version, ...]]
    unknown: dict[Kind, tuple[int, ...]]

    @property
    def weighing(self) -> tuple[ChangedTrials, ...]:
        """The groups that differ in more than what machines differ in by nature."""
        return tuple(group for group in self.groups if group.weighs)

    def changed(self, kinds: tuple[Kind, ...]) -> int:
        """How many trials differ in any of these coordinates."""
        return sum(len(group.trials) for group in self.groups if group.differs_in(kinds))

    def of_another_problem(self, kinds: tuple[Kind, ...]) -> int:
        """How many trials differ in any of these coordinates, or ran another objective."""
        return sum(
            len(group.trials)
            for group in self.groups
            if group.other_objective or group.differs_in(kinds)
        )


def coordinate_changes(study: StudyOrName, *, storage: Storage = None) -> CoordinateChanges:
    """Which trials of a study ran with other code, data, configuration or environment.

    Args:
        study: Its name, or an Optuna study that lies in a book.
        storage: Where the book is; not with an Optuna study.

    Raises:
        NotFoundError: There is no such study.
    """
    with opened(storage, study) as reader:
        record = reader.study(name_of(study))
        return changes_of(
            reader,
            record,
            named_coordinates(reader.book, record.study_id),
            launched(reader.book, record.study_id),
        )


def changes_of(
    reader: Reader,
    study: StudyRecord,
    named: Sequence[NamedCoordinates],
    launched: Sequence[Launched],
) -> CoordinateChanges:
    """The same of a book that is open.

    Args:
        reader: The open book.
        study: The study.
        named: The coordinates that its trials name.
        launched: How they were launched.
    """
    tracked = sum(len(row.trials) for row in named)
    reference = reference_trial(reader, study)
    if reference is None:
        return CoordinateChanges(None, tracked, (), {}, {})
    held = HeldAgainst(reader, reference)
    found = [(row, {kind: held.differences(kind, row.digests) for kind in KINDS}) for row in named]
    unknown = {
        kind: tuple(sorted(n for row, by in found if by[kind] is None for n in row.trials))
        for kind in KINDS
    }
    marks = {}
    if any(unknown.values()):  # else the coordinates say it all
        marks = {one.number: one.differs for one in differing_trials(reader, study.name)}
    programs = {n: held.of_program(way.program) for way in launched for n in way.trials}
    groups: dict[tuple[Differences, tuple[str, ...]], list[int]] = {}
    for row, by in found:
        in_coordinates = tuple(one for kind in KINDS for one in by[kind] or ())
        for number in row.trials:
            said = _of_kinds(marks.get(number, ()), [kind for kind in KINDS if by[kind] is None])
            differences = in_coordinates + programs.get(number, ())
            if differences or said:
                groups.setdefault((differences, said), []).append(number)
    every = (number for row in named for number in row.trials)
    without = every if reference.program is None else (n for n in every if n not in programs)
    unknown[Kind.EXECUTION] = tuple(sorted(without))
    return CoordinateChanges(
        reference,
        tracked,
        tuple(
            sorted(
                (ChangedTrials(tuple(sorted(n)), *key) for key, n in groups.items()),
                key=lambda group: group.trials,
            )
        ),
        {kind: _versions(kind, found) for kind in KINDS},
        {kind: numbers for kind, numbers in unknown.items() if numbers},
    )


def reference_trial(reader: Reader, study: StudyRecord) -> Reference | None:
    """What the trials of a study are held against: its best trial, else its first tracked one."""
    best = reader.leader(study)
    named = None
    if best is not None and best.values[0] == best.values[0]:  # NaN ranks last, and is no choice
        named = named_by_one(reader.book, study.study_id, best.number)
    is_best = named is not None
    named = named or named_by_one(reader.book, study.study_id)
    if named is None:
        return None
    number, digests = named
    ways = launched(reader.book, study.study_id, number)
    return Reference(number, is_best, digests, ways[0].program if ways else None)


class HeldAgainst:
    """In what coordinates differ from those of a reference, each snapshot read once."""

    def __init__(self, reader: Reader, reference: Reference | None) -> None:
        self._reader = reader
        self._digests = CoordinateDigests() if reference is None else reference.digests
        self._program = None if reference is None else reference.program
        self._snapshots: dict[str, Snapshot | None] = {}
        self._differences: dict[str, Differences | None] = {}

    def texts(
        self, digests: CoordinateDigests, program: Program | None, mark: tuple[str, ...] = ()
    ) -> tuple[str, ...]:
        """What differs in a few words each, as ``ChangedTrials.texts``.

        Args:
            digests: What a trial names.
            program: What it was run by; ``None`` when that cannot be read.
            mark: What its worker said of itself, for coordinates that cannot be compared.
        """
        by = {kind: self.differences(kind, digests) for kind in KINDS}
        differences = [one for kind in KINDS for one in by[kind] or ()]
        differences += self.of_program(program)
        return (
            *mark_of(differences),
            *_of_kinds(mark, [kind for kind in KINDS if by[kind] is None]),
        )

    def differences(self, kind: Kind, digests: CoordinateDigests) -> Differences | None:
        """In what a coordinate differs from the reference's; ``None`` when nobody can tell."""
        before, here = self._digests.of(kind), digests.of(kind)
        if before is None or here is None:
            return None
        if before == here:
            return ()
        if here not in self._differences:
            pair = self._snapshot(before), self._snapshot(here)
            self._differences[here] = (
                None if pair[0] is None or pair[1] is None else _counting(*pair)
            )
        return self._differences[here]

    def of_program(self, program: Program | None) -> Differences:
        """In what the program differs from the reference's; empty when nobody can tell."""
        if self._program is None or program is None:
            return ()
        return program_differences(self._program, program)

    def _snapshot(self, digest: str) -> Snapshot | None:
        if digest not in self._snapshots:
            try:
                self._snapshots[digest] = self._reader.snapshot(digest)
            except (NotFoundError, BookCorruptError):
                self._snapshots[digest] = None  # told as unknown; 'verify' names it
        return self._snapshots[digest]


def _counting(before: Snapshot | None, here: Snapshot | None) -> Differences:
    found = coordinate_differences(before, here)
    # A file that one side lacks may be one that only some trials import, while they run. Whatever
    # imports a new file has changed as well: then it is told beside that.
    edited = any(None not in (one.recorded, one.here) for one in found if one.kind == Kind.CODE)
    # What was asked of the search is sorted out by who weighs the differences.
    kept = weighed(found, ())
    counting = {*kept.refused, *kept.told}
    return tuple(
        one
        for one in found
        if one in counting
        and (one.kind != Kind.CODE or edited or None not in (one.recorded, one.here))
    )


def _of_kinds(mark: tuple[str, ...], kinds: Sequence[Kind]) -> tuple[str, ...]:
    names = tuple(f"{kind}:" for kind in kinds)
    return tuple(text for text in mark if text.startswith(names))


def _versions(
    kind: Kind, found: list[tuple[NamedCoordinates, dict[Kind, Differences | None]]]
) -> tuple[Version, ...]:
    trials: dict[Differences, list[int]] = {}
    digests: dict[Differences, str] = {}
    for row, by in found:
        differences, digest = by[kind], row.digests.of(kind)
        if differences is not None and digest is not None:
            trials.setdefault(differences, []).extend(row.trials)
            digests.setdefault(differences, digest)
    ordered = sorted(trials, key=lambda differences: (bool(differences), min(trials[differences])))
    return tuple(Version(tuple(sorted(trials[one])), digests[one], one) for one in ordered)
