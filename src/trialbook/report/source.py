"""What sections are made from: a study with what several of them look at, read once.

Facts come from ``trialbook.analysis`` and the book's read side; sections turn them into blocks. How
blocks of a document are named and referenced is here too, so that no section can forget it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from trialbook.analysis.columns import Table
from trialbook.analysis.compute import ComputeUse, compute_of
from trialbook.analysis.coordinate_changes import CoordinateChanges, changes_of
from trialbook.analysis.details import TrialDetail, trial_detail
from trialbook.analysis.exclusions import Exclusions, exclusions_of
from trialbook.analysis.failures import Failures, failures_of
from trialbook.analysis.gaps import Gaps, gaps_of
from trialbook.analysis.isolation import IsolationUse, isolation_of
from trialbook.analysis.replication import Replication, replications
from trialbook.analysis.searches.search import Search, search_of
from trialbook.analysis.searches.space import Space, space
from trialbook.book.launch_rows import launched
from trialbook.book.reading import Reader
from trialbook.book.replicates import linked_studies
from trialbook.book.seals import StudySeal, sealed
from trialbook.book.study_facts import SeededTrials, seeded
from trialbook.book.verification import Verification, verify
from trialbook.errors import BookReadOnlyError, MissingPackageError, NotApplicableError
from trialbook.records.coordinates import Kind, State
from trialbook.records.figure_references import USUAL, FigureReference, MadeWith, ShownStudy
from trialbook.records.references import TrialReference
from trialbook.records.shell_words import arguments
from trialbook.records.study import StudyRecord
from trialbook.report.document import Command, FigureBlock, Notice, TableBlock
from trialbook.report.figures.kinds import (
    FigureOptions,
    FigureSource,
    StudyFigure,
    figure_kind,
    study_figures,
)
from trialbook.report.figures.wording import objective_name
from trialbook.report.making_again import made_with
from trialbook.report.shown_studies import shown_studies

PLACEHOLDER = "STUDY"
"""What commands of an anonymous report call the study."""
MOST_OBJECTIVES = 4
"""Of so many objectives a report has the figures that show one: those of more would fill it."""


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """What a caller may choose.

    Args:
        anonymous: Leave out names, hosts, paths and remotes.
        verify: Compute every digest of the study again, and say what came out.
        figures: Draw figures; without them the report says that it has none.
        figure: What figures are drawn with.
    """

    anonymous: bool = False
    verify: bool = False
    figures: bool = True
    figure: FigureOptions = field(default_factory=FigureOptions)


@dataclass(frozen=True, slots=True, eq=False)
class Account:
    """What several sections count: each counted once.

    Args:
        compute: What the attempts took.
        gaps: How complete the records are.
        exclusions: Which trials cannot be selected.
        failures: What came to no result.
        seeds: How the trials were seeded.
        different_seeds: How many different seeds they had.
        space: The search space, ``None`` when no trial has asked for a param.
        isolation: How trials were kept apart.
        changes: Which trials ran with other code, data, configuration or environment, or were run
            by something else.
    """

    compute: ComputeUse
    gaps: Gaps
    exclusions: Exclusions
    failures: Failures
    seeds: tuple[SeededTrials, ...]
    different_seeds: int
    space: Space | None
    isolation: IsolationUse
    changes: CoordinateChanges


@dataclass(frozen=True, slots=True, eq=False)
class ReportSource:
    """A study that is reported on.

    Args:
        reader: The open book.
        study: The study.
        search: Its search.
        seal: Its seal when reading began.
        selected: The best trial; ``None`` without one, or with several objectives.
        shown: The trial whose coordinates are shown: the selected one, else the first of the front,
            else the newest that was tracked; ``None`` without any.
        replications: What its replicates came to; empty without any.
        linked: The studies that hold them, with their seals before they were read.
        untold: Why test metrics of the replicates are not shown; empty when they are, or are not
            there.
        account: What several sections count.
        verification: What came of computing every digest again; ``None`` when nobody asked for it.
        options: What the caller chose.
    """

    reader: Reader
    study: StudyRecord
    search: Search
    seal: StudySeal
    selected: TrialDetail | None
    shown: TrialDetail | None
    replications: tuple[Replication, ...]
    linked: tuple[ShownStudy, ...]
    untold: str
    account: Account
    verification: Verification | None
    options: ReportOptions

    @property
    def anonymous(self) -> bool:
        """Whether names, hosts, paths and remotes are left out."""
        return self.options.anonymous

    @property
    def holds_replicates(self) -> bool:
        """Whether the study is one of replicates itself."""
        return any(one.study == self.study.name for one in self.replications)

    @property
    def front_first(self) -> TrialDetail | None:
        """The first trial of the front of several objectives; ``None`` without one."""
        return self.shown if self.search.objectives > 1 and len(self.search.front) else None

    @property
    def command_name(self) -> str:
        """The study as the last word of a command, quoted for a POSIX shell."""
        return PLACEHOLDER if self.anonymous else arguments(self.study.name)

    def trial_name(self, number: int) -> str:
        """A trial as the last word of a command, quoted for a POSIX shell."""
        if self.anonymous:
            return f"{PLACEHOLDER}/{number}"
        return arguments(f"{self.study.name}/{number}")

    def reference(
        self,
        shows: str,
        trials: tuple[int, ...] = (),
        also: tuple[str, ...] = (),
        made: MadeWith = USUAL,
    ) -> FigureReference:
        """What something of this report carries; ``also`` names further studies that it shows."""
        shown = ShownStudy.of(self.study.name, self.study.uid, self.seal.seal)
        beside = (one for one in self.linked if one.name in also)
        return FigureReference(shows, (shown, *beside), trials, made)

    def class_name(self, dotted: str) -> str:
        """A class as it may be named: without its module in an anonymous report."""
        return dotted.rpartition(".")[2] if self.anonymous else dotted

    def table(
        self,
        name: str,
        caption: str,
        table: Table,
        *,
        trials: tuple[int, ...] = (),
        shown: int | None = None,
        also: tuple[str, ...] = (),
    ) -> TableBlock:
        """A table with its reference; ``shown`` as in ``TableBlock``, ``also`` as in a chart."""
        reference = self.reference(f"table:{name}", trials, also)
        return TableBlock(name, caption, table, reference, shown)

    def figures(self, *kinds: str) -> list[FigureBlock | Notice | Command]:
        """Figures of the study, or why there are none.

        Args:
            *kinds: Their kinds. Those of one objective are there for each of the first
                ``MOST_OBJECTIVES``, and how the others are drawn is told.
        """
        blocks: list[FigureBlock | Notice | Command] = []
        left_out = False
        for kind in map(figure_kind, kinds):
            if not self.options.figures:
                blocks.append(Notice(f"{kind.title}: figures were left out."))
                continue
            figures = study_figures(kind, self.search.objectives, self.options.figure)
            left_out |= len(figures) > MOST_OBJECTIVES
            blocks += self._of_kind(figures[:MOST_OBJECTIVES])
        if left_out:
            blocks += self._beyond()
        return blocks

    def _of_kind(self, figures: tuple[StudyFigure, ...]) -> list[FigureBlock | Notice]:
        """Figures of one kind; why there is none is said once when it is the same for all."""
        blocks: list[FigureBlock | Notice] = []
        reasons: dict[StudyFigure, str] = {}
        for figure in figures:
            try:
                blocks.append(self._figure(figure))
            except (NotApplicableError, MissingPackageError) as error:
                hint = f" ({error.hint})" if error.hint else ""
                reasons[figure] = f"{error.what}{hint}"
        if not blocks and len(set(reasons.values())) == 1:
            reasons = {StudyFigure(figures[0].kind): next(iter(reasons.values()))}
        for figure, reason in reasons.items():
            of = ""
            if figure.objective is not None:
                of = f" of {objective_name(self.search, figure.objective)}"
            blocks.append(Notice(f"{figure.kind.title}{of}: not shown, because {reason}."))
        return blocks

    def _figure(self, figure: StudyFigure) -> FigureBlock:
        options = replace(figure.options(self.options.figure), anonymous=self.anonymous)
        chart = figure.kind.chart(FigureSource(self.reader, self.search, options))
        made = made_with(options)
        reference = self.reference(figure.kind.name, chart.trials, chart.also, made)
        return FigureBlock(figure.name, chart, reference)

    def _beyond(self) -> tuple[Notice, Command]:
        """What is said of objectives that have no figures, and how to draw those."""
        return (
            Notice(
                f"Figures of one objective are there for the first {MOST_OBJECTIVES} of "
                f"{self.search.objectives}."
            ),
            self.command(
                f"plot --all DIR --objective {MOST_OBJECTIVES} {self.command_name}",
                "Draws those of another objective.",
            ),
        )

    def command(self, text: str, says: str = "") -> Command:
        """A command of the program: ``text`` without its name."""
        return Command(f"trialbook {text}", says)


def report_source(reader: Reader, study: str, options: ReportOptions) -> ReportSource:
    """Read what sections look at.

    Raises:
        NotFoundError: There is no such study.
        BookCorruptError: A row cannot be read.
    """
    search = search_of(reader, study)
    record = search.study
    seal = sealed(reader.book, record.study_id)
    best = search.best
    # A trial whose value is NaN ranks last; alone it would be the best, which nobody can defend.
    selected = _detail(reader, search, best) if best is not None and search.eligible[best] else None
    shown = selected
    if shown is None:
        index = _shown_index(search)
        shown = None if index is None else _detail(reader, search, index)
    linked = shown_studies(reader, linked_studies(reader.book, record.uid))
    replicated, untold = _replications(reader, record, seal)
    return ReportSource(
        reader=reader,
        study=record,
        search=search,
        seal=seal,
        selected=selected,
        shown=shown,
        replications=replicated,
        linked=linked,
        untold=untold,
        account=_account(reader, search),
        verification=verify(reader.book, study, artifacts=True) if options.verify else None,
        options=options,
    )


def _account(reader: Reader, search: Search) -> Account:
    study_id = search.study.study_id
    seeds, different = seeded(reader.book, study_id)
    ways = launched(reader.book, study_id)
    return Account(
        compute=compute_of(reader, study_id),
        gaps=gaps_of(reader, search),
        exclusions=exclusions_of(reader, search),
        failures=failures_of(reader, study_id),
        seeds=seeds,
        different_seeds=different,
        space=space(search) if search.params else None,
        isolation=isolation_of(search.study, ways),
        changes=changes_of(reader, search.study, search.named, ways),
    )


def _replications(
    reader: Reader, study: StudyRecord, seal: StudySeal
) -> tuple[tuple[Replication, ...], str]:
    try:
        # The same report of the same book is one showing: its number must not grow by itself.
        return replications(reader, study, tests_by="report", once=seal.seal), ""
    except BookReadOnlyError as error:
        return (
            replications(reader, study),
            f"Test metrics of the replicates are not shown: {error.what}.",
        )


def _detail(reader: Reader, search: Search, index: int) -> TrialDetail:
    reference = TrialReference(search.study.name, int(search.numbers[index]))
    return trial_detail(reader, reader.trial(reference))


def _shown_index(search: Search) -> int | None:
    """The first of the front, else the trial of the newest attempt that a worker ran."""
    if len(search.front):
        return int(search.front[0])
    executed = [
        int(index)
        for index, attempt in zip(search.attempt_trial, search.attempts, strict=True)
        if attempt.worker_id is not None
    ]
    if executed:
        return executed[-1]
    return len(search) - 1 if len(search) else None


def snapshot_state(detail: TrialDetail, kind: Kind, state: type[State]) -> State | None:
    """The state of a coordinate of a trial; ``None`` when there is no snapshot of it."""
    for coordinate in detail.coordinates:
        if coordinate.kind is kind and coordinate.snapshot is not None:
            return coordinate.snapshot.state_as(state)
    return None
