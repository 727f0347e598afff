"""Value against each param, and against all of them: the trials that count as points.

The same points are what slices, ranks and parallel coordinates show.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trialbook.analysis.columns import Cell, Column, Holds, Table
from trialbook.analysis.searches.axes import ParamAxis, param_axes
from trialbook.analysis.searches.judged import Judged, judged
from trialbook.analysis.searches.search import Flags, Floats, Search
from trialbook.errors import NotApplicableError


@dataclass(frozen=True, slots=True, eq=False)
class Slices:
    """Params and value of each trial that counts.

    Args:
        judged: The trials.
        axes: The params; their arrays have one entry a trial of the search.
        ranks: Shape (n,), as ``judged``: share of the other trials that are better, from 0 for the
            best to 1 for the worst; equal values share the mean of their ranks; 0 for a lone trial.
    """

    judged: Judged
    axes: tuple[ParamAxis, ...]
    ranks: Floats

    def positions(self, axis: ParamAxis) -> Floats:
        """Shape (n,): positions of the trials that count; NaN where one has no such param."""
        return axis.positions[self.judged.indices]

    def table(self) -> Table:
        """One row a trial: number, value, rank, and every param."""
        columns = [
            Column("trial", Holds.INTEGER),
            Column("value", Holds.NUMBER),
            Column("rank (0 is best)", Holds.NUMBER),
        ]
        parts: list[list[Cell]] = [
            self.judged.numbers.tolist(),
            self.judged.values.tolist(),
            self.ranks.tolist(),
        ]
        for axis in self.axes:
            columns.append(Column(axis.name, Holds.TEXT if axis.is_categorical else Holds.EXACT))
            parts.append([axis.cell(position) for position in self.positions(axis).tolist()])
        return Table(tuple(columns), tuple(zip(*parts, strict=True)))


def slices(search: Search, objective: int = 0, params: Sequence[str] = ()) -> Slices:
    """Params and value of each trial that counts.

    Args:
        search: The study's search.
        objective: Index of the objective, when there are several.
        params: Names of params, in their order; empty for all that a trial that counts has.

    Raises:
        NotApplicableError: No trial counts, or none of them has a param.
        NotFoundError: No trial has a param of that name.
    """
    from scipy.stats import rankdata

    trials = judged(search, objective)
    axes = param_axes(search, params)
    if not params:
        axes = tuple(axis for axis in axes if axis.given[trials.indices].any())
    if not axes:
        raise NotApplicableError(
            "no complete trial has a param",
            hint="ask for params in the objective with trial.suggest_*",
        )
    ranks = rankdata(trials.losses, method="average") - 1
    return Slices(trials, axes, ranks / max(1, len(trials) - 1))


def together(found: Slices, axes: Sequence[ParamAxis]) -> Flags:
    """Shape (n,): which of the trials that count have all these params."""
    flags: Flags = np.all([axis.given[found.judged.indices] for axis in axes], axis=0)
    return flags
