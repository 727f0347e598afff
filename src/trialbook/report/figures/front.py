"""Several objectives: the Pareto front, and the hypervolume as trials finished."""

from __future__ import annotations

import numpy as np

from trialbook.analysis.searches.pareto import MARGIN, ParetoFront, pareto_front
from trialbook.analysis.searches.pareto import hypervolume as hypervolume_of
from trialbook.analysis.searches.search import Floats, Ints
from trialbook.report.charts import Axis, Chart, Line, Mark, Panel, Points, Role
from trialbook.report.figures.kinds import FigureSource
from trialbook.report.figures.thinning import chosen, corners, infinite_note
from trialbook.report.figures.wording import objective_label, objective_scale
from trialbook.report.geometry import finite
from trialbook.report.numbers import number_text
from trialbook.report.wording import are, counted

_OBJECTIVES = 4
"""More of them make more pairs than a page holds."""


def front(source: FigureSource) -> Chart:
    """Each pair of objectives: the front, dominated and infeasible trials told apart."""
    search, options = source.search, source.options
    found = pareto_front(search)
    members = np.flatnonzero(found.on_front)
    drawn = chosen(len(found.numbers), options.marks, keep=members, seed=options.seed)
    shown = min(search.objectives, _OBJECTIVES)
    axes = [
        Axis(
            objective_label(search, objective),
            scale=objective_scale(search, found.values[:, objective], objective),
        )
        for objective in range(shown)
    ]
    panels = tuple(
        tuple(
            Panel(axes[x], axes[y], _marks(found, drawn, x, y)) if x < y else None
            for x in range(shown - 1)
        )
        for y in range(1, shown)
    )
    notes = list(infinite_note(found.values))
    if len(drawn) < len(found.numbers):
        notes.append(
            f"{len(drawn)} of {len(found.numbers)} trials are drawn, chosen at random, with the "
            "whole front among them"
        )
    if shown < search.objectives:
        notes.append(f"the first {shown} of {search.objectives} objectives are drawn")
    return Chart(
        kind="front",
        title="Pareto front",
        panels=panels,
        table=found.table(),
        caption=_front_caption(found),
        notes=tuple(notes),
        trials=tuple(found.numbers[members].tolist()),
        share_x=shown > 2,
        share_y=shown > 2,
    )


def hypervolume(source: FigureSource) -> Chart:
    """The hypervolume against the number of finished trials."""
    found = hypervolume_of(source.search, source.options.reference_point)
    line = corners(found.volumes)
    point = ", ".join(
        f"{name} {number_text(value)}"
        for name, value in zip(found.names, found.reference_point.tolist(), strict=True)
    )
    how = (
        "chosen" if found.chosen else f"the worst values seen and {100 * MARGIN:g} % of their range"
    )
    notes: list[str] = []
    if found.infinite:
        notes.append(
            f"{counted(found.infinite, 'trial')} with an infinite value "
            f"{are(found.infinite)} not counted"
        )
    if found.beyond:
        notes.append(
            f"{counted(found.beyond, 'trial')} {are(found.beyond)} not better than the "
            "reference point in every objective: nothing of them counts"
        )
    if len(found.finished) < found.finished[-1]:
        notes.append(f"computed after {len(found.finished)} of {found.finished[-1]} trials")
    return Chart(
        kind="hypervolume",
        title="Hypervolume against trials",
        panels=(
            (
                Panel(
                    Axis("finished trials", integer=True),
                    Axis("hypervolume (higher is better)"),
                    (
                        Line(
                            found.finished[line].astype(float),
                            found.volumes[line],
                            Role.LEADING,
                            step=True,
                        ),
                    ),
                ),
            ),
        ),
        table=found.table(),
        caption=(
            "Volume of what the feasible complete trials so far dominate, up to the reference "
            f"point {point} ({how}). Volumes compare only under the same reference point."
        ),
        notes=tuple(notes),
    )


def _marks(found: ParetoFront, drawn: Ints, x: int, y: int) -> tuple[Mark, ...]:
    dominated = drawn[found.feasible[drawn] & ~found.on_front[drawn]]
    infeasible = drawn[~found.feasible[drawn]]
    members = np.flatnonzero(found.on_front)
    marks: list[Mark] = []
    for own, role, label in (
        (dominated, Role.COMPLETE, "dominated"),
        (infeasible, Role.INFEASIBLE, "infeasible"),
    ):
        if len(own):
            marks.append(_points(found, own, x, y, role, label))
    if found.values.shape[1] == 2 and len(members):
        marks.append(_edge(found, members))
    if len(members):
        marks.append(_points(found, members, x, y, Role.LEADING, "front"))
    return tuple(marks)


def _points(found: ParetoFront, own: Ints, x: int, y: int, role: Role, label: str) -> Points:
    texts = tuple(f"trial {number}" for number in found.numbers[own].tolist())
    return Points(
        finite(found.values[own, x]), finite(found.values[own, y]), role, label, texts=texts
    )


def _edge(found: ParetoFront, members: Ints) -> Line:
    """The edge of what the front dominates: along one objective, then along the other."""
    signs = np.array([-1.0 if maximize else 1.0 for maximize in found.maximize])
    losses: Floats = found.values[members] * signs
    losses = losses[np.isfinite(losses).all(axis=1)]
    losses = losses[np.lexsort((losses[:, 1], losses[:, 0]))]
    x = np.repeat(losses[:, 0], 2)[1:]
    y = np.repeat(losses[:, 1], 2)[:-1]
    return Line(x * signs[0], y * signs[1], Role.LEADING)


def _front_caption(found: ParetoFront) -> str:
    infeasible = int(np.sum(~found.feasible))
    text = (
        f"{counted(int(found.on_front.sum()), 'trial')} on the front of "
        f"{counted(int(found.feasible.sum()), 'feasible complete trial')}: no other is at least as "
        "good in every objective and better in one."
    )
    if infeasible:
        text += f" {counted(infeasible, 'infeasible trial')} {are(infeasible)} shown apart."
    if found.values.shape[1] > 2:
        text += " Trials on the front may look dominated in a pair of objectives."
    return text
