"""Best value so far: against the number of trials, and against the compute they took."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trialbook.analysis.columns import Column, Holds, Table
from trialbook.analysis.search.search import Floats, Ints, Search
from trialbook.errors import NotApplicableError


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """The best value so far after each finished trial, in the order in which trials finished.

    Args:
        objective: Index of the objective.
        finished: Shape (n,): 1, 2, ...: how many trials had finished, of whatever state.
        numbers: Shape (n,): number of the trial that finished.
        values: Shape (n,): its value; NaN when none of it counts (pruned, failed, infeasible).
        best: Shape (n,): the best value so far; NaN before the first.
        best_number: Number of the trial with the last of these, ``None`` without any.
    """

    objective: int
    finished: Ints
    numbers: Ints
    values: Floats
    best: Floats
    best_number: int | None

    def table(self) -> Table:
        """One row a finished trial."""
        return Table(
            (
                Column("finished", Holds.INTEGER),
                Column("trial", Holds.INTEGER),
                Column("value", Holds.NUMBER),
                Column("best so far", Holds.NUMBER),
            ),
            tuple(
                (int(finished), int(number), _given(value), _given(best))
                for finished, number, value, best in zip(
                    self.finished, self.numbers, self.values, self.best, strict=True
                )
            ),
        )


def history(search: Search, objective: int = 0) -> History:
    """The best value so far after each finished trial.

    Args:
        search: The study's search.
        objective: Index of the objective, when there are several.

    Raises:
        NotApplicableError: No trial has finished.
    """
    over = np.flatnonzero(np.isin(search.states, ("COMPLETE", "PRUNED", "FAIL")))
    if not len(over):
        raise NotApplicableError("no trial has finished yet")
    # Trials without a time of their own stay in the order of their numbers.
    order = over[np.lexsort((search.numbers[over], np.nan_to_num(search.ended_s[over])))]
    counts = search.eligible[order]
    values = np.where(counts, search.values[order, objective], np.nan)
    maximize = search.study.directions[objective] == "maximize"
    best = _running(values, maximize)
    found = np.flatnonzero(values == best[-1])
    return History(
        objective=objective,
        finished=np.arange(1, len(order) + 1),
        numbers=search.numbers[order],
        values=values,
        best=best,
        best_number=int(search.numbers[order[found[0]]]) if len(found) else None,
    )


def _running(values: Floats, maximize: bool) -> Floats:
    """The best of all values up to each; NaN before the first that is a number."""
    worst = -np.inf if maximize else np.inf
    filled = np.where(np.isnan(values), worst, values)
    best = np.maximum.accumulate(filled) if maximize else np.minimum.accumulate(filled)
    seen = np.cumsum(~np.isnan(values)) > 0
    return np.where(seen, best, np.nan)


def _given(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
