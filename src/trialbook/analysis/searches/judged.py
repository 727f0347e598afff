"""Which trials an analysis of the space looks at, and which it leaves out for what reason.

A pruned trial has the value of the step at which it was stopped, which is not comparable with a
complete one's; it counts nowhere here. What is left out is counted, so that a caption can say so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trialbook.analysis.searches.history import require_objective
from trialbook.analysis.searches.search import Floats, Ints, Search
from trialbook.errors import NotApplicableError


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """The trials that count: complete, keeping their constraints, with a finite value.

    Args:
        objective: Index of the objective.
        maximize: Whether higher is better.
        indices: Shape (n,): their indices in the search, growing.
        numbers: Shape (n,): their numbers.
        values: Shape (n,): their values of the objective.
        losses: Shape (n,): the same, negated when the study maximizes: less is better.
        best: Position, in these arrays, of the best; of equal ones the earliest.
        infeasible: Shape (m,): indices of complete trials with a finite value that break a
            constraint.
        left_out: Each reason to leave trials out, with their number; only those that occur.
    """

    objective: int
    maximize: bool
    indices: Ints
    numbers: Ints
    values: Floats
    losses: Floats
    best: int
    infeasible: Ints
    left_out: tuple[tuple[str, int], ...]

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def best_number(self) -> int:
        """Number of the best trial."""
        return int(self.numbers[self.best])

    @property
    def best_index(self) -> int:
        """Index of the best trial in the search."""
        return int(self.indices[self.best])

    @property
    def left_out_text(self) -> str:
        """As in ``190 pruned, 24 failed``; empty when every trial counts."""
        return ", ".join(f"{count} {reason}" for reason, count in self.left_out)


def next_of_none(search: Search) -> str:
    """What to do about a study in which no trial counts."""
    if not len(search.numbers):
        return "run trials"
    if (search.states == "FAIL").all():
        return f"see why they failed with 'trialbook show STUDY/{search.numbers[0]}'"
    if (search.states == "PRUNED").any():
        return "see 'curves' for what pruned trials had reached"
    return "see 'history' for every trial that has finished"


def judged(search: Search, objective: int = 0) -> Judged:
    """The trials of a study that count.

    Args:
        search: The study's search.
        objective: Index of the objective, when there are several. The best trial is then the best
            in this one alone.

    Raises:
        InvalidInputError: There is no such objective.
        NotApplicableError: No trial counts.
    """
    require_objective(search, objective)
    values = search.values[:, objective]
    finite = search.complete & np.isfinite(values)
    counts = finite & search.feasible
    reasons = (
        ("pruned", search.states == "PRUNED"),
        ("failed", search.states == "FAIL"),
        ("not finished", np.isin(search.states, ("RUNNING", "WAITING"))),
        ("without a finite value", (search.states == "COMPLETE") & ~finite),
        ("infeasible", finite & ~search.feasible),
    )
    left_out = tuple((reason, int(flags.sum())) for reason, flags in reasons if flags.any())
    indices = np.flatnonzero(counts)
    if not len(indices):
        said = ", ".join(f"{count} {reason}" for reason, count in left_out)
        raise NotApplicableError(
            "there is no complete, feasible trial with a finite value"
            + (f" ({said})" if said else ""),
            hint=next_of_none(search),
        )
    losses = search.losses[indices, objective]
    return Judged(
        objective=objective,
        maximize=search.study.directions[objective] == "maximize",
        indices=indices,
        numbers=search.numbers[indices],
        values=values[indices],
        losses=losses,
        best=int(np.argmin(losses)),
        infeasible=np.flatnonzero(finite & ~search.feasible),
        left_out=left_out,
    )
