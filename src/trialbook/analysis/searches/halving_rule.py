"""Successive halving and Hyperband as rules that are computed again from the record.

As ``optuna.pruners`` (version 5) does it: asynchronous successive halving (Li et al., "A System for
Massively Parallel Hyperparameter Tuning", MLSys 2020), and Hyperband (Li et al., JMLR 18, 2018) as
brackets of it.
"""

from __future__ import annotations

import binascii
import math
from bisect import insort
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from trialbook.analysis.searches.pruning_rules import Cases, Judgement, executed_trials


@dataclass(frozen=True, slots=True)
class HalvingRule:
    """``SuccessiveHalvingPruner``, and each bracket of ``HyperbandPruner``.

    At each rung the value is compared with those of the trials that had come to the same rung: it
    goes on when it is among the best ``1 / reduction_factor`` of them. Trials are taken as having
    asked ``should_prune`` after each report; ``recorded_rule.py`` refuses those known to have not.

    Args:
        min_resource: As in Optuna.
        reduction_factor: Likewise.
        bootstrap_count: Likewise.
        rates: ``min_early_stopping_rate`` of each bracket.
        budgets: How many trials of how many go to each bracket.
        awaited: Whether nothing was pruned before the first complete trial told the resources.
    """

    min_resource: int
    reduction_factor: int
    bootstrap_count: int
    rates: tuple[int, ...]
    budgets: tuple[int, ...]
    awaited: bool

    def says(self) -> str:
        """The rule in one sentence."""
        brackets = "" if len(self.rates) == 1 else f", in {len(self.rates)} brackets"
        return (
            "the value at a rung was not among the best "
            f"1/{self.reduction_factor} of the trials that had come to it, the first rung at step "
            f"{self.rung_step(0, 0)}{brackets}"
        )

    def rung_step(self, bracket: int, rung: int) -> int:
        """The step at which a rung is complete."""
        return self.min_resource * int(self.reduction_factor ** (self.rates[bracket] + rung))

    def bracket(self, study: str, number: int) -> int:
        """The bracket of a trial, which Hyperband draws from its name."""
        place = binascii.crc32(f"{study}_{number}".encode()) % sum(self.budgets)
        return int(np.searchsorted(np.cumsum(self.budgets), place, side="right"))

    def judge(self, cases: Cases) -> Judgement:
        """What it says of each pruned trial."""
        search = cases.search
        brackets = [self.bracket(search.study.name, n) for n in search.numbers.tolist()]
        since = first_complete_s(cases) if self.awaited else -math.inf
        wanted = {trial: at for at, trial in enumerate(cases.pruned.tolist())}
        arrivals = sorted(
            arrival
            for trial, bracket in enumerate(brackets)
            for arrival in self._arrivals(cases, trial, bracket, since)
        )
        judged = cases.reached
        threshold = np.full(len(judged), np.nan)
        prunes = np.zeros(len(judged), np.bool_)
        reached: dict[tuple[int, int], list[float]] = {}
        for _, trial, rung, loss, is_last in arrivals:
            at = wanted.get(trial) if is_last else None
            if at is not None and prunes[at]:
                continue
            if math.isnan(loss):
                if at is not None:
                    prunes[at] = True
                continue
            losses = reached.setdefault((brackets[trial], rung), [])
            insort(losses, loss)
            if at is None:
                continue
            worst = losses[max(0, len(losses) // self.reduction_factor - 1)]
            threshold[at] = cases.sign * worst
            prunes[at] = len(losses) <= self.bootstrap_count or loss > worst
        return Judgement(judged, threshold, cases.sign * (judged - threshold), prunes)

    def _arrivals(
        self, cases: Cases, trial: int, bracket: int, since: float
    ) -> Iterator[tuple[float, int, int, float, bool]]:
        """When a trial came to each rung: time, trial, rung, loss, and whether at its last step."""
        part = slice(*cases.points.offsets[trial : trial + 2].tolist())
        steps = cases.points.steps[part].tolist()
        losses = (cases.sign * cases.points.values[part]).tolist()
        seconds = cases.points.seconds[part].tolist()
        rung, last = 0, len(steps) - 1
        goal = self.rung_step(bracket, rung)
        for place, step in enumerate(steps):
            while step >= goal and seconds[place] > since:
                yield seconds[place], trial, rung, losses[place], place == last
                rung += 1
                goal = self.rung_step(bracket, rung)


def first_complete_s(cases: Cases) -> float:
    """When the first complete trial that reported something ended."""
    search = cases.search
    order = search.finished
    complete = order[(search.states[order] == "COMPLETE") & (cases.points.lengths[order] > 0)]
    if not len(complete):
        return math.inf
    trial = int(complete[0])
    reported = float(cases.points.seconds[cases.points.offsets[trial + 1] - 1])
    # Of a trial that was added the only clock is that of the adding, which its points have too.
    return (
        max(reported, float(search.ended_s[trial])) if executed_trials(search)[trial] else reported
    )
