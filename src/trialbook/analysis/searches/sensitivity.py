"""How the value changes around the best trial, one param at a time: from trials that were run.

Of each param those trials are looked at that are near the best one in all other params. Nearness is
Gower's distance ("A general coefficient of similarity and some of its properties", Biometrics 27,
1971): the mean over the other params of how far two trials are apart, on 0 to 1. How fast the value
gets worse with the distance in this param is the median of the slopes between all pairs of them
(Theil 1950; Sen, "Estimates of the regression coefficient based on Kendall's tau", JASA 63, 1968),
which a few failures do not move; of a categorical that is the Hodges-Lehmann shift from the best
choice to the others. Where too few trials are near, nothing is said.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trialbook.analysis.columns import Cell, Column, Holds, Table
from trialbook.analysis.searches.axes import ParamAxis, param_axes
from trialbook.analysis.searches.judged import Judged, judged
from trialbook.analysis.searches.search import Floats, Ints, Search
from trialbook.errors import NotApplicableError

RADIUS = 0.2
"""Gower's distance in the other params up to which a trial is near the best."""
FEWEST = 5
"""How many near trials an effect needs, the best not counted."""
FEWEST_TRIALS = 10
MOST = 200
"""Near trials that are looked at, the nearest: with more, nearness costs nothing but time."""
LEVEL = 0.9
TOLERANCE = 0.1
"""Share of the distance from the best to the median trial that still counts as good."""


@dataclass(frozen=True, slots=True, eq=False)
class LocalEffect:
    """One param around the best trial.

    Args:
        axis: The param.
        best: Its position in the best trial; NaN when that has no such param.
        near: Shape (m,): positions, in ``Judged``, of the near trials, without the best: the
            nearest of those within the radius, when there are very many.
        distance: Shape (m,): how far each is from the best in this param, as a share of its range
            by its scale; of a categorical 0 or 1.
        effect: How much worse the value gets for each tenth of the range away from the best, of a
            categorical for another choice; below 0 when it gets better. ``None`` when unknown.
        low: Lower end of the interval of the effect, likewise; ``None`` where so few trials, or
            with so many at equal distances, allow no interval of this level.
        high: Upper end, likewise.
        slope: Loss for the whole range, with which a line is drawn; NaN when unknown.
        intercept: Loss at the best's position on that line; NaN when unknown.
        good: Lowest and highest position around the best at which every near trial was within the
            tolerance, the best's own included; of a categorical ``None``, see ``good_choices``.
        good_choices: Choices of which the median near trial was within the tolerance.
        reason: What cannot be said and why; empty when there is an effect.
    """

    axis: ParamAxis
    best: float
    near: Ints
    distance: Floats
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    slope: float = np.nan
    intercept: float = np.nan
    good: tuple[float, float] | None = None
    good_choices: tuple[str, ...] = ()
    reason: str = ""

    @property
    def good_text(self) -> str | None:
        """The good positions as text; ``None`` when nothing is known of them."""
        if self.good_choices:
            return ", ".join(self.good_choices)
        if self.good is None:
            return None
        low, high = (self.axis.cell(end) for end in self.good)
        return f"{low:.4g} to {high:.4g}" if low != high else f"{low:.4g}"


@dataclass(frozen=True, slots=True, eq=False)
class Sensitivity:
    """Every param around the best trial.

    Args:
        judged: The trials that count.
        effects: One a param, in the order in which they were asked.
        radius: Distance up to which a trial is near.
        tolerance: How much worse than the best a value may be to count as good.
        tolerance_share: The same as a share of the distance from the best to the median trial.
        level: Of the intervals.
    """

    judged: Judged
    effects: tuple[LocalEffect, ...]
    radius: float
    tolerance: float
    tolerance_share: float
    level: float = LEVEL

    def table(self) -> Table:
        """One row a param."""
        percent = f"{100 * self.level:g} %"
        rows: list[tuple[Cell, ...]] = [
            (
                one.axis.name,
                _text(one.axis.cell(one.best)),
                len(one.near),
                one.effect,
                one.low,
                one.high,
                one.good_text,
                one.reason or None,
            )
            for one in self.effects
        ]
        return Table(
            (
                Column("param", Holds.CODE),
                Column("best"),
                Column("near trials", Holds.INTEGER),
                Column("worse by, per tenth of the range or other choice", Holds.NUMBER),
                Column(f"{percent} interval from", Holds.NUMBER),
                Column("to", Holds.NUMBER),
                Column("within tolerance"),
                Column("what cannot be said"),
            ),
            tuple(rows),
        )


def sensitivity(
    search: Search,
    objective: int = 0,
    params: Sequence[str] = (),
    *,
    radius: float = RADIUS,
    tolerance: float = TOLERANCE,
) -> Sensitivity:
    """How the value changes around the best trial.

    The best trial itself takes no part in the slopes: it was chosen for its value, luck included.

    Args:
        search: The study's search.
        objective: Index of the objective, when there are several; the best is the best in it alone.
        params: Names of params to look at; empty for all. Nearness is always in all others.
        radius: Gower's distance up to which a trial is near.
        tolerance: Share of the distance from the best to the median trial within which a trial is
            as good as the best.

    Raises:
        NotApplicableError: Too few trials count, or all have the same value, or there is no param.
        NotFoundError: No trial has a param of that name.
    """
    trials = judged(search, objective)
    if len(trials) < FEWEST_TRIALS:
        raise NotApplicableError(
            f"sensitivity needs at least {FEWEST_TRIALS} complete, feasible trials with a finite "
            f"value, and there are {len(trials)}",
            hint="run more trials; see 'slice' for those that there are",
        )
    if np.all(trials.losses == trials.losses[0]):
        raise NotApplicableError("all trials have the same value")
    shown = param_axes(search, params)
    axes = [axis for axis in param_axes(search) if axis.given[trials.indices].any()]
    if not axes:
        raise NotApplicableError(
            "no complete trial has a param",
            hint="ask for params in the objective with trial.suggest_*",
        )
    apart = np.array([_apart(axis, trials) for axis in axes])
    known = ~np.isnan(apart)
    total, counted = np.nansum(apart, axis=0), known.sum(axis=0)
    good = tolerance * float(np.median(trials.losses) - trials.losses[trials.best])
    effects = []
    for axis in shown:
        at = next((at for at, other in enumerate(axes) if other.name == axis.name), None)
        if at is None:
            continue
        others = counted - known[at]
        rest = total - np.nan_to_num(apart[at])
        gower = np.divide(rest, others, out=np.zeros(len(trials)), where=others > 0)
        near = (gower <= radius) & axis.given[trials.indices]
        near[trials.best] = False
        within = np.flatnonzero(near)
        nearest = np.sort(within[np.argsort(gower[within], kind="stable")[:MOST]])
        effects.append(_effect(axis, trials, apart[at], nearest, good))
    return Sensitivity(trials, tuple(effects), radius, good, tolerance)


def _apart(axis: ParamAxis, trials: Judged) -> Floats:
    """Shape (n,): how far each trial is from the best in one param, from 0 to 1.

    1 when only one of the two has it, NaN (which counts nowhere) when neither has.
    """
    positions = axis.positions[trials.indices]
    best = positions[trials.best]
    if np.isnan(best):
        absent: Floats = np.where(np.isnan(positions), np.nan, 1.0)
        return absent
    if axis.is_categorical:
        other: Floats = (positions != best).astype(np.float64)  # an absent one is another too
        return other
    scaled = axis.scaled[trials.indices]
    apart: Floats = np.nan_to_num(np.abs(scaled - scaled[trials.best]), nan=1.0)
    return apart


def _effect(
    axis: ParamAxis, trials: Judged, apart: Floats, near: Ints, tolerance: float
) -> LocalEffect:
    best = float(axis.positions[trials.best_index])
    distance = apart[near]
    if np.isnan(best):
        nothing = np.empty(0, np.int64)
        return LocalEffect(
            axis, best, nothing, np.empty(0), reason="the best trial does not have it"
        )
    if axis.single:
        return LocalEffect(axis, best, near, distance, reason="it has a single value")
    if len(near) < FEWEST:
        return LocalEffect(
            axis,
            best,
            near,
            distance,
            reason=f"too few trials near the best: {len(near)} of {FEWEST} that are needed",
        )
    good, choices = _good(axis, trials, near, tolerance)
    if np.all(distance == distance[0]):
        return LocalEffect(
            axis,
            best,
            near,
            distance,
            good=good,
            good_choices=choices,
            reason="all near trials have it at the same distance",
        )
    slope, intercept, low, high = _slope(distance, trials.losses[near])
    unit = 1.0 if axis.is_categorical else 0.1
    return LocalEffect(
        axis,
        best,
        near,
        distance,
        effect=slope * unit,
        low=None if low is None else low * unit,
        high=None if high is None else high * unit,
        slope=slope,
        intercept=intercept,
        good=good,
        good_choices=choices,
    )


def _slope(distance: Floats, losses: Floats) -> tuple[float, float, float | None, float | None]:
    """Theil and Sen's slope, its intercept, and both ends of the slope's interval.

    The interval is that of Kendall's tau turned round. Of n trials, t of them at one distance, u at
    another, there are n! / (t! u! ...) orders; when two of these are more than a share 1 - level,
    no interval has the level, and there is none.
    """
    from scipy.stats import theilslopes

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        slope, intercept, low, high = map(float, theilslopes(losses, distance, LEVEL))
    ties = np.unique(distance, return_counts=True)[1].tolist()
    orders = math.factorial(len(distance)) // math.prod(map(math.factorial, ties))
    if orders < 2 / (1 - LEVEL) - 1e-6:  # no product: hundreds of trials have more than a float
        return slope, intercept, None, None
    return slope, intercept, low, high


def _good(
    axis: ParamAxis, trials: Judged, near: Ints, tolerance: float
) -> tuple[tuple[float, float] | None, tuple[str, ...]]:
    limit = trials.losses[trials.best] + tolerance
    members = np.append(near, trials.best)
    positions = axis.positions[trials.indices[members]]
    losses = trials.losses[members]
    if axis.is_categorical:
        best = positions[-1]
        return None, tuple(
            label
            for index, label in enumerate(axis.choices)
            if index == best
            or ((positions == index).any() and np.median(losses[positions == index]) <= limit)
        )
    bad = positions[losses > limit]
    best = positions[-1]
    below, above = bad[bad <= best], bad[bad >= best]
    inside = positions[
        (positions > (below.max() if len(below) else -np.inf))
        & (positions < (above.min() if len(above) else np.inf))
    ]
    inside = np.append(inside, best)
    return (float(inside.min()), float(inside.max())), ()


def _text(cell: Cell) -> str | None:
    return None if cell is None else str(cell)
