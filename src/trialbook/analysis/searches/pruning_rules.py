"""What a pruner of Optuna compared, computed again from the record: percentiles and thresholds.

Rungs are in ``halving_rule.py``, which rule a study has in ``recorded_rule.py``. What else there
was at the moment of a judgement follows from the order of finishes and from clocks, so that with
parallel workers a rule may have seen one trial more or less; where that decides, it counts as
pruned by the rule.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from trialbook.analysis.searches.metrics import MetricPoints
from trialbook.analysis.searches.search import Flags, Floats, Ints, Search


@dataclass(frozen=True, eq=False)
class Cases:
    """What rules look at.

    Args:
        search: The study's search, with one objective.
        points: What was reported, by step.
        pruned: Shape (n,): indices of the pruned trials that reported something.
    """

    search: Search
    points: MetricPoints
    pruned: Ints

    @cached_property
    def steps(self) -> Ints:
        """Shape (n,): the last step that each reported."""
        last: Ints = self.points.last()[0][self.pruned]
        return last

    @cached_property
    def reached(self) -> Floats:
        """Shape (n,): the value there."""
        last: Floats = self.points.last()[1][self.pruned]
        return last

    @property
    def maximize(self) -> bool:
        """Whether higher is better."""
        return self.search.study.directions[0] == "maximize"

    @property
    def sign(self) -> float:
        """What makes of a value a loss, of which less is better."""
        return -1.0 if self.maximize else 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """What a rule says of each pruned trial, at the last step that it reported.

    Args:
        judged: Shape (n,): the value that the rule compared.
        threshold: Shape (n,): with what; NaN where there was nothing to compare with.
        margin: Shape (n,): by how much it was beyond the threshold, on the side where the rule
            prunes; negative on the other side, NaN without a threshold.
        prunes: Shape (n,): whether the rule prunes there.
    """

    judged: Floats
    threshold: Floats
    margin: Floats
    prunes: Flags


class Rule(Protocol):
    """A rule that can be computed again."""

    def says(self) -> str:
        """The rule in one sentence."""
        ...

    def judge(self, cases: Cases) -> Judgement:
        """What it says of each pruned trial."""
        ...


@dataclass(frozen=True, slots=True)
class PercentileRule:
    """``PercentilePruner`` and ``MedianPruner``.

    The best value so far of the trial is compared with a percentile of what complete trials had
    reported at the same step.
    """

    percentile: float
    n_startup_trials: int
    n_warmup_steps: int
    interval_steps: int
    n_min_trials: int

    def says(self) -> str:
        """The rule in one sentence."""
        share = "the median" if self.percentile == 50 else f"the best {self.percentile:g} %"
        return (
            f"the best value so far was worse than {share} of the complete trials at the same "
            f"step, with at least {self.n_startup_trials} complete trials, from step "
            f"{self.n_warmup_steps} on"
        )

    def judge(self, cases: Cases) -> Judgement:
        """What it says of each pruned trial."""
        judged = _best_reported(cases)
        checks = _checks(cases, self.n_warmup_steps, self.interval_steps)
        found: list[Judgement] = []
        for keys, moments in _orders(cases):
            threshold = self._thresholds(cases, keys, moments)
            with np.errstate(invalid="ignore"):
                margin = cases.sign * (judged - threshold)
            complete = np.sort(keys[cases.search.states == "COMPLETE"])
            started = np.searchsorted(complete, moments, side="right") >= max(
                self.n_startup_trials, 1
            )
            prunes = checks & started & (np.isnan(judged) | (margin > 0))
            found.append(Judgement(judged, threshold, margin, prunes))
        return _either(found)

    def _thresholds(self, cases: Cases, keys: Floats, moments: Floats) -> Floats:
        """The percentile at each pruned trial's last step, of what was there at its moment."""
        steps = cases.steps
        share = (100 - self.percentile if cases.maximize else self.percentile) / 100
        thresholds = np.full(len(steps), np.nan)
        complete = cases.search.states == "COMPLETE"
        for step in np.unique(steps).tolist():
            here = np.flatnonzero(steps == step)
            values = cases.points.at(step)
            known = np.flatnonzero(complete & _has_step(cases.points, step))
            known = known[np.argsort(keys[known], kind="stable")]
            thresholds[here] = _running_quantile(
                keys[known], values[known], moments[here], share, self.n_min_trials
            )
        return thresholds


@dataclass(frozen=True, slots=True)
class ThresholdRule:
    """``ThresholdPruner``: the last value is compared with two bounds."""

    lower: float
    upper: float
    n_warmup_steps: int
    interval_steps: int

    def says(self) -> str:
        """The rule in one sentence."""
        bounds = [
            text
            for bound, text in (
                (self.lower, f"below {self.lower:g}"),
                (self.upper, f"above {self.upper:g}"),
            )
            if math.isfinite(bound)
        ]
        return f"the last value was {' or '.join(bounds)}, from step {self.n_warmup_steps} on"

    def judge(self, cases: Cases) -> Judgement:
        """What it says of each pruned trial."""
        judged = cases.reached
        below, above = self.lower - judged, judged - self.upper
        margin = np.maximum(below, above)
        checks = _checks(cases, self.n_warmup_steps, self.interval_steps)
        return Judgement(
            judged=judged,
            threshold=np.where(below >= above, self.lower, self.upper),
            margin=margin,
            prunes=checks & (np.isnan(judged) | (margin > 0)),
        )


def _best_reported(cases: Cases) -> Floats:
    """Shape (n,): the best value that each pruned trial reported; NaN when all are NaN."""
    reduce = np.fmax if cases.maximize else np.fmin
    starts = cases.points.offsets[cases.pruned]
    ends = cases.points.offsets[cases.pruned + 1]
    bounds = np.stack([starts, ends], axis=1).ravel()
    padded = np.append(cases.points.values, np.nan)  # the last bound may lie behind the points
    best: Floats = reduce.reduceat(padded, bounds)[::2]
    return best


def _checks(cases: Cases, warmup: int, interval: int) -> Flags:
    """Shape (n,): whether the pruner looked at the last step at all.

    It does behind the warm-up, at the first report of each interval.
    """
    last = cases.steps
    before = np.full(len(last), -1)
    for at, trial in enumerate(cases.pruned.tolist()):
        steps = cases.points.of(trial)[0]
        earlier = steps[steps < last[at]]
        if len(earlier):
            before[at] = max(-1, int(earlier[-1]))
    begins = (last - warmup) // interval * interval + warmup
    checked: Flags = (last >= warmup) & (before < begins)
    return checked


def _has_step(points: MetricPoints, step: int) -> Flags:
    owner = np.repeat(np.arange(len(points.lengths)), points.lengths)
    there = np.zeros(len(points.lengths), np.bool_)
    there[owner[points.steps == step]] = True
    return there


def _orders(cases: Cases) -> Iterator[tuple[Floats, Floats]]:
    """Two ways to tell what had finished at the moment of a judgement, the better one first.

    By clocks: what had ended when the trial made its last report. By the book's order: what was
    recorded before the trial was. Between the two are trials that finished while it was ending.

    Yields:
        A key of every trial, shape (trials,), and of every pruned one, shape (n,): a trial counts
        when its key is not above.
    """
    search = cases.search
    finish = search.finish.astype(float)
    by_book = np.where(finish > 0, finish, np.inf), finish[cases.pruned] - 1
    executed = executed_trials(search)
    if executed[cases.pruned].all():
        order = search.finished
        # A trial that was added has no clock of its own; it comes after what was there before it.
        ended = np.where(executed[order], search.ended_s[order], -np.inf)
        keys = np.full(len(search), np.inf)
        keys[order] = np.where(executed[order], ended, np.maximum.accumulate(ended))
        yield keys, cases.points.seconds[cases.points.offsets[cases.pruned + 1] - 1]
    yield by_book


def executed_trials(search: Search) -> Flags:
    """Shape (trials,): whether the attempt that counts ran under tracking."""
    executed = np.zeros(len(search), np.bool_)
    for attempt, trial in zip(search.attempts, search.attempt_trial.tolist(), strict=True):
        if attempt.number == search.counting[trial]:
            executed[trial] = attempt.executed
    return executed


def _either(found: list[Judgement]) -> Judgement:
    """The first judgement; what any of them prunes is pruned by the rule, with its threshold."""
    first = found[0]
    for other in found[1:]:
        instead = other.prunes & ~first.prunes
        first = Judgement(
            np.where(instead, other.judged, first.judged),
            np.where(instead, other.threshold, first.threshold),
            np.where(instead, other.margin, first.margin),
            first.prunes | other.prunes,
        )
    return first


def _running_quantile(
    keys: Floats, values: Floats, moments: Floats, share: float, least: int
) -> Floats:
    """The quantile, at each moment, of the values whose keys are not above it.

    As ``numpy.nanquantile`` computes it, to the last bit, but in one pass over growing keys.

    Args:
        keys: Shape (n,), growing.
        values: Shape (n,).
        moments: Shape (m,).
        share: From 0 to 1.
        least: With fewer values, NaN among them, the quantile is NaN.
    """
    found = np.full(len(moments), np.nan)
    inside: list[float] = []
    counts = np.searchsorted(keys, moments, side="right")
    done = 0
    given = values.tolist()
    for at in np.argsort(counts, kind="stable").tolist():
        for value in given[done : counts[at]]:
            if value == value:
                insort(inside, value)
        done = int(counts[at])
        if done >= least and inside:
            found[at] = _quantile(inside, share)
    return found


def _quantile(ordered: list[float], share: float) -> float:
    """The quantile of ordered values by linear interpolation, as NumPy's ``_lerp`` rounds it."""
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    below, above = ordered[low], ordered[min(low + 1, len(ordered) - 1)]
    part = place - low
    if part >= 0.5:
        return above - (above - below) * (1 - part)
    return below + (above - below) * part
