"""Best value so far, in the order in which trials finished."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trialbook.analysis.columns import Column, Holds, Table, number_cell
from trialbook.analysis.searches.search import Floats, Ints, Search
from trialbook.errors import InvalidInputError, NotApplicableError


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """The best value so far after each finished trial, in the order in which trials finished.

    Args:
        objective: Index of the objective.
        name: What it is called.
        finished: Shape (n,): 1, 2, ...: how many trials had finished, of whatever state.
        numbers: Shape (n,): number of the trial that finished.
        states: Shape (n,): its state.
        values: Shape (n,): its value; NaN when none of it counts (pruned, failed, infeasible).
        infeasible: Shape (n,): the value of a complete trial that breaks a constraint, which does
            not count; else NaN.
        best: Shape (n,): the best value so far; NaN before the first.
        best_number: Number of the trial with the last of these (of equal ones the lowest number),
            ``None`` without any.
    """

    objective: int
    name: str
    finished: Ints
    numbers: Ints
    states: np.typing.NDArray[np.str_]
    values: Floats
    infeasible: Floats
    best: Floats
    best_number: int | None

    def table(self) -> Table:
        """One row a finished trial."""
        return Table(
            (
                Column("finished", Holds.INTEGER),
                Column("trial", Holds.INTEGER),
                Column("state"),
                Column(self.name, Holds.NUMBER),
                Column("infeasible value", Holds.NUMBER),
                Column("best so far", Holds.NUMBER),
            ),
            tuple(
                zip(
                    self.finished.tolist(),
                    self.numbers.tolist(),
                    self.states.tolist(),
                    *map(cells, (self.values, self.infeasible, self.best)),
                    strict=True,
                )
            ),
        )


def history(search: Search, objective: int = 0) -> History:
    """The best value so far after each finished trial.

    Only complete trials count that keep the study's constraints and have no NaN among their values.
    With several objectives this looks at one of them alone.

    Args:
        search: The study's search.
        objective: Index of the objective, when there are several.

    Raises:
        InvalidInputError: There is no such objective.
        NotApplicableError: No trial has finished.
    """
    require_objective(search, objective)
    order = search.finished
    if not len(order):
        raise NotApplicableError(
            "no trial has finished yet", hint="run trials, or wait for those that run"
        )
    given = search.values[order, objective]
    values = np.where(search.eligible[order], given, np.nan)
    infeasible = search.complete[order] & ~search.feasible[order]
    best = best_so_far(values, search.study.directions[objective] == "maximize")
    reached = order[values == best[-1]]
    return History(
        objective=objective,
        name=search.objective_names[objective],
        finished=np.arange(1, len(order) + 1),
        numbers=search.numbers[order],
        states=search.states[order],
        values=values,
        infeasible=np.where(infeasible, given, np.nan),
        best=best,
        best_number=int(search.numbers[reached].min()) if len(reached) else None,
    )


def best_so_far(values: Floats, maximize: bool) -> Floats:
    """The best of all values up to each, shape (n,); NaN before the first that is a number."""
    worst = -np.inf if maximize else np.inf
    filled = np.where(np.isnan(values), worst, values)
    best = np.maximum.accumulate(filled) if maximize else np.minimum.accumulate(filled)
    seen = np.cumsum(~np.isnan(values)) > 0
    return np.where(seen, best, np.nan)


def require_objective(search: Search, objective: int) -> None:
    """Refuse the index of an objective that the study does not have.

    Raises:
        InvalidInputError: It has fewer.
    """
    if not 0 <= objective < search.objectives:
        raise InvalidInputError(
            f"there is no objective {objective}",
            where=search.study.name,
            hint=f"give one from 0 to {search.objectives - 1}"
            if search.objectives > 1
            else "the study has one objective, and its index is 0",
        )


def cells(values: Floats) -> list[float | None]:
    """Values for a table's column; ``None`` where they are NaN."""
    return [number_cell(value) for value in values.tolist()]
