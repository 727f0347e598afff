"""What a pruner of Optuna compared, computed again from the record; nothing of a book is executed.

The rules are those of ``optuna.pruners`` (version 5): percentile and median, threshold,
asynchronous successive halving (Li et al., "A System for Massively Parallel Hyperparameter Tuning",
MLSys 2020) and Hyperband (Li et al., JMLR 18, 2018). What else there was at the moment of a
judgement follows from the order of finishes and from clocks, so that with parallel workers a rule
may have seen one trial more or less; where that decides, it counts as pruned by the rule.
"""

from __future__ import annotations

import binascii
import inspect
import math
from bisect import insort
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from trialbook.analysis.search.metrics import MetricPoints
from trialbook.analysis.search.search import Flags, Floats, Ints, Search
from trialbook.records.config import ComponentSettings


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
        share = "the median" if self.percentile == 50 else f"the best {self.percentile:g}%"
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


@dataclass(frozen=True, slots=True)
class HalvingRule:
    """``SuccessiveHalvingPruner``, and each bracket of ``HyperbandPruner``.

    At each rung the value is compared with those of the trials that had come to the same rung: it
    goes on when it is among the best ``1 / reduction_factor`` of them.

    Args:
        min_resource: As in Optuna.
        reduction_factor: Likewise.
        bootstrap_count: Likewise.
        rates: ``min_early_stopping_rate`` of each bracket.
        budgets: How many trials of how many go to each bracket.
    """

    min_resource: int
    reduction_factor: int
    bootstrap_count: int
    rates: tuple[int, ...]
    budgets: tuple[int, ...]

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
        wanted = {trial: at for at, trial in enumerate(cases.pruned.tolist())}
        arrivals = sorted(
            arrival
            for trial, bracket in enumerate(brackets)
            for arrival in self._arrivals(cases, trial, bracket)
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
        self, cases: Cases, trial: int, bracket: int
    ) -> Iterator[tuple[float, int, int, float, bool]]:
        """When a trial came to each rung: time, trial, rung, loss, and whether at its last step."""
        part = slice(*cases.points.offsets[trial : trial + 2].tolist())
        steps = cases.points.steps[part].tolist()
        losses = (cases.sign * cases.points.values[part]).tolist()
        seconds = cases.points.seconds[part].tolist()
        rung, last = 0, len(steps) - 1
        goal = self.rung_step(bracket, rung)
        for place, step in enumerate(steps):
            while step >= goal:
                yield seconds[place], trial, rung, losses[place], place == last
                rung += 1
                goal = self.rung_step(bracket, rung)


def rule_of(search: Search, points: MetricPoints) -> Rule | str:
    """The rule of a study's pruner; a text when it cannot be computed again, which says why."""
    spec = search.study.spec
    pruner = None if spec is None else spec.search.pruner
    if spec is None or pruner is None:
        return "the pruner is not recorded"
    changed = [change for change in spec.changes if "pruner" in change]
    if changed:
        return f"the pruner was changed in mid-study ({changed[0]})"
    lasts = points.last()[0][(search.states == "COMPLETE") & (points.lengths > 0)]
    return _rule(pruner, np.unique(lasts))


def _rule(pruner: ComponentSettings, lasts: Ints) -> Rule | str:
    """The rule of these settings.

    Args:
        pruner: Name and settings.
        lasts: The last steps of complete trials, each once: what ``auto`` was worked out from.
    """
    import optuna

    build = _RULES.get(pruner.name)
    if build is None:
        return f"the rule of {pruner.name} cannot be computed again from the record"
    known = inspect.signature(getattr(optuna.pruners, pruner.name)).parameters
    defaults = {key: p.default for key, p in known.items() if p.default is not p.empty}
    try:
        return build({**defaults, **pruner.settings, "name": pruner.name}, lasts)
    except (KeyError, TypeError, ValueError, OverflowError):
        return f"the settings of {pruner.name} are not all recorded"


def _percentile(given: Mapping[str, Any], lasts: Ints) -> Rule:
    return PercentileRule(
        float(50.0 if given["name"] == "MedianPruner" else given["percentile"]),
        int(given["n_startup_trials"]),
        int(given["n_warmup_steps"]),
        int(given["interval_steps"]),
        int(given["n_min_trials"]),
    )


def _threshold(given: Mapping[str, Any], lasts: Ints) -> Rule:
    lower, upper = given["lower"], given["upper"]
    return ThresholdRule(
        -math.inf if lower is None else float(lower),
        math.inf if upper is None else float(upper),
        int(given["n_warmup_steps"]),
        int(given["interval_steps"]),
    )


def _halving(given: Mapping[str, Any], lasts: Ints) -> Rule | str:
    name, factor, least = given["name"], int(given["reduction_factor"]), given["min_resource"]
    undecided = (
        f"the rule of {name} cannot be computed again: each worker worked out its resources "
        "('auto') from the trials that it saw"
    )
    if least in (None, "auto"):
        seen = np.unique(np.maximum(lasts // 100, 1))
        if len(seen) != 1:
            return undecided
        least = seen[0]
    least, bootstrap = int(least), int(given["bootstrap_count"])
    if name == "SuccessiveHalvingPruner":
        rates = (int(given["min_early_stopping_rate"]),)
        return HalvingRule(least, factor, bootstrap, rates, (1,))
    most = given["max_resource"]
    if most == "auto":
        if len(lasts) != 1:
            return undecided
        most = lasts[0] + 1
    brackets = math.floor(math.log(int(most) / least, factor)) + 1
    budgets = tuple(
        math.ceil(brackets * factor ** (brackets - 1 - at) / (brackets - at))
        for at in range(brackets)
    )
    return HalvingRule(least, factor, bootstrap, tuple(range(brackets)), budgets)


_RULES: dict[str, Callable[[Mapping[str, Any], Ints], Rule | str]] = {
    "MedianPruner": _percentile,
    "PercentilePruner": _percentile,
    "ThresholdPruner": _threshold,
    "SuccessiveHalvingPruner": _halving,
    "HyperbandPruner": _halving,
}


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
    executed = np.zeros(len(search), np.bool_)
    for attempt, trial in zip(search.attempts, search.attempt_trial.tolist(), strict=True):
        if attempt.number == search.counting[trial]:
            executed[trial] = attempt.executed
    if executed[cases.pruned].all():
        order = search.finished
        # A trial that was added has no clock of its own; it comes after what was there before it.
        ended = np.where(executed[order], search.ended_s[order], -np.inf)
        keys = np.full(len(search), np.inf)
        keys[order] = np.where(executed[order], ended, np.maximum.accumulate(ended))
        yield keys, cases.points.seconds[cases.points.offsets[cases.pruned + 1] - 1]
    yield by_book


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
