"""The empirical distribution of the values that count, with a band where one holds.

The band is that of Dvoretzky, Kiefer and Wolfowitz (Annals of Mathematical Statistics 27, 1956)
with Massart's constant (Annals of Probability 18, 1990): with probability ``level`` the
distribution from which n values were drawn independently lies everywhere within
sqrt(ln(2 / (1 - level)) / (2 n)) of the empirical one. Trials of a sampler that learns are not
independent: they have no band.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from trialbook.analysis.columns import Column, Holds, Table
from trialbook.analysis.searches.expected import refuse_dependent
from trialbook.analysis.searches.history import cells
from trialbook.analysis.searches.judged import judged
from trialbook.analysis.searches.search import Floats, Ints, Search
from trialbook.errors import NotApplicableError


@dataclass(frozen=True, slots=True, eq=False)
class ValueDistribution:
    """The empirical distribution of an objective's values.

    Args:
        objective: Index of the objective.
        name: What it is called.
        numbers: Shape (n,): the trials, by value; of equal ones the earlier first.
        values: Shape (n,): growing.
        share: Shape (n,): share of the values that are not above this one.
        half_width: Of the band, in shares; ``None`` where there is none.
        no_band: Why there is none; empty where there is one.
        level: Of the band.
        left_out: Each reason to leave trials out, with their number.
    """

    objective: int
    name: str
    numbers: Ints
    values: Floats
    share: Floats
    half_width: float | None
    no_band: str
    level: float
    left_out: tuple[tuple[str, int], ...]

    @property
    def low(self) -> Floats:
        """Shape (n,): lower end of the band; NaN without one."""
        return np.maximum(0.0, self.share - self._half)

    @property
    def high(self) -> Floats:
        """Shape (n,): upper end of the band; NaN without one."""
        return np.minimum(1.0, self.share + self._half)

    @property
    def _half(self) -> float:
        return math.nan if self.half_width is None else self.half_width

    def table(self) -> Table:
        """One row a trial."""
        return Table(
            (
                Column("trial", Holds.INTEGER),
                Column(self.name, Holds.NUMBER),
                Column("share not above", Holds.NUMBER),
                Column("lower", Holds.NUMBER),
                Column("upper", Holds.NUMBER),
            ),
            tuple(
                zip(
                    self.numbers.tolist(),
                    *map(cells, (self.values, self.share, self.low, self.high)),
                    strict=True,
                )
            ),
        )


def value_distribution(
    search: Search, objective: int = 0, *, level: float = 0.95
) -> ValueDistribution:
    """The empirical distribution of the values of complete, feasible trials.

    Args:
        search: The study's search.
        objective: Index of the objective, when there are several.
        level: Of the band, between 0 and 1.

    Raises:
        InvalidInputError: There is no such objective.
        NotApplicableError: No trial counts.
    """
    counted = judged(search, objective)
    order = np.lexsort((counted.numbers, counted.values))
    values = counted.values[order]
    no_band = ""
    try:
        refuse_dependent(search)
    except NotApplicableError as error:
        no_band = error.what.partition(":")[0]
    if not no_band and search.enqueued[counted.indices].any():
        no_band = "the params of some trials were chosen by somebody, not drawn"
    return ValueDistribution(
        objective=objective,
        name=search.objective_names[objective],
        numbers=counted.numbers[order],
        values=values,
        share=np.searchsorted(values, values, side="right") / len(values),
        half_width=None if no_band else math.sqrt(math.log(2 / (1 - level)) / (2 * len(values))),
        no_band=no_band,
        level=level,
        left_out=counted.left_out,
    )
