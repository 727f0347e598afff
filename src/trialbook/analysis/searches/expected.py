"""Expected validation performance: the best value that so many random trials would give.

Dodge, Gururangan, Card, Schwartz and Smith, "Show Your Work: Improved Reporting of Experimental
Results", EMNLP 2019. The values of N trials, drawn independently from one distribution, estimate
that distribution; the best of n draws from the estimate is expected to be

    sum over i of v_i * ((i / N)**n - ((i - 1) / N)**n),  v_1 <= ... <= v_N,

for a value that is maximized. It holds for independent trials alone: trials of a sampler that
learns from earlier ones are refused, and so are trials that a pruner stopped, whose values are not
known. The estimate is biased towards worse values, the more so the nearer n is to N (Tang et al.,
"Showing Your Work Doesn't Always Work", ACL 2020).

The band is the percentile interval of a bootstrap over trials (Efron, 1979), for each n by itself.
It is too narrow, the more so the nearer n is to N, as no resample goes beyond the best value seen:
of 400 samples each, of 30 and 100 normal or uniform values, a band of 95 % held the truth in about
90 % at N / 10, 75 % at N / 3 and 50 % at N.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trialbook.analysis.columns import Column, Holds, Table
from trialbook.analysis.searches.history import require_objective
from trialbook.analysis.searches.pruning_rules import executed_trials
from trialbook.analysis.searches.search import Flags, Floats, Ints, Search
from trialbook.analysis.trial_numbers import numbers_text
from trialbook.errors import NotApplicableError

FEWEST = 10
"""Trials below which there is no estimate worth drawing."""
_INDEPENDENT = ("RandomSampler",)
_RESAMPLES = 2000
_BUDGETS = 100
_CELLS = 5_000_000
"""How many numbers of resampled values are in memory at once, at most."""


@dataclass(frozen=True, slots=True, eq=False)
class ExpectedPerformance:
    """The best value that a number of random trials is expected to give.

    Args:
        objective: Index of the objective.
        budgets: Shape (n,): numbers of trials, growing, at most ``trials``.
        expected: Shape (n,): the expected best value.
        low: Shape (n,): lower end of the band.
        high: Shape (n,): upper end of the band.
        level: Nominal level of the band, such as 0.95; see above for how far it falls short.
        resamples: Number of bootstrap resamples.
        seed: Seed of the resampling.
        trials: Number of trials that it is estimated from.
        failed: Number of trials that failed and are left out.
        infeasible: Number of trials that broke a constraint and are left out.
        enqueued: Number of trials whose params somebody chose, which are left out.
    """

    objective: int
    budgets: Ints
    expected: Floats
    low: Floats
    high: Floats
    level: float
    resamples: int
    seed: int
    trials: int
    failed: int
    infeasible: int
    enqueued: int

    def table(self) -> Table:
        """One row a number of trials."""
        names = ("expected best value", "lower", "upper")
        return Table(
            (Column("trials", Holds.INTEGER), *(Column(name, Holds.NUMBER) for name in names)),
            tuple(
                (int(budget), float(value), float(low), float(high))
                for budget, value, low, high in zip(
                    self.budgets, self.expected, self.low, self.high, strict=True
                )
            ),
        )


def expected_performance(
    search: Search,
    objective: int = 0,
    *,
    level: float = 0.95,
    resamples: int = _RESAMPLES,
    seed: int = 0,
) -> ExpectedPerformance:
    """The best value that each number of random trials is expected to give.

    Args:
        search: The study's search.
        objective: Index of the objective, when there are several.
        level: Level of the band.
        resamples: Number of bootstrap resamples.
        seed: Seed of the resampling.

    Raises:
        InvalidInputError: There is no such objective.
        NotApplicableError: The trials are not independent, or too few, with the reason.
    """
    require_objective(search, objective)
    refuse_dependent(search)
    chosen = search.eligible & ~search.enqueued
    values = search.values[chosen, objective]
    if len(values) < FEWEST:
        raise NotApplicableError(
            f"{len(values)} independent trials with a value are too few; {FEWEST} are needed",
            hint="run more trials",
        )
    if not np.isfinite(values).all():
        raise NotApplicableError(
            "an infinite value has no expectation",
            hint="see 'edf' for the distribution of the others",
        )
    maximize = search.study.directions[objective] == "maximize"
    gains = np.sort(values if maximize else -values)
    budgets = _budgets(len(gains))
    weights = _weights(len(gains), budgets)
    low, high = _band(gains, weights, level, resamples, seed)
    expected = weights @ gains
    if not maximize:
        expected, low, high = -expected, -high, -low
    return ExpectedPerformance(
        objective=objective,
        budgets=budgets,
        expected=expected,
        low=low,
        high=high,
        level=level,
        resamples=resamples,
        seed=seed,
        trials=len(gains),
        failed=int(np.sum(search.states == "FAIL")),
        infeasible=_count(search.complete & ~search.feasible),
        enqueued=_count(search.complete & search.enqueued),
    )


def refuse_dependent(search: Search) -> None:
    """Refuse trials that are not independent draws from one distribution.

    Raises:
        NotApplicableError: They are not, or nobody knows; with the reason.
    """
    spec, samplers = search.study.spec, search.samplers
    hint = (
        "repeat the study under other seeds, and run 'trialbook compare' on the repetitions: "
        "their curves have a band"
    )
    if not samplers:
        raise NotApplicableError(
            "the sampler of the study is not recorded, so that its trials may depend on each other",
            hint=hint,
        )
    others = [use for use in samplers if use.component.name not in _INDEPENDENT]
    if others:
        names = ", ".join(dict.fromkeys(use.component.name for use in others))
        of = f"the trials of {names}"
        if len(samplers) > 1:
            of = f"{of} ({numbers_text(sorted(n for use in others for n in use.trials))})"
        raise NotApplicableError(
            f"{of} are not independent draws: the expectation over random trials says nothing "
            "about them",
            hint=hint,
        )
    unknown = _count(search.complete & ~executed_trials(search))
    if unknown:
        raise NotApplicableError(
            f"{unknown} {'trial' if unknown == 1 else 'trials'} with a value did not run under "
            "tracking: somebody may have added them, and how their params came about is not known",
            hint="decorate the objective with trialbook.tracked_objective",
        )
    changed = [change for change in spec.changes if "sampler" in change] if spec else []
    if changed:
        raise NotApplicableError(
            f"the sampler was changed in mid-study ({changed[0]}): the trials are not draws from "
            "one distribution",
            hint=hint,
        )
    if any(len(param.distributions) > 1 for param in search.params):
        raise NotApplicableError(
            "the search space was changed in mid-study: the trials are not draws from one "
            "distribution",
            hint=hint,
        )
    pruned = _count(search.states == "PRUNED")
    if pruned:
        raise NotApplicableError(
            f"{pruned} trials were pruned: what values they would have reached is not known, and "
            "leaving them out would promise too much",
            hint="run the study without a pruner",
        )


def _budgets(trials: int) -> Ints:
    """Every number of trials up to ``_BUDGETS`` of them, spread evenly by their logarithms."""
    if trials <= _BUDGETS:
        return np.arange(1, trials + 1)
    return np.unique(np.rint(np.geomspace(1, trials, _BUDGETS)).astype(np.int64))


def _weights(trials: int, budgets: Ints) -> Floats:
    """Shape (budgets, trials): the weight of each value, the values sorted from the worst."""
    ranks = np.arange(trials + 1) / trials
    weights: Floats = np.diff(ranks[None, :] ** budgets[:, None], axis=1)
    return weights


def _band(
    gains: Floats, weights: Floats, level: float, resamples: int, seed: int
) -> tuple[Floats, Floats]:
    generator = np.random.default_rng(seed)
    count = len(gains)
    at_once = max(1, _CELLS // count)
    found = np.empty((resamples, len(weights)))
    for start in range(0, resamples, at_once):
        size = min(at_once, resamples - start)
        # Sorting indices into sorted values sorts the values.
        drawn = np.sort(generator.integers(0, count, (size, count)), axis=1)
        found[start : start + size] = gains[drawn] @ weights.T
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(found, [tail, 1.0 - tail], axis=0)
    return low, high


def _count(chosen: Flags) -> int:
    return int(np.sum(chosen))
