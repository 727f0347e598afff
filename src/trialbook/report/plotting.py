"""From a study's name to its figures: what ``trialbook plot`` and a notebook ask for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trialbook.analysis.opening import Storage, StudyOrName, name_of, opened
from trialbook.analysis.searches.search import search_of
from trialbook.book.seals import seal_of
from trialbook.errors import InvalidInputError, MissingPackageError, NotApplicableError
from trialbook.records.figure_references import FigureReference, ShownStudy
from trialbook.report.anonymous import replacements, without_names
from trialbook.report.charts import Chart
from trialbook.report.document import FigureBlock
from trialbook.report.figure_files import ENDINGS, ending_of, one_figure, write_figure
from trialbook.report.figures.kinds import (
    KINDS,
    FigureKind,
    FigureOptions,
    FigureSource,
    StudyFigure,
    figure_kind,
    study_figures,
)
from trialbook.report.file_names import slug_of
from trialbook.report.making_again import made_with
from trialbook.report.replacements import Replacements
from trialbook.report.shown_studies import shown_studies
from trialbook.report.venues import Width, width_of

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


@dataclass(frozen=True, slots=True, eq=False)
class PlottedFigure:
    """A figure that was written.

    Args:
        kind: Its kind.
        path: Where it is.
        caption: What is seen, for the text below it.
        notes: What was left out, sampled or binned to draw it.
        objective: Index of the objective that it shows, when ``plot_all`` drew one for each of
            several; else ``None``.
    """

    kind: str
    path: Path
    caption: str
    notes: tuple[str, ...]
    objective: int | None = None


@dataclass(frozen=True, slots=True)
class RefusedFigure:
    """A kind of figure that a study does not have.

    Args:
        kind: The kind.
        reason: Why there is none.
        objective: As in ``PlottedFigure``; ``None`` too when the reason is that of every objective.
    """

    kind: str
    reason: str
    objective: int | None = None


@dataclass(frozen=True, slots=True)
class PlotOptions:
    """How figures are written.

    Args:
        figure: What they are drawn with.
        width: Name of a width on paper (see ``venues.py``), ``None`` for the usual one.
        anonymous: Leave out the study's name, people, hosts and paths.
    """

    figure: FigureOptions = field(default_factory=FigureOptions)
    width: str | None = None
    anonymous: bool = False


def plot(
    study: StudyOrName,
    kind: str,
    path: str | os.PathLike[str] | None = None,
    *,
    width: str | None = None,
    anonymous: bool = False,
    storage: Storage = None,
    **options: Any,
) -> Path:
    """Draw a figure of a study into a file, which carries the reference of what it shows.

    Args:
        study: Its name, or an Optuna study that lies in a book.
        kind: As ``trialbook plot --list`` names it.
        path: Where to, ending in ``.html``, ``.png``, ``.svg`` or ``.pdf``; ``None`` for a page in
            the current directory that is named for the study and the kind, and for the objective
            when it is not the first.
        width: Width on paper, such as ``neurips`` or ``ieee``; ``None`` for the usual one.
        anonymous: Leave out the study's name, people, hosts and paths.
        storage: Where the book is; not with an Optuna study.
        **options: The fields of ``figures.kinds.FigureOptions``: ``params``, ``objective``,
            ``metric``, ``marks``, ``seed``, ``reference_point``.

    Returns:
        The file. The same book gives the same bytes.

    Raises:
        NotApplicableError: The study has no such figure, with the reason.
        NotFoundError: There is no such study.
        InvalidInputError: The kind, the width, an option or the path's ending is not known.
        MissingPackageError: The figure needs a package that is not installed.
        OutputError: The file cannot be written.
    """
    wanted = PlotOptions(_options(options), width, anonymous)
    return plotted(study, kind, path, wanted, storage=storage).path


def chart(study: StudyOrName, kind: str, *, storage: Storage = None, **options: Any) -> Chart:
    """A figure of a study as a value: its marks, its caption and the table behind it.

    Args:
        study: Its name, or an Optuna study that lies in a book.
        kind: As ``trialbook plot --list`` names it.
        storage: Where the book is; not with an Optuna study.
        **options: As in ``plot``.

    Raises:
        NotApplicableError: The study has no such figure, with the reason.
        NotFoundError: There is no such study.
        InvalidInputError: The kind or an option is not known.
    """
    found = figure_kind(kind)
    with opened(storage, study) as reader:
        search = search_of(reader, name_of(study))
        return found.chart(FigureSource(reader, search, _options(options)))


def figure(study: StudyOrName, kind: str, *, storage: Storage = None, **options: Any) -> Figure:
    """The same as a figure of plotly, which a notebook shows."""
    from trialbook.report.plotly_backend import figure as drawn

    return drawn(chart(study, kind, storage=storage, **options))


def plotted(
    study: StudyOrName,
    kind: str,
    path: str | os.PathLike[str] | None = None,
    options: PlotOptions | None = None,
    *,
    storage: Storage = None,
) -> PlottedFigure:
    """As ``plot``, with what is to be said of the figure."""
    wanted = options or PlotOptions()
    found = figure_kind(kind)
    width = None if wanted.width is None else width_of(wanted.width)
    name = "study" if wanted.anonymous else slug_of(name_of(study))
    chosen = wanted.figure.objective if found.one_objective else None
    place = Path(path or f"{name}-{StudyFigure(found, chosen or None).name}.html")
    ending_of(place)
    with _study(study, storage, wanted) as sheet:
        return sheet.written(StudyFigure(found), place, width)


def plot_all(
    study: StudyOrName,
    directory: str | os.PathLike[str],
    ending: str = "png",
    options: PlotOptions | None = None,
    *,
    storage: Storage = None,
) -> Iterator[PlottedFigure | RefusedFigure]:
    """Draw every kind of figure that a study has, each to ``DIRECTORY/KIND.ENDING``.

    Of several objectives the kinds that show one are drawn for each, to
    ``DIRECTORY/KIND-OBJECTIVE.ENDING``; ``options.figure.objective`` chooses one of them.

    Args:
        study: Its name, or an Optuna study that lies in a book.
        directory: Where to; made when it is not there.
        ending: ``html``, ``png``, ``svg`` or ``pdf``.
        options: How they are written.
        storage: Where the book is; not with an Optuna study.

    Yields:
        Each kind in the order of ``KINDS``, as soon as it is written or refused.

    Raises:
        NotFoundError: There is no such study.
        InvalidInputError: The ending or width is not known, or the directory is a file.
        MissingPackageError: Pictures need matplotlib, which is not installed.
        OutputError: A file cannot be written.
    """
    wanted = options or PlotOptions()
    width = None if wanted.width is None else width_of(wanted.width)
    folder = Path(directory)
    if ending not in ENDINGS:
        raise InvalidInputError(f"no figure can be {ending!r}", hint=f"one of {', '.join(ENDINGS)}")
    if folder.exists() and not folder.is_dir():
        raise InvalidInputError("a file is in the place of the directory", where=str(folder))
    if ending != "html":
        _require_matplotlib()
    with _study(study, storage, wanted) as sheet:
        for kind in KINDS:
            yield from sheet.of_kind(kind, folder, ending, width)


def _require_matplotlib() -> None:
    from trialbook.report.matplotlib_backend import require

    require()


@dataclass(frozen=True, slots=True, eq=False)
class _Sheet:
    """A study that figures are drawn of.

    Args:
        source: What they are made from.
        shown: The study as its figures show it.
        telling: What is replaced in an anonymous figure; ``None`` when names may be told.
    """

    source: FigureSource
    shown: ShownStudy
    telling: Replacements | None

    def of_kind(
        self, kind: FigureKind, folder: Path, ending: str, width: Width | None
    ) -> Iterator[PlottedFigure | RefusedFigure]:
        """Draw and write the figures of a kind; a reason that holds for all is given once."""
        options = self.source.options
        figures = study_figures(kind, self.source.search.objectives, options)
        refused: list[RefusedFigure] = []
        for figure in figures:
            try:
                yield self.written(figure, folder / f"{figure.name}.{ending}", width)
            except (NotApplicableError, MissingPackageError) as error:
                hint = f" ({error.hint})" if error.hint else ""
                refused.append(RefusedFigure(kind.name, f"{error.what}{hint}", figure.objective))
        if len(refused) == len(figures) and len({one.reason for one in refused}) == 1:
            refused = [RefusedFigure(kind.name, refused[0].reason)]
        yield from refused

    def written(self, figure: StudyFigure, path: Path, width: Width | None) -> PlottedFigure:
        """Draw and write one figure."""
        kind, options = figure.kind, figure.options(self.source.options)
        found = kind.chart(replace(self.source, options=options))
        studies = (self.shown, *shown_studies(self.source.reader, found.also))
        # A page is as wide as its window, and the same whatever width was asked for.
        on_paper = None if width is None or ending_of(path) == "html" else width.name
        made = made_with(options, on_paper)
        reference = FigureReference(kind.name, studies, found.trials, made)
        if self.telling is not None:
            found, reference = _untold(found, reference, self.telling)
        notes = write_figure(found, reference, path, width)
        return PlottedFigure(kind.name, path, found.caption, notes, figure.objective)


@contextmanager
def _study(study: StudyOrName, storage: Storage, options: PlotOptions) -> Iterator[_Sheet]:
    name = name_of(study)
    with opened(storage, study) as reader:
        record = reader.study(name)
        # The seal is taken first: a trial that finishes in between is shown, and not sealed.
        seal = seal_of(reader.book, record.study_id)
        search = search_of(reader, name)
        shown = ShownStudy.of(record.name, record.uid, seal)
        figure = replace(options.figure, anonymous=options.anonymous)
        telling = replacements(reader, [name]) if options.anonymous else None
        yield _Sheet(FigureSource(reader, search, figure), shown, telling)


def _untold(
    found: Chart, reference: FigureReference, telling: Replacements
) -> tuple[Chart, FigureReference]:
    """The chart and its reference, as they are in an anonymous document."""
    document = without_names(one_figure(found, reference), telling)
    block = document.sections[0].blocks[0]
    assert isinstance(block, FigureBlock)
    return block.chart, block.reference


def _options(given: dict[str, Any]) -> FigureOptions:
    known = [field.name for field in fields(FigureOptions)]
    unknown = [name for name in given if name not in known]
    if unknown:
        raise InvalidInputError(
            f"no figure has the option {', '.join(unknown)}", hint=f"any of {', '.join(known)}"
        )
    if "params" in given:
        params = given["params"]
        given = given | {"params": (params,) if isinstance(params, str) else tuple(params)}
    return FigureOptions(**given)
