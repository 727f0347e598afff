"""Means of a few measurements with their intervals, and differences of two means.

Numbers only: what they are measurements of is said elsewhere. Every interval names its method.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trialbook.errors import InvalidInputError

Floats = NDArray[np.float64]
Method = Literal["t", "bootstrap"]

LEVEL = 0.95
RESAMPLES = 9999
_LEAST_BOOTSTRAP = 5
_FEW_PAIRS = 6


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval.

    Args:
        low: Its lower end.
        high: Its upper end.
        level: How often such an interval holds the truth, from 0 to 1, if the method's assumptions
            are met.
        method: How it was made, in full.
    """

    low: float
    high: float
    level: float
    method: str

    @property
    def holds_zero(self) -> bool:
        """Whether 0 is in it."""
        return self.low <= 0 <= self.high


def ends_of(interval: Interval | None) -> tuple[float | None, float | None]:
    """Both ends of an interval as cells; without one there are none."""
    return (None, None) if interval is None else (interval.low, interval.high)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its uncertainty.

    Args:
        count: How many values it is the mean of.
        mean: NaN without any.
        deviation: Standard deviation of the values (n - 1 in the denominator); NaN below two.
        lowest: The least of them; NaN without any.
        highest: The greatest of them; NaN without any.
        interval: Of the mean; ``None`` when there is none.
        lacking: Why there is no interval; empty when there is one.
    """

    count: int
    mean: float
    deviation: float
    lowest: float
    highest: float
    interval: Interval | None
    lacking: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference of two means, the first minus the second.

    Args:
        count: How many pairs, or how many values the smaller side has when they are not paired.
        paired: Whether each value of one side belongs to one of the other.
        mean: The difference; NaN without any.
        interval: Of the difference; ``None`` when there is none.
        p_value: That of the test, two-sided; ``None`` when it cannot be made.
        test: Name of the test with what it assumes.
        remark: What limits it; empty for nothing.
    """

    count: int
    paired: bool
    mean: float
    interval: Interval | None
    p_value: float | None
    test: str
    remark: str = ""


def estimate(
    values: Floats, *, method: Method = "t", level: float = LEVEL, seed: int = 0
) -> Estimate:
    """The mean of independent measurements of one quantity.

    Student's t interval assumes that the mean is about normally distributed. It is the default: a
    95 % bootstrap interval of five normal values holds their mean 83 % of the time.
    The bootstrap is the bias-corrected and accelerated one (Efron, "Better Bootstrap Confidence
    Intervals", 1987), for twenty values and more of a skewed distribution.

    Args:
        values: Shape (n,).
        method: ``t`` or ``bootstrap``.
        level: From 0 to 1, both excluded.
        seed: Of the resampling.

    Raises:
        InvalidInputError: There is no such method or level.
    """
    if method not in ("t", "bootstrap"):
        raise InvalidInputError(f"there is no interval {method!r}, but t and bootstrap")
    if not 0 < level < 1:
        raise InvalidInputError(f"the level of an interval is between 0 and 1, not {level}")
    count = len(values)
    mean = lowest = highest = deviation = float("nan")
    if count:
        # Infinities of both signs have no mean, and sums of the largest numbers are infinite.
        with np.errstate(invalid="ignore", over="ignore"):
            mean = float(np.mean(values))
        lowest, highest = float(np.min(values)), float(np.max(values))
    lacking = ""
    if not np.isfinite(values).all():
        lacking = "a value is no finite number"
    elif count < 2:
        lacking = "it takes two values or more"
    elif _are_equal(values):
        # Their mean may be another number in the last digit, and their deviation not quite 0.
        mean, deviation, lacking = lowest, 0.0, "all values are equal"
    else:
        with np.errstate(over="ignore"):
            deviation = float(np.std(values, ddof=1))
    if not lacking and method == "bootstrap" and count < _LEAST_BOOTSTRAP:
        lacking = f"a bootstrap of fewer than {_LEAST_BOOTSTRAP} values is far too narrow"
    if lacking:
        return Estimate(count, mean, deviation, lowest, highest, None, lacking)
    make = _t_interval if method == "t" else _bootstrap_interval
    with np.errstate(over="ignore", invalid="ignore"):
        interval: Interval | None = make(values, level, seed)
    if interval is not None and not np.isfinite((interval.low, interval.high)).all():
        # BCa divides by the skewness of the values, t squares them: both end with float64.
        interval, lacking = None, f"the {method} interval of these values is not finite"
    return Estimate(count, mean, deviation, lowest, highest, interval, lacking)


def paired_difference(first: Floats, second: Floats, *, level: float = LEVEL) -> Difference:
    """The mean of the differences of pairs, with the signed-rank test of Wilcoxon (1945).

    Pairs without a difference take no part in the test, as Wilcoxon has it. When all differences
    are equal nothing is tested: runs whose seed changes nothing repeat one difference, and as many
    copies of it as one likes would make p as small as one likes.

    Args:
        first: Shape (pairs,).
        second: Shape (pairs,).
        level: Of the interval.
    """
    from scipy import stats

    differences = first - second
    found = estimate(differences, level=level)
    count = len(differences)
    test = (
        "Wilcoxon signed-rank, two-sided; assumes that differences are independent and "
        "symmetric about their median; leaves out those that are 0"
    )
    remark, p_value = "", None
    if count and not differences.any():
        remark = "every difference is 0"
    elif count > 1 and _are_equal(differences):
        remark = "all differences are equal: there is no spread to judge them by"
    elif count > 1 and np.isfinite(differences).all():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # small and tied samples are what is expected here
            p_value = float(stats.wilcoxon(differences).pvalue)
        ranked = int(np.count_nonzero(differences))
        if ranked < _FEW_PAIRS:
            pairs = (
                f"{count} pairs" if ranked == count else f"{ranked} of {count} pairs that differ"
            )
            remark = f"with {pairs} p cannot be below {2.0 ** (1 - ranked):g}"
    else:
        remark = "it takes two pairs or more"
    interval = found.interval
    if interval is not None:
        interval = Interval(interval.low, interval.high, level, _T_OF_DIFFERENCES)
    return Difference(count, True, found.mean, interval, p_value, test, remark)


def unpaired_difference(first: Floats, second: Floats, *, level: float = LEVEL) -> Difference:
    """The difference of two means whose values have nothing to do with each other (Welch, 1947).

    Args:
        first: Shape (n,).
        second: Shape (m,).
        level: Of the interval.
    """
    from scipy import stats

    count = min(len(first), len(second))
    with np.errstate(invalid="ignore", over="ignore"):
        mean = float(np.mean(first) - np.mean(second)) if count else float("nan")
    test = "Welch's t, two-sided; assumes independent values and means that are about normal"
    both = np.concatenate([first, second])
    if count < 2 or not np.isfinite(both).all():
        return Difference(count, False, mean, None, None, test, "it takes two values of each")
    equal = _are_equal(first) + _are_equal(second)
    if equal:
        # Runs whose seed changes nothing are copies of one: their error is not 0, but not known.
        remark = f"{'one side has no' if equal == 1 else 'neither side has any'} spread to judge by"
        return Difference(count, False, mean, None, None, test, remark)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        found = stats.ttest_ind(first, second, equal_var=False)
        ends = found.confidence_interval(level)
    if not np.isfinite((ends.low, ends.high, found.pvalue)).all():
        remark = "the values are too large or too close for an interval"
        return Difference(count, False, mean, None, None, test, remark)
    interval = Interval(float(ends.low), float(ends.high), level, "Welch's t")
    return Difference(count, False, mean, interval, float(found.pvalue), test)


_T_OF_DIFFERENCES = "Student's t of the differences of pairs"


def _are_equal(values: Floats) -> bool:
    return bool((values == values[0]).all())


def _t_interval(values: Floats, level: float, _: int) -> Interval:
    from scipy import stats

    count = len(values)
    half = float(stats.t.ppf((1 + level) / 2, count - 1)) * float(np.std(values, ddof=1))
    half /= float(np.sqrt(count))
    mean = float(np.mean(values))
    return Interval(mean - half, mean + half, level, "Student's t")


def _bootstrap_interval(values: Floats, level: float, seed: int) -> Interval:
    from scipy import stats

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ends = stats.bootstrap(
            (values,),
            np.mean,
            n_resamples=RESAMPLES,
            confidence_level=level,
            method="BCa",
            random_state=np.random.default_rng(seed),
        ).confidence_interval
    method = f"bootstrap, BCa, {RESAMPLES} resamples, seed {seed}"
    return Interval(float(ends.low), float(ends.high), level, method)
