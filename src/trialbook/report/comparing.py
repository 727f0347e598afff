"""The document of a comparison: several studies side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from trialbook.analysis.columns import Column, Holds, Table
from trialbook.analysis.comparison.comparison import StudyComparison, comparison_of
from trialbook.analysis.comparison.curves import BudgetCurves
from trialbook.analysis.comparison.repeating import RULE
from trialbook.analysis.comparison.settings import best_table, settings_table
from trialbook.analysis.comparison.significance import ASSUMED
from trialbook.book.reading import Reader
from trialbook.records.figure_references import FigureReference, ShownStudy
from trialbook.report.document import (
    Block,
    Document,
    FigureBlock,
    Notice,
    Paragraph,
    Section,
    TableBlock,
    Tone,
)
from trialbook.report.figures.comparison import comparison_chart, study_names
from trialbook.report.making_again import COMPARISON
from trialbook.report.shown_studies import shown_studies


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    found: StudyComparison
    reference: FigureReference

    def table(self, name: str, caption: str, table: Table) -> TableBlock:
        return TableBlock(name, caption, table, self.part(name))

    def part(self, name: str) -> FigureReference:
        """The reference of a figure or a table of the comparison."""
        return replace(self.reference, shows=f"{COMPARISON}:{name}")


def comparison_document(
    reader: Reader, names: Sequence[str], *, anonymous: bool = False
) -> Document:
    """Studies side by side, as a document.

    Args:
        reader: The open book.
        names: At least two studies.
        anonymous: Whether to call studies by numbers and to leave out what tells of places.
            ``writing.py`` takes the names out of the rest.

    Raises:
        InvalidInputError: Fewer than two, or one is named twice.
        NotApplicableError: Their objectives cannot be compared.
        NotFoundError: There is no such study.
    """
    found = comparison_of(reader, names, anonymous=anonymous)
    shown = shown_studies(reader, names)
    reference = FigureReference(COMPARISON, shown)
    source = _Source(found, reference)
    return Document(
        title="Comparison of studies",
        summary=(
            f"{len(found.studies)} studies side by side: {study_names(found.studies)}. Made by "
            "Trialbook from the records of every trial."
        ),
        sections=(
            _asked(source),
            _curves(source),
            _tested(source),
            _best(source),
            _replicated(source),
            _sealed(source, shown, _replicates(reader, found)),
        ),
        macros=(),
        reference=source.reference,
    )


def _asked(source: _Source) -> Section:
    found = source.found
    blocks: list[Block] = [Notice(note, Tone.WARNING) for note in found.notes]
    repeated = [group for group in found.groups if len(group.studies) > 1]
    for group in repeated:
        names = ", ".join(found.studies[index].name for index in group.studies)
        seeds = "some of them under one seed" if group.same_seed else "each under its own seed"
        blocks.append(
            Paragraph(
                f"{group.label}: {len(group.studies)} studies that asked the same of the same code "
                f"and data, {seeds} ({names})."
            )
        )
    if not repeated:
        blocks.append(Paragraph("No study repeats another one under a seed of its own."))
    blocks.append(Paragraph(RULE))
    blocks.append(
        source.table(
            "settings",
            "What was asked of each group of studies, and what their newest trials recorded.",
            settings_table(found.settings, found.groups),
        )
    )
    return Section("settings", "Settings side by side", tuple(blocks))


def _curves(source: _Source) -> Section:
    found = source.found
    blocks: list[Block] = []
    for name, curves in (("over-trials", found.trials), ("over-compute", found.compute)):
        blocks += _curve(source, name, curves)
    if not blocks:
        blocks.append(Notice("No curve: there is no single best value so far to draw."))
    return Section("curves", "Best value so far over budget", tuple(blocks))


def _curve(source: _Source, name: str, curves: BudgetCurves | None) -> list[Block]:
    if curves is None:
        return []
    if not curves.groups:
        return [Notice(f"Against {curves.budget}: not known of any group of studies.")]
    chart = comparison_chart(source.found, curves)
    return [FigureBlock(name, chart, source.part(name))]


def _tested(source: _Source) -> Section:
    found = source.found.significance
    title = "Statistical comparison"
    if found is None:
        return Section("tests", title, (Notice("No test: the studies have several objectives."),))
    if not found.budget:
        return Section("tests", title, tuple(Notice(reason) for reason in found.untested))
    blocks: list[Block] = [
        Paragraph(
            f"Each study gives one number, its best value after {found.budget} finished trials: "
            "the largest budget that all studies reached."
        ),
        source.table(
            "reached", "Best values at the common budget, by group.", found.groups_table()
        ),
    ]
    if found.pairs:
        blocks.append(
            source.table(
                "pairs",
                f"Pairs of groups: difference of the means with its {found.level * 100:g} % "
                "interval (Welch), tests, and how often the first is better (A of Vargha and "
                "Delaney).",
                found.pairs_table(),
            )
        )
        blocks.append(Paragraph("Assumptions: " + " ".join(ASSUMED)))
    blocks += [Notice(f"Not tested: {reason}.") for reason in found.untested]
    return Section("tests", title, tuple(blocks))


def _best(source: _Source) -> Section:
    studies = source.found.studies
    title = "Best configurations"
    if studies[0].search.objectives > 1:
        notice = Notice("Several objectives have fronts instead: see each study's own report.")
        return Section("best", title, (notice,))
    caption = "The best trial of each study, its value and its params."
    return Section("best", title, (source.table("best", caption, best_table(studies)),))


def _replicated(source: _Source) -> Section:
    found = source.found.replicated
    title = "Chosen configurations under fresh seeds"
    if found is None:
        reason = "Several objectives: no single configuration was chosen."
        return Section("replicated", title, (Notice(reason),))
    blocks: list[Block] = [Notice(note, Tone.WARNING) for note in found.notes]
    if found.choices:
        blocks.append(
            source.table(
                "replicated",
                "Mean over the replicates of each study's chosen configuration.",
                found.choices_table(),
            )
        )
    if found.pairs:
        blocks.append(
            source.table(
                "replicated-pairs",
                "Pairs of studies: the replicates of their chosen configurations (Welch's t; "
                "independent replicates, means that are about normal; p-values adjusted by Holm).",
                found.pairs_table(),
            )
        )
    if found.absent:
        blocks.append(
            Notice(
                f"Not replicated: {', '.join(found.absent)}. A best value is the best of many, and "
                "what its configuration reaches on average is not known ('trialbook replicate')."
            )
        )
    return Section("replicated", title, tuple(blocks))


def _replicates(reader: Reader, found: StudyComparison) -> list[tuple[str, str | None]]:
    """The studies of replicates that are shown beside their sources, and their seals."""
    choices = () if found.replicated is None else found.replicated.choices
    compared = {study.search.study.name for study in found.studies}
    beside = [choice for choice in choices if choice.linked not in compared]
    sealed_ones = shown_studies(reader, [choice.linked for choice in beside])
    return [
        (f"{choice.study}, its replicates", one.seal)
        for choice, one in zip(beside, sealed_ones, strict=True)
    ]


def _sealed(
    source: _Source, shown: Sequence[ShownStudy], replicates: Sequence[tuple[str, str | None]]
) -> Section:
    table = Table(
        (Column("study", Holds.CODE), Column("seal", Holds.DIGEST)),
        (
            *(
                (study.name, sealed_one.seal)
                for study, sealed_one in zip(source.found.studies, shown, strict=True)
            ),
            *replicates,
        ),
    )
    caption = "The seal of each study: one digest over all of its trials."
    return Section("seals", "Seals", (source.table("seals", caption, table),))
