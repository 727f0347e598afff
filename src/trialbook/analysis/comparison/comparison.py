"""The comparison of studies as one value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trialbook.analysis.comparison.curves import BudgetCurves, compute_curves, trial_curves
from trialbook.analysis.comparison.repeating import Group, groups, repetition_notes
from trialbook.analysis.comparison.replicated import ReplicatedChoices, replicated_choices
from trialbook.analysis.comparison.settings import SettingRow, settings
from trialbook.analysis.comparison.significance import Significance, significance
from trialbook.analysis.comparison.studies import ComparedStudy, compared_studies
from trialbook.analysis.opening import Storage, opened
from trialbook.book.reading import Reader

LEVEL = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class StudyComparison:
    """Several studies side by side.

    Args:
        studies: The studies, in the order in which they were named.
        groups: Which of them repeat one another.
        settings: What was asked of each.
        trials: Best value so far over finished trials; ``None`` with several objectives.
        compute: The same over worker-hours; groups with studies of which they are not known are
            absent.
        significance: What tests say; ``None`` with several objectives.
        replicated: The chosen configurations under fresh seeds, likewise.
        notes: What a reader must know before comparing; empty when nothing stands against it.
    """

    studies: tuple[ComparedStudy, ...]
    groups: tuple[Group, ...]
    settings: tuple[SettingRow, ...]
    trials: BudgetCurves | None
    compute: BudgetCurves | None
    significance: Significance | None
    replicated: ReplicatedChoices | None
    notes: tuple[str, ...]


def compare(
    names: Sequence[str], *, anonymous: bool = False, storage: Storage = None
) -> StudyComparison:
    """Compare studies of one book.

    Args:
        names: At least two studies.
        anonymous: Whether to call them by numbers, and to leave out what tells of places. Commits
            and values stay as they are; ``trialbook.report`` replaces what is telling in them.
        storage: Where the book is.

    Raises:
        InvalidInputError: Fewer than two, or one is named twice.
        NotApplicableError: Their objectives cannot be compared.
        NotFoundError: There is no such study.
    """
    with opened(storage) as reader:
        return comparison_of(reader, names, anonymous=anonymous)


def comparison_of(
    reader: Reader, names: Sequence[str], *, anonymous: bool = False
) -> StudyComparison:
    """The same of a book that is open."""
    studies = compared_studies(reader, names, anonymous=anonymous)
    found = groups(studies, anonymous=anonymous)
    rows = settings(studies, anonymous=anonymous)
    notes = list(_notes(studies, rows))
    notes += repetition_notes(studies, found, anonymous=anonymous)
    if studies[0].search.objectives > 1:
        notes.append(
            "With several objectives no single value is the best so far: compare the fronts and "
            "hypervolumes of the studies' own reports."
        )
        return StudyComparison(studies, found, rows, None, None, None, None, tuple(notes))
    return StudyComparison(
        studies=studies,
        groups=found,
        settings=rows,
        trials=trial_curves(studies, found, LEVEL),
        compute=compute_curves(studies, found, LEVEL),
        significance=significance(studies, found, LEVEL),
        replicated=replicated_choices(reader, studies, anonymous=anonymous),
        notes=tuple(notes),
    )


def _notes(studies: Sequence[ComparedStudy], rows: Sequence[SettingRow]) -> list[str]:
    notes = []
    other = [row.what for row in rows if row.matters and row.differs]
    if other:
        notes.append(
            f"The studies did not search the same problem: they differ in {', '.join(other)}."
        )
    unknown = [study.name for study in studies if not study.snapshots]
    if unknown:
        notes.append(
            f"No code and data are recorded of {', '.join(unknown)}: no trial was tracked."
        )
    mixed = [f"{study.mixed} of {study.name}" for study in studies if study.mixed]
    if mixed:
        notes.append(
            "Trials ran with another objective, code, data or configuration than the best one of "
            "their study: "
            f"{', '.join(mixed)}."
        )
    apart = [study.name for study in studies if study.searched_apart]
    if apart:
        notes.append(
            f"The sampler or pruner was changed while {', '.join(apart)} ran: what is compared is "
            "no single method of search."
        )
    open_ones = [
        study.name
        for study in studies
        if study.search.study.states.get("RUNNING") or study.search.study.states.get("WAITING")
    ]
    if open_ones:
        notes.append(f"Trials of {', '.join(open_ones)} have not finished yet.")
    return notes
