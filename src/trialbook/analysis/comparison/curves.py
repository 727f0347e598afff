"""Best value so far of groups of studies, with a band where a group repeats a study.

The band is pointwise. With three repetitions or more it is Student's t interval of the mean over
the repetitions, which takes their best values at each budget as normal; with two it is their range.
Studies that have the same seed are no independent repetitions: a group with such has no band.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from trialbook.analysis.columns import Cell, Column, Holds, Table, number_cell
from trialbook.analysis.comparison.repeating import Group
from trialbook.analysis.comparison.studies import ComparedStudy
from trialbook.analysis.searches.compute_history import compute_history
from trialbook.analysis.searches.history import history
from trialbook.analysis.searches.search import Floats, Search
from trialbook.errors import NotApplicableError

FEWEST_FOR_T = 3
_POINTS = 200

_Course: TypeAlias = tuple[Floats, Floats]
"""Of one study: budgets, growing, and the best value so far at each; shape (n,) both."""


@dataclass(frozen=True, slots=True, eq=False)
class GroupCurve:
    """The best value so far of one group.

    Args:
        label: The group's.
        budgets: Shape (n,): growing.
        each: Shape (repetitions, n): of each study; NaN before its first value.
        mean: Shape (n,): over the repetitions; NaN until all of them have a value.
        low: Shape (n,): lower end of the band; NaN where there is none.
        high: Shape (n,): upper end.
        method: What the band is; empty where there is none.
    """

    label: str
    budgets: Floats
    each: Floats
    mean: Floats
    low: Floats
    high: Floats
    method: str


@dataclass(frozen=True, slots=True, eq=False)
class BudgetCurves:
    """The best value so far of every group over one budget.

    Args:
        budget: What the budget is counted in, as an axis says it.
        groups: One a group; a group is absent when of one of its studies nothing is known on
            this axis.
        level: Level of t intervals.
    """

    budget: str
    groups: tuple[GroupCurve, ...]
    level: float

    def table(self) -> Table:
        """One row a group and budget."""
        columns = (
            Column("group"),
            Column(self.budget, Holds.NUMBER),
            Column("studies", Holds.INTEGER),
            Column("best so far, mean", Holds.NUMBER),
            Column("lower", Holds.NUMBER),
            Column("upper", Holds.NUMBER),
        )
        rows: list[tuple[Cell, ...]] = []
        for curve in self.groups:
            for at, budget in enumerate(curve.budgets.tolist()):
                ends = (curve.mean[at], curve.low[at], curve.high[at])
                rows.append((curve.label, budget, len(curve.each), *map(number_cell, ends)))
        return Table(columns, tuple(rows))


def trial_curves(
    studies: Sequence[ComparedStudy], groups: Sequence[Group], level: float = 0.95
) -> BudgetCurves:
    """The best value so far against the number of finished trials."""
    return _curves("finished trials", studies, groups, level, _over_trials)


def compute_curves(
    studies: Sequence[ComparedStudy], groups: Sequence[Group], level: float = 0.95
) -> BudgetCurves:
    """The best value so far against the hours that workers spent on attempts."""
    return _curves("worker-hours", studies, groups, level, _over_compute)


def _curves(
    budget: str,
    studies: Sequence[ComparedStudy],
    groups: Sequence[Group],
    level: float,
    course: Callable[[Search], _Course | None],
) -> BudgetCurves:
    """Of the groups all of whose studies have a course: a mean over some would not be theirs."""
    found: list[GroupCurve] = []
    for group in groups:
        known = [course(studies[index].search) for index in group.studies]
        runs = [run for run in known if run is not None]
        if len(runs) == len(known):
            found += _group_curve(group, runs, level)
    return BudgetCurves(budget, tuple(found), level)


def _over_trials(search: Search) -> _Course | None:
    try:
        past = history(search)
    except NotApplicableError:
        return None
    return past.finished.astype(float), past.best


def _over_compute(search: Search) -> _Course | None:
    try:
        past = compute_history(search)
    except NotApplicableError:
        return None
    # Of untracked trials it is not known what they took, and one of them may have led to the best.
    return None if past.untracked else (past.worker_h, past.best)


def _group_curve(group: Group, runs: list[_Course], level: float) -> list[GroupCurve]:
    """The curve of a group up to the budget that all of its studies reached; none without any."""
    runs = [(budgets, best) for budgets, best in runs if len(budgets)]
    if not runs:
        return []
    end = min(float(budgets[-1]) for budgets, _ in runs)
    budgets = np.unique(np.concatenate([budgets[budgets <= end] for budgets, _ in runs]))
    if len(budgets) > _POINTS:
        budgets = budgets[np.unique(np.linspace(0, len(budgets) - 1, _POINTS).astype(int))]
    each = np.stack([_at(budgets, *run) for run in runs])
    mean = each.mean(axis=0)
    low, high, method = np.full(len(mean), np.nan), np.full(len(mean), np.nan), ""
    if group.same_seed:
        pass  # their spread says nothing
    elif len(runs) >= FEWEST_FOR_T:
        from scipy import stats  # half a second, which whoever imports analysis can save

        error = stats.sem(each, axis=0)
        reach = stats.t.ppf(0.5 + level / 2, len(runs) - 1) * error
        low, high, method = mean - reach, mean + reach, f"{level * 100:g} % t interval of the mean"
    elif len(runs) == 2:
        low, high, method = each.min(axis=0), each.max(axis=0), "range of two"
        low[np.isnan(mean)] = high[np.isnan(mean)] = np.nan
    return [GroupCurve(group.label, budgets, each, mean, low, high, method)]


def _at(budgets: Floats, own: Floats, best: Floats) -> Floats:
    """The best so far at these budgets: that of the last point that is not beyond each."""
    places = np.searchsorted(own, budgets, side="right") - 1
    return np.where(places >= 0, best[np.maximum(places, 0)], np.nan)
