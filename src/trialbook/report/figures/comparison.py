"""Best value so far of several studies, in one figure."""

from __future__ import annotations

import numpy as np

from trialbook.analysis.comparison.comparison import StudyComparison
from trialbook.analysis.comparison.curves import BudgetCurves
from trialbook.analysis.comparison.studies import ComparedStudy
from trialbook.analysis.searches.search import Floats
from trialbook.report.charts import Axis, Band, Chart, Curves, Line, Mark, Panel, Role
from trialbook.report.figures.wording import objective_label


def comparison_chart(found: StudyComparison, curves: BudgetCurves) -> Chart:
    """The best value so far of each group over one budget, with bands where studies repeat.

    Args:
        found: The comparison.
        curves: Its curves over trials or over compute.
    """
    marks: list[Mark] = []
    methods: dict[str, None] = {}
    for number, curve in enumerate(curves.groups):
        repeated = len(curve.each) > 1
        label = f"{curve.label} (mean of {len(curve.each)})" if repeated else curve.label
        if curve.method:
            marks.append(Band(curve.budgets, curve.low, curve.high, number, step=True))
        if repeated:
            marks.append(_each(curve.budgets, curve.each))
        marks.append(Line(curve.budgets, curve.mean, number, label, step=True))
        if curve.method:
            methods[curve.method] = None
    first = found.studies[0]
    caption = f"Best value so far against {curves.budget}."
    if methods:
        caption += (
            f" Bands are pointwise ({', '.join(methods)}); thin lines are single studies. Curves "
            "end where the first study of their group ends."
        )
    if _pass_values(curves):
        caption += (
            " Where bands go below 0 or above 1 and no value does, that is the t interval's: it "
            "takes the mean as normal."
        )
    return Chart(
        kind="comparison",
        title="Best value so far",
        panels=(
            (
                Panel(
                    Axis(curves.budget, integer=curves.budget == "finished trials"),
                    Axis(objective_label(first.search)),
                    tuple(marks),
                    empty="" if curves.groups else "nothing is known of any study on this axis",
                ),
            ),
        ),
        table=curves.table(),
        caption=caption,
        notes=_absent(found, curves),
    )


def _each(budgets: Floats, each: Floats) -> Curves:
    """Single studies, in steps as their mean: a best value stands until there is a better one."""
    gap = np.array([np.nan])
    along = np.repeat(budgets, 2)[1:]
    x = np.concatenate([part for _ in each for part in (along, gap)])
    y = np.concatenate([part for row in each for part in (np.repeat(row, 2)[:-1], gap)])
    return Curves(x, y, Role.FAINT)


def _pass_values(curves: BudgetCurves) -> bool:
    """Whether a band leaves 0 to 1, or goes below 0, where the values of all studies do not."""
    values = np.concatenate([curve.each.ravel() for curve in curves.groups])
    values = values[np.isfinite(values)]
    if not len(values) or values.min() < 0:
        return False
    bands = [(curve.low, curve.high) for curve in curves.groups]
    below = any((low < 0).any() for low, _ in bands)
    return below or (values.max() <= 1 and any((high > 1).any() for _, high in bands))


def _absent(found: StudyComparison, curves: BudgetCurves) -> tuple[str, ...]:
    shown = {curve.label for curve in curves.groups}
    return tuple(
        f"the curve of {group.label} is not shown: {curves.budget} are not known of all its studies"
        for group in found.groups
        if group.label not in shown
    )


def study_names(studies: tuple[ComparedStudy, ...]) -> str:
    """The studies in running text."""
    names = [study.name for study in studies]
    return f"{', '.join(names[:-1])} and {names[-1]}"
