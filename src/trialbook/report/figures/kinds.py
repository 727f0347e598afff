"""Which kinds of figure there are. A kind is imported when it is drawn.

To list them nothing has to be read, so nothing that reads a book is imported here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING

from trialbook.errors import InvalidInputError

if TYPE_CHECKING:
    from trialbook.analysis.searches.search import Search
    from trialbook.book.reading import Reader
    from trialbook.report.charts import Chart


@dataclass(frozen=True, slots=True)
class FigureOptions:
    """What a caller may choose; a kind takes what concerns it.

    Args:
        params: Only these, in this order; empty for the kind's own choice.
        objective: Index of the objective, for kinds that show one; ``None`` for the first, and for
            each of them where all figures of a study are drawn.
        metric: Name of a series, for learning curves; ``objective`` is what was reported.
        marks: How many marks (points, curves) at the most; a kind samples or bins beyond it and
            says so in the chart's notes.
        seed: Of sampling and resampling.
        reference_point: One value for each objective, for the hypervolume; empty for the worst
            that was seen, with a margin.
        anonymous: Whether hosts and workers are numbered instead of named.
    """

    params: tuple[str, ...] = ()
    objective: int | None = None
    metric: str = "objective"
    marks: int = 5000
    seed: int = 0
    reference_point: tuple[float, ...] = ()
    anonymous: bool = False


@dataclass(frozen=True, slots=True)
class FigureSource:
    """What a figure is made from.

    Args:
        reader: The open book.
        search: The study's search.
        options: What the caller chose.
    """

    reader: Reader
    search: Search
    options: FigureOptions = FigureOptions()

    @property
    def objective(self) -> int:
        """Index of the objective that a kind shows which shows one."""
        return self.options.objective or 0


@dataclass(frozen=True, slots=True)
class FigureKind:
    """A kind of figure.

    Args:
        name: As ``trialbook plot`` takes it.
        title: One line.
        target: ``module:function`` of a function from ``FigureSource`` to ``Chart``; it raises
            ``NotApplicableError`` when the study has nothing that it could show, or when showing it
            would mislead.
        one_objective: Whether it shows one objective of several.
    """

    name: str
    title: str
    target: str
    one_objective: bool = True

    def chart(self, source: FigureSource) -> Chart:
        """The figure of a study; of one objective of several it says of which.

        Raises:
            NotApplicableError: The study has no such figure, with the reason.
        """
        module, _, attribute = self.target.partition(":")
        draw: Callable[[FigureSource], Chart] = getattr(import_module(module), attribute)
        found = draw(source)
        if not self.one_objective or source.search.objectives == 1:
            return found
        from trialbook.report.figures.wording import of_one_objective

        return of_one_objective(found, source.search, source.objective)


_HERE = "trialbook.report.figures."

KINDS: tuple[FigureKind, ...] = (
    FigureKind("history", "Best value so far against trials", _HERE + "history:history"),
    FigureKind("compute", "Best value so far against compute", _HERE + "history:compute"),
    FigureKind(
        "curves",
        "Learning curves, pruned trials marked",
        _HERE + "curves:curves",
        one_objective=False,
    ),
    FigureKind(
        "pruning", "What pruned trials had reached", _HERE + "pruning:pruning", one_objective=False
    ),
    FigureKind("slice", "Value against each param", _HERE + "slices:slices"),
    FigureKind("contour", "Value over pairs of params", _HERE + "contours:contours"),
    FigureKind("parallel", "Params and value of each trial", _HERE + "parallel:parallel"),
    FigureKind("rank", "Ranks over pairs of params", _HERE + "ranks:ranks"),
    FigureKind("importance", "Importance of each param", _HERE + "importance:importance"),
    FigureKind("sensitivity", "Value around the best trial", _HERE + "sensitivity:sensitivity"),
    FigureKind("edf", "Empirical distribution of values", _HERE + "edf:edf"),
    FigureKind("front", "Pareto front", _HERE + "front:front", one_objective=False),
    FigureKind(
        "hypervolume",
        "Hypervolume against trials",
        _HERE + "front:hypervolume",
        one_objective=False,
    ),
    FigureKind(
        "timeline", "When each worker ran what", _HERE + "timeline:timeline", one_objective=False
    ),
    FigureKind("expected", "Expected validation performance", _HERE + "expected:expected"),
    FigureKind("replicates", "Replicates under fresh seeds", _HERE + "replicates:replicates"),
)


@dataclass(frozen=True, slots=True)
class StudyFigure:
    """One of the figures of a study.

    Args:
        kind: Its kind.
        objective: Index of the objective that it shows, as in ``FigureOptions``; ``None`` when
            there are not several to tell apart.
    """

    kind: FigureKind
    objective: int | None = None

    @property
    def name(self) -> str:
        """Its name among the figures of the study: ``slice``, or ``slice-1`` of objective 1."""
        return self.kind.name if self.objective is None else f"{self.kind.name}-{self.objective}"

    def options(self, given: FigureOptions) -> FigureOptions:
        """What it is drawn with, where the caller chose these: no objective that it has not."""
        if self.objective is None and self.kind.one_objective:
            return given
        return replace(given, objective=self.objective)


def study_figures(
    kind: FigureKind, objectives: int, options: FigureOptions
) -> tuple[StudyFigure, ...]:
    """The figures of a kind that show a study: one, or of a kind of one objective one for each.

    Args:
        kind: The kind.
        objectives: How many objectives the study has.
        options: What the caller chose; an objective chosen there is the only one.
    """
    if objectives == 1 or not kind.one_objective or options.objective is not None:
        return (StudyFigure(kind),)
    return tuple(StudyFigure(kind, objective) for objective in range(objectives))


def figure_kind(name: str) -> FigureKind:
    """The kind of that name.

    Raises:
        InvalidInputError: There is none; near names are suggested.
    """
    for kind in KINDS:
        if kind.name == name:
            return kind
    near = get_close_matches(name, [kind.name for kind in KINDS], n=2)
    raise InvalidInputError(
        f"there is no kind of figure {name!r}",
        hint=f"did you mean {' or '.join(near)}?" if near else "see 'trialbook plot --list'",
    )
