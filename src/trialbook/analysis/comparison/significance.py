"""Whether groups of repeated studies differ in the best value they reach, and what that assumes.

Each study gives one number: its best value at the largest budget that all studies reached. For two
groups these are compared by

* the difference of their means with Welch's t interval and test (Welch, 1947): independent studies,
  means that are about normal, spreads that may differ;
* the test of Mann and Whitney (1947): independent studies, and nothing about their distributions;
* A of Vargha and Delaney (2000): how often a study of the first group is better than one of the
  second, ties counted half.

With several pairs the p-values are adjusted by the method of Holm (1979). A single study says
nothing about what another seed would have given, so such groups are not tested.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from trialbook.analysis.columns import Column, Holds, Table, number_cell
from trialbook.analysis.comparison.repeating import Group
from trialbook.analysis.comparison.studies import ComparedStudy
from trialbook.analysis.searches.history import history
from trialbook.analysis.searches.search import Floats
from trialbook.errors import NotApplicableError

FEWEST = 3
"""Studies that a group needs to be tested."""
ASSUMED = (
    "Each study is one independent repetition under a seed of its own.",
    "Welch's t: the means of the best values are about normal; spreads may differ.",
    "Mann-Whitney: nothing about distributions; ties are allowed for. Of n and m studies its p "
    "cannot be below 2 / C(n + m, n): 0.1 with three each.",
    "p-values are adjusted for the number of pairs by Holm's method.",
)


@dataclass(frozen=True, slots=True)
class GroupResult:
    """What one group reached at the common budget.

    Args:
        label: The group's.
        values: Best value of each of its studies, in their order; those without one are left out.
        mean: Over the studies; NaN without any.
        deviation: Sample standard deviation; NaN with fewer than two.
    """

    label: str
    values: tuple[float, ...]
    mean: float
    deviation: float


@dataclass(frozen=True, slots=True)
class PairResult:
    """What the tests say of two groups.

    Args:
        first: Label of the first.
        second: Label of the second.
        difference: Mean of the first minus mean of the second.
        low: Lower end of Welch's interval of the difference.
        high: Upper end.
        welch_p: Welch's two-sided p-value, adjusted.
        rank_p: Mann and Whitney's two-sided p-value, adjusted.
        superiority: Vargha and Delaney's A: how often the first is better, from 0 to 1.
    """

    first: str
    second: str
    difference: float
    low: float
    high: float
    welch_p: float
    rank_p: float
    superiority: float


@dataclass(frozen=True, slots=True)
class Significance:
    """What can be said of the groups at one budget.

    Args:
        budget: The number of finished trials at which they are compared; 0 when none has any.
        level: Level of the intervals.
        groups: What each reached.
        pairs: Each pair of groups that can be tested.
        untested: Why groups or pairs were not tested; empty when all were.
    """

    budget: int
    level: float
    groups: tuple[GroupResult, ...]
    pairs: tuple[PairResult, ...]
    untested: tuple[str, ...]

    def groups_table(self) -> Table:
        """One row a group."""
        return Table(
            (
                Column("group"),
                Column("studies", Holds.INTEGER),
                Column("mean best value", Holds.NUMBER),
                Column("standard deviation", Holds.NUMBER),
                Column("each", Holds.CODE),
            ),
            tuple(
                (
                    group.label,
                    len(group.values),
                    number_cell(group.mean),
                    number_cell(group.deviation),
                    ", ".join(f"{value:.6g}" for value in group.values),
                )
                for group in self.groups
            ),
        )

    def pairs_table(self) -> Table:
        """One row a pair."""
        numbers = (
            "difference of means",
            "lower",
            "upper",
            "Welch p (Holm)",
            "Mann-Whitney p (Holm)",
            "A (first better)",
        )
        return Table(
            (Column("first"), Column("second"), *(Column(name, Holds.NUMBER) for name in numbers)),
            tuple(
                (p.first, p.second, p.difference, p.low, p.high, p.welch_p, p.rank_p, p.superiority)
                for p in self.pairs
            ),
        )


def significance(
    studies: Sequence[ComparedStudy], groups: Sequence[Group], level: float = 0.95
) -> Significance:
    """Compare groups of studies with one objective at the budget that all of them reached."""
    pasts = {}
    for index, study in enumerate(studies):
        try:
            pasts[index] = history(study.search)
        except NotApplicableError:
            continue
    if len(pasts) < len(studies):
        missing = [study.name for index, study in enumerate(studies) if index not in pasts]
        reason = f"no trial of {', '.join(missing)} has finished, so there is no common budget"
        return Significance(0, level, (), (), (reason,))
    budget = min(int(past.finished[-1]) for past in pasts.values())
    results = []
    for group in groups:
        reached = np.array([pasts[index].best[budget - 1] for index in group.studies])
        results.append(_result(group.label, reached[~np.isnan(reached)]))
    maximize = studies[0].search.study.directions[0] == "maximize"
    fit, untested = [], []
    for group, one in zip(groups, results, strict=True):
        if len(one.values) < FEWEST:
            untested.append(
                f"{one.label}: {len(one.values)} of the {FEWEST} repetitions that a test needs; "
                "another seed could have given another best value"
            )
        elif group.same_seed:
            untested.append(
                f"{one.label}: some of its studies have the same seed, so that they are no "
                "independent repetitions"
            )
        else:
            fit.append(one)
    pairs = [_pair(first, second, maximize, level) for first, second in combinations(fit, 2)]
    return Significance(budget, level, tuple(results), _adjusted(pairs), tuple(untested))


def _result(label: str, values: Floats) -> GroupResult:
    mean = float(values.mean()) if len(values) else float("nan")
    deviation = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
    return GroupResult(label, tuple(values.tolist()), mean, deviation)


def _pair(first: GroupResult, second: GroupResult, maximize: bool, level: float) -> PairResult:
    from scipy import stats  # half a second, which whoever imports analysis can save

    one, two = np.array(first.values), np.array(second.values)
    difference = first.mean - second.mean
    if first.deviation == 0 and second.deviation == 0:
        # Without any spread a t statistic is no number; the ranks still say something.
        low = high = difference
        welch_p = 1.0 if difference == 0 else float("nan")
    else:
        test = stats.ttest_ind(one, two, equal_var=False)
        interval = test.confidence_interval(level)
        low, high, welch_p = float(interval.low), float(interval.high), float(test.pvalue)
    rank_p = float(stats.mannwhitneyu(one, two, alternative="two-sided").pvalue)
    better = one[:, None] > two[None, :] if maximize else one[:, None] < two[None, :]
    ties = one[:, None] == two[None, :]
    return PairResult(
        first.label,
        second.label,
        difference,
        low,
        high,
        welch_p,
        rank_p,
        float((better + 0.5 * ties).mean()),
    )


def _adjusted(pairs: Sequence[PairResult]) -> tuple[PairResult, ...]:
    welch = holm([pair.welch_p for pair in pairs])
    ranks = holm([pair.rank_p for pair in pairs])
    return tuple(
        replace(pair, welch_p=w, rank_p=r) for pair, w, r in zip(pairs, welch, ranks, strict=True)
    )


def holm(values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number by Holm's step-down method; NaN stays and counts."""
    order = sorted(range(len(values)), key=lambda index: (np.isnan(values[index]), values[index]))
    adjusted, least = list(values), 0.0
    for rank, index in enumerate(order):
        if np.isnan(values[index]):
            continue
        least = max(least, min(1.0, (len(values) - rank) * values[index]))
        adjusted[index] = least
    return adjusted
