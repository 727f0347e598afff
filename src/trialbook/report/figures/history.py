"""Best value so far, against trials and against compute."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trialbook.analysis.searches.compute_history import attempt_gpus_of, compute_history
from trialbook.analysis.searches.history import history as best_so_far
from trialbook.analysis.searches.search import Floats, Ints, Search
from trialbook.report.charts import Axis, Chart, Line, Mark, Panel, Points, Role
from trialbook.report.figures.kinds import FigureOptions, FigureSource
from trialbook.report.figures.thinning import chosen, corners, infinite_note
from trialbook.report.figures.wording import objective_label, objective_scale
from trialbook.report.geometry import finite
from trialbook.report.wording import are, counted

_NOTHING = "no complete trial with a finite value"
_UNITS = (("hours", 1.0), ("minutes", 60.0), ("seconds", 3600.0))


@dataclass(frozen=True, slots=True, eq=False)
class _Course:
    """What both figures draw: values and the best so far over some x.

    Args:
        x: Shape (n,).
        numbers: Shape (n,): trials.
        values: Shape (n,): those that count, else NaN.
        infeasible: Shape (n,): likewise of infeasible ones.
        best: Shape (n,): the best so far.
        best_number: The trial with the last of these.
    """

    x: Floats
    numbers: Ints
    values: Floats
    infeasible: Floats
    best: Floats
    best_number: int | None


def history(source: FigureSource) -> Chart:
    """The value of each complete trial and the best so far, in the order in which they finished."""
    search, options = source.search, source.options
    found = best_so_far(search, source.objective)
    x = found.finished.astype(float)
    course = _Course(
        x, found.numbers, found.values, found.infeasible, found.best, found.best_number
    )
    marks, notes = _marks(course, options)
    y = _y_axis(search, found.values, found.objective)
    count = int(np.sum(~np.isnan(found.values)))
    panel = Panel(
        Axis("finished trials", integer=True),
        y,
        marks,
        empty="" if marks else _NOTHING,
    )
    return Chart(
        kind="history",
        title="Best value so far",
        panels=((panel,),),
        table=found.table(),
        caption=(
            f"Value of each of {counted(count, 'feasible complete trial')} and the best so far, "
            f"in the order in which {counted(len(x), 'trial')} finished. Pruned, failed and "
            "infeasible trials take their place on the axis and do not count."
        ),
        notes=notes,
        trials=() if found.best_number is None else (found.best_number,),
    )


def compute(source: FigureSource) -> Chart:
    """The best value so far against worker-hours, and against GPU-hours where there are GPUs."""
    search, options = source.search, source.options
    gpus = attempt_gpus_of(source.reader, search)
    found = compute_history(search, source.objective, gpus=gpus)
    nothing = np.full(len(found.values), np.nan)
    y = _y_axis(search, found.values, found.objective)
    hours = [("worker", found.worker_h)]
    if found.gpu_h is not None and found.gpu_h[-1] > 0:
        hours.append(("GPU", found.gpu_h))
    panels: list[Panel] = []
    for what, taken_h in hours:
        unit, factor = _unit(float(taken_h[-1]))
        course = _Course(
            taken_h * factor, found.numbers, found.values, nothing, found.best, found.best_number
        )
        marks, thinned = _marks(course, options)
        # The last trial is at the end: its mark is not to be cut.
        end = 1.02 * float(course.x[-1]) or 1.0
        axis = Axis(f"compute ({what}-{unit})", limits=(0.0, end))
        panels.append(Panel(axis, y, marks, empty="" if marks else _NOTHING))
    notes = [*thinned]
    if found.running:
        notes.append(
            f"{counted(found.running, 'running attempt')} {are(found.running)} not counted"
        )
    if found.untracked:
        notes.append(
            f"{counted(len(found.untracked), 'complete trial')} left out: nobody ran them under "
            "tracking, so what they took is not known"
        )
    if len(hours) > 1 and found.without_gpus:
        notes.append(
            f"the GPUs of {counted(found.without_gpus, 'attempt')} are not known and not counted"
        )
    return Chart(
        kind="compute",
        title="Best value so far against compute",
        panels=(tuple(panels),),
        table=found.table(),
        caption=(
            f"Best value so far against the time that workers spent on attempts "
            f"({_taken(found.worker_h[-1])} in {counted(len(nothing), 'attempt')}), "
            "pruned, failed, lost and repeated attempts included."
        ),
        notes=tuple(notes),
        trials=() if found.best_number is None else (found.best_number,),
        share_y=True,
    )


def _marks(course: _Course, options: FigureOptions) -> tuple[tuple[Mark, ...], tuple[str, ...]]:
    """Points of the values and the line of the best so far, and what was left out of them."""
    drawable = finite(course.values)
    points = np.flatnonzero(~np.isnan(drawable))
    improved = np.flatnonzero(np.isin(points, corners(course.best)))
    some = points[chosen(len(points), options.marks, keep=improved, seed=options.seed)]
    notes = list(infinite_note(course.values))
    if len(some) < len(points):
        notes.append(
            f"{len(some)} of {len(points)} values are drawn as points, chosen at random, with "
            "every improvement among them; the line is that of all"
        )
    marks: list[Mark] = []
    if len(some):
        marks.append(_points(course, some, drawable, Role.COMPLETE, "complete"))
    broken = np.flatnonzero(~np.isnan(finite(course.infeasible)))
    if len(broken):
        few = broken[chosen(len(broken), options.marks, seed=options.seed)]
        marks.append(_points(course, few, course.infeasible, Role.INFEASIBLE, "infeasible"))
        if len(few) < len(broken):
            notes.append(f"{len(few)} of {len(broken)} infeasible values are drawn")
    line = corners(course.best)
    best = finite(course.best[line])
    if not np.isnan(best).all():
        marks.append(Line(course.x[line], best, Role.LEADING, "best so far", step=True))
    at = np.flatnonzero((course.numbers == course.best_number) & ~np.isnan(drawable))[:1]
    if len(at):
        label = f"best (trial {course.best_number})"
        marks.append(_points(course, at, drawable, Role.BEST, label, size=1.6))
    return tuple(marks), tuple(notes)


def _points(
    course: _Course, at: Ints, values: Floats, role: Role, label: str, size: float = 1.0
) -> Points:
    texts = tuple(f"trial {number}" for number in course.numbers[at].tolist())
    return Points(course.x[at], values[at], role, label, texts=texts, size=size)


def _y_axis(search: Search, values: Floats, objective: int) -> Axis:
    return Axis(
        objective_label(search, objective), scale=objective_scale(search, values, objective)
    )


def _unit(hours: float) -> tuple[str, float]:
    """The unit in which so many hours read best, and how many of it are an hour."""
    return next((unit for unit in _UNITS if hours * unit[1] >= 1.0), _UNITS[-1])


def _taken(hours: float) -> str:
    unit, factor = _unit(hours)
    return f"{hours * factor:.3g} worker-{unit}"
