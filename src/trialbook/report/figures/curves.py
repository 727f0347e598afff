"""Learning curves of all trials, the end of pruned ones marked and the best one in front."""

from __future__ import annotations

import numpy as np

from trialbook.analysis.searches.curves import LearningCurves, learning_curves, step_quantiles
from trialbook.analysis.searches.metrics import metric_points_of
from trialbook.analysis.searches.search import Floats, Ints
from trialbook.report.charts import (
    Axis,
    Band,
    Chart,
    Curves,
    Line,
    Mark,
    Panel,
    Points,
    Role,
    Scale,
)
from trialbook.report.figures.kinds import FigureOptions, FigureSource
from trialbook.report.figures.thinning import chosen, infinite_note
from trialbook.report.figures.wording import objective_label, objective_scale
from trialbook.report.geometry import finite
from trialbook.report.wording import counted, listed

_CURVES = 120
"""More curves on one another show less, not more."""
_POINTS = 100_000
_ALWAYS = 5
_SPREAD = (0.1, 0.5, 0.9)
_SPREAD_OF = 10
_STATES = (
    ("FAIL", Role.FAILED, "failed"),
    ("RUNNING", Role.RUNNING, "running"),
    ("COMPLETE", Role.COMPLETE, "complete"),
    ("PRUNED", Role.PRUNED, "pruned"),
)


def curves(source: FigureSource) -> Chart:
    """The learning curves of ``options.metric``."""
    search, options = source.search, source.options
    found = learning_curves(search, metric_points_of(source.reader, search, options.metric))
    given = np.flatnonzero(found.given)
    limit = min(options.marks, _CURVES)
    best = found.ranking[:_ALWAYS]
    drawn = given[
        chosen(len(given), limit, keep=np.searchsorted(given, np.sort(best)), seed=options.seed)
    ]
    sampled = len(drawn) < len(given)
    behind, before = _spread(found) if sampled else ([], [])
    marks: list[Mark] = [*behind]
    most = max(2, min(_POINTS, options.marks * 20) // max(1, len(drawn)))
    for state, role, label in _STATES:
        marks += _of_state(found, drawn[found.states[drawn] == state], role, label, most)
    marks += [*before, *_best(found, most)]
    label = found.name if found.maximize is None else objective_label(search)
    values = finite(found.points.values)
    scale = Scale.LINEAR if found.maximize is None else objective_scale(search, values)
    return Chart(
        kind="curves",
        title="Learning curves",
        panels=((Panel(Axis("step", integer=True), Axis(label, scale=scale), tuple(marks)),),),
        table=found.table(drawn),
        caption=_caption(found, sampled),
        notes=_notes(found, drawn, most, options),
        trials=tuple(found.numbers[found.ranking[:1]].tolist()),
    )


def _of_state(found: LearningCurves, trials: Ints, role: Role, label: str, most: int) -> list[Mark]:
    """The curves of some trials, and a mark at the end of those that were cut off."""
    if not len(trials):
        return []
    x, y = _joined(found, trials, most)
    marks: list[Mark] = [Curves(x, y, role, f"{label} ({len(trials)})")]
    steps, values = found.points.last()
    if role in (Role.PRUNED, Role.FAILED):
        ends = trials
    else:
        ends = trials[found.points.lengths[trials] == 1]  # a curve of one point is not seen
    if len(ends):
        texts = tuple(f"trial {number}" for number in found.numbers[ends].tolist())
        at = steps[ends].astype(float)
        marks.append(Points(at, finite(values[ends]), role, texts=texts, size=0.9))
    return marks


def _joined(found: LearningCurves, trials: Ints, most: int) -> tuple[Floats, Floats]:
    """Curves one after the other, each with so many points at the most, NaN between them."""
    x: list[Floats] = []
    y: list[Floats] = []
    gap = np.array([np.nan])
    for trial in trials.tolist():
        steps, values = found.points.of(trial)
        every = -(-len(steps) // most)
        # Counted from the end, so that the last point of each is there.
        x += [steps[::-1][::every][::-1].astype(float), gap]
        y += [finite(values[::-1][::every][::-1]), gap]
    return np.concatenate(x[:-1]), np.concatenate(y[:-1])


def _best(found: LearningCurves, most: int) -> list[Mark]:
    marks: list[Mark] = []
    for trial in found.ranking[:1]:
        x, y = _joined(found, np.array([trial]), most)
        marks.append(Line(x, y, Role.BEST, f"best (trial {found.numbers[trial]})"))
        if len(x) == 1:
            marks.append(Points(x, y, Role.BEST))
    return marks


def _spread(found: LearningCurves) -> tuple[list[Mark], list[Mark]]:
    """What stands for the curves that are not drawn: behind those that are, and before them."""
    spread = step_quantiles(found.points, found.states == "COMPLETE", _SPREAD)
    enough = spread.counts >= _SPREAD_OF
    if not enough.any():
        return [], []
    x = spread.steps[enough].astype(float)
    low, middle, high = (finite(line[enough]) for line in spread.quantiles)
    return (
        [Band(x, low, high, Role.LEADING, "middle 80 % of complete")],
        [Line(x, middle, Role.LEADING, "median of complete")],
    )


def _caption(found: LearningCurves, sampled: bool) -> str:
    given = found.given
    counts = [
        f"{np.sum(given & (found.states == state))} {label}"
        for state, _, label in reversed(_STATES)
        if np.any(given & (found.states == state))
    ]
    what = found.name if found.maximize is None else "What was reported"
    text = f"{what} over the steps of {listed(counts)} trials."
    if np.any(given & (found.states == "PRUNED")):
        text += " Marks show where pruned trials were stopped."
    if sampled:
        text += (
            " The band holds the middle 80 % of all complete trials at each step that at least "
            f"{_SPREAD_OF} of them have, the line in it their median."
        )
    return text


def _notes(
    found: LearningCurves, drawn: Ints, most: int, options: FigureOptions
) -> tuple[str, ...]:
    notes = list(infinite_note(found.points.values))
    given = found.given
    if len(drawn) < given.sum():
        shares = ", ".join(
            f"{np.sum(found.states[drawn] == state)} of {np.sum(given & (found.states == state))} "
            f"{label}"
            for state, _, label in reversed(_STATES)
            if np.any(given & (found.states == state))
        )
        notes.append(
            f"{len(drawn)} of {given.sum()} curves are drawn, chosen at random with the best "
            f"{min(_ALWAYS, len(found.ranking))} among them: {shares}"
        )
    longest = int(found.points.logged.max())
    if longest > most or np.any(found.points.logged > found.points.lengths):
        notes.append(f"of long curves (up to {longest} points) every so-many-th point is drawn")
    without = ~given & np.isin(found.states, ("COMPLETE", "PRUNED", "FAIL"))
    if without.any():
        notes.append(f"without a point of it: {counted(int(without.sum()), 'finished trial')}")
    return tuple(notes)
