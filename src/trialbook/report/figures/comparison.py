"""Best value so far of several studies, in one figure."""

from __future__ import annotations

import numpy as np

from trialbook.analysis.comparison.comparison import StudyComparison
from trialbook.analysis.comparison.curves import BudgetCurves
from trialbook.analysis.comparison.studies import ComparedStudy
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


def _each(budgets: np.typing.NDArray[np.float64], each: np.typing.NDArray[np.float64]) -> Curves:
    gap = np.array([np.nan])
    x = np.concatenate([part for _ in each for part in (budgets, gap)])
    y = np.concatenate([part for row in each for part in (row, gap)])
    return Curves(x, y, Role.FAINT)


def _absent(found: StudyComparison, curves: BudgetCurves) -> tuple[str, ...]:
    shown = {curve.label for curve in curves.groups}
    return tuple(
        f"{group.label} is not shown: {curves.budget} are not known of all its studies"
        for group in found.groups
        if group.label not in shown
    )


def study_names(studies: tuple[ComparedStudy, ...]) -> str:
    """The studies in running text."""
    names = [study.name for study in studies]
    return f"{', '.join(names[:-1])} and {names[-1]}"
