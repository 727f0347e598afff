"""From a study in an open book to its document: which sections there are, and in which order."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from trialbook.book.reading import Reader
from trialbook.book.seals import sealed
from trialbook.records.figure_references import MadeWith
from trialbook.report.document import Document, Notice, Section, Tone
from trialbook.report.macros import macros
from trialbook.report.making_again import REPORT
from trialbook.report.place_of_commands import placed
from trialbook.report.sections.checklists import checklists
from trialbook.report.sections.compute import compute
from trialbook.report.sections.configuration import configuration
from trialbook.report.sections.coordinates import coordinates
from trialbook.report.sections.coverage import coverage
from trialbook.report.sections.metrics import metrics
from trialbook.report.sections.overview import overview
from trialbook.report.sections.replicating import replicating
from trialbook.report.sections.rerunning import rerunning
from trialbook.report.sections.sealing import sealing
from trialbook.report.sections.searching import course, sensitivity, training
from trialbook.report.sections.selecting import selecting
from trialbook.report.sections.settings import settings
from trialbook.report.sections.space import search_space
from trialbook.report.sections.trials import all_trials, exclusions, trials
from trialbook.report.source import ReportOptions, ReportSource, report_source

SectionMaker: TypeAlias = Callable[[ReportSource], Section]

SECTIONS: tuple[SectionMaker, ...] = (
    overview,
    search_space,
    settings,
    trials,
    exclusions,
    compute,
    course,
    selecting,
    configuration,
    metrics,
    replicating,
    sensitivity,
    training,
    coordinates,
    coverage,
    sealing,
    rerunning,
    checklists,
    all_trials,
)
"""In the order in which they are read. Each says what is missing instead of being left out."""


def build(reader: Reader, study: str, options: ReportOptions | None = None) -> Document:
    """The report of a study as a document.

    Args:
        reader: The open book.
        study: The study's name.
        options: What the caller chose.

    Returns:
        The same document for the same book, whenever and wherever it is made. An anonymous one
        lacks what its sections leave out; ``writing.py`` takes the names out of the rest.

    Raises:
        NotFoundError: There is no such study.
        BookCorruptError: A row cannot be read.
    """
    source = report_source(reader, study, options or ReportOptions())
    sections = [section(source) for section in SECTIONS]
    if sealed(reader.book, source.study.study_id).seal != source.seal.seal:
        first = sections[0]
        sections[0] = Section(first.name, first.title, (_changed(), *first.blocks))
    name = "the study" if source.anonymous else f"the study {source.study.name}"
    selected = source.selected
    return Document(
        title=f"Report of {name}",
        summary=(
            "Made by Trialbook from the records of every trial, failed, pruned and deleted ones "
            "among them. What was not recorded is said to be missing."
        ),
        sections=placed(sections),
        macros=macros(source),
        reference=source.reference(
            REPORT,
            () if selected is None else (selected.trial.number,),
            made=MadeWith(verified=source.verification is not None),
        ),
        verified=None if source.verification is None else not source.verification.mismatches,
    )


def _changed() -> Notice:
    return Notice(
        "Trials finished or changed while this report was made, so its parts may not agree. "
        "Write it again when no worker runs.",
        Tone.WARNING,
    )
