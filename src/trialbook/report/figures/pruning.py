"""What pruned trials had reached, against the trials that went on and against the rule."""

from __future__ import annotations

import numpy as np

from trialbook.analysis.searches.pruning import PruningAudit, pruning_audit
from trialbook.analysis.searches.search import Ints
from trialbook.report.charts import Axis, Chart, Line, Mark, Panel, Points, Role, Rule
from trialbook.report.figures.kinds import FigureSource
from trialbook.report.figures.thinning import chosen, infinite_note
from trialbook.report.figures.wording import objective_label, objective_scale
from trialbook.report.geometry import finite
from trialbook.report.wording import are, counted


def pruning(source: FigureSource) -> Chart:
    """Value and step at which trials were pruned, and by how much each was worse than the rule."""
    search, options = source.search, source.options
    found = pruning_audit(search)
    drawn = chosen(len(found), options.marks, seed=options.seed)
    notes = list(infinite_note(found.reached, found.margin))
    if len(drawn) < len(found):
        notes.append(
            f"{len(drawn)} of {len(found)} pruned trials are drawn, chosen at random; numbers are "
            "those of all"
        )
    if found.silent:
        notes.append(
            f"{counted(found.silent, 'pruned trial')} that reported nothing "
            f"{are(found.silent)} not shown"
        )
    panels = [_reached(source, found, drawn)]
    compared = bool(np.isfinite(found.margin).any())
    if compared:
        panels.append(_margins(found, drawn))
    else:
        notes.append("no complete trial had a value at these steps: there is no threshold")
    return Chart(
        kind="pruning",
        title="What pruned trials had reached",
        panels=(tuple(panels),),
        table=found.table(),
        caption=_caption(found, compared=compared),
        notes=tuple(notes),
        trials=() if found.best_number is None else (found.best_number,),
    )


def _reached(source: FigureSource, found: PruningAudit, drawn: Ints) -> Panel:
    marks: list[Mark] = [_points(found, drawn, found.steps, found.reached)]
    if len(found.median.steps):
        x = found.median.steps.astype(float)
        median = finite(found.median.quantiles[0])
        marks.append(Line(x, median, Role.COMPLETE, "median of complete"))
    if found.best_number is not None and len(found.best_steps):
        label = f"best (trial {found.best_number})"
        x = found.best_steps.astype(float)
        marks.append(Line(x, finite(found.best_values), Role.BEST, label))
    scale = objective_scale(source.search, found.reached)
    y = Axis(objective_label(source.search), scale=scale)
    return Panel(Axis("step of the last report", integer=True), y, tuple(marks))


def _margins(found: PruningAudit, drawn: Ints) -> Panel:
    against = "the threshold" if found.recomputed else "the median of complete trials"
    return Panel(
        Axis("finished trials", integer=True),
        Axis(f"worse than {against} by"),
        (
            _points(found, drawn, found.finished, found.margin, labelled=False),
            Rule(y=0.0, style=Role.LIMIT),
        ),
    )


def _points(
    found: PruningAudit,
    drawn: Ints,
    x: Ints,
    y: np.typing.NDArray[np.float64],
    *,
    labelled: bool = True,
) -> Points:
    return Points(
        x[drawn].astype(float),
        finite(y[drawn]),
        Role.PRUNED,
        "pruned" if labelled else "",
        texts=tuple(
            f"trial {number}, rank {rank} of {among}"
            for number, rank, among in zip(
                found.numbers[drawn].tolist(),
                found.rank[drawn].tolist(),
                (found.among[drawn] + 1).tolist(),
                strict=True,
            )
        ),
    )


def _caption(found: PruningAudit, *, compared: bool) -> str:
    text = f"last value of each of {counted(len(found), 'pruned trial')}. "
    text = f"Left: the {text}" if compared else f"The {text}"
    if compared and found.recomputed:
        text += (
            f"Right: by how much it was beyond the threshold of {found.pruner} ({found.rule}), "
            f"computed again from the record: the rule stops {int(found.prunes.sum())} of them "
            "where they were stopped. "
        )
    elif compared:
        text += (
            "Right: by how much it was worse than the median of all complete trials at that step; "
            f"{found.rule}. "
        )
    comparable = int(found.comparable.sum())
    if comparable:
        text += (
            f"{int(found.ahead.sum())} of {comparable} were at that step better than the best "
            "trial was there. "
        )
    return text + "What a pruned trial would have reached is not known."
