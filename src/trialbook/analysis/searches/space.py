"""The search space as the trials met it: ranges, scales, changes in mid-study and conditions.

Nothing here was declared: Optuna's spaces are written by running them. A range is what a trial was
asked with, a condition is what the trials agree on, and both are worded so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from trialbook.analysis.columns import Column, Holds, Table
from trialbook.analysis.searches.axes import ParamAxis, choice_texts, param_axis
from trialbook.analysis.searches.search import Flags, Ints, ParamColumn, Search
from trialbook.errors import NotApplicableError

MOST_GROUPS = 12
"""How many different values a param may have to be looked at as a condition."""
CHANCE = 0.05
"""How likely a condition may be to hold by chance, over all params that were tried as one."""


@dataclass(frozen=True, slots=True)
class SpaceRange:
    """A distribution that a param was asked with.

    Args:
        kind: ``float``, ``int`` or ``categorical``.
        low: Lowest value; ``None`` for a categorical.
        high: Highest value, allowed too; ``None`` for a categorical.
        step: Distance of values; ``None`` when there is none.
        log: Whether it is on a log scale.
        choices: Labels of a categorical's choices, in its order; empty otherwise.
        first_trial: Number of the first trial that was asked with it.
        trials: How many trials were.
    """

    kind: str
    low: float | None
    high: float | None
    step: float | None
    log: bool
    choices: tuple[str, ...]
    first_trial: int
    trials: int

    @property
    def text(self) -> str:
        """As in ``1e-05 to 0.1, log`` or ``one of adam, sgd``."""
        if self.kind == "categorical":
            return ("one of " if len(self.choices) > 1 else "only ") + ", ".join(self.choices)
        if self.low == self.high:
            return f"only {self.low!r}"
        parts = [f"{self.low!r} to {self.high!r}"]
        if self.step is not None and not (self.kind == "int" and self.step == 1):
            parts.append(f"in steps of {self.step!r}")
        return ", ".join(parts + ["log"] * self.log)


@dataclass(frozen=True, slots=True)
class Condition:
    """What tells, in all finished trials, whether a param was asked: observed, never declared.

    Args:
        on: Name of the other param.
        values: Labels of its values with which the param was asked, always.
        without: Labels of its values with which it never was.
        asked: Number of trials in which the param was asked.
        not_asked: Number of those in which it was not.
        states: What these trials are: complete or pruned ones, or only complete ones.
    """

    on: str
    values: tuple[str, ...]
    without: tuple[str, ...]
    asked: int
    not_asked: int
    states: str

    @property
    def text(self) -> str:
        """In words, with the number of trials that it rests on."""
        values = self.values[0] if len(self.values) == 1 else "{" + ", ".join(self.values) + "}"
        sign = "=" if len(self.values) == 1 else "in"
        return (
            f"observed: asked only when {self.on} {sign} {values} "
            f"(all {self.asked} {self.states} trials with it, none of {self.not_asked} others)"
        )


@dataclass(frozen=True, slots=True)
class SpaceParam:
    """A param of the search space.

    Args:
        name: Its name.
        ranges: Every distribution that it was asked with, in the order of their first trials.
        current: Index of the range that the latest trial was asked with.
        asked_in: Number of trials that have it, of whatever state.
        trials: Number of trials that have any param.
        missing_in: Number of COMPLETE trials that have other params and not this one.
        condition: What tells whether it was asked; ``None`` when it always was, or nothing does.
    """

    name: str
    ranges: tuple[SpaceRange, ...]
    current: int
    asked_in: int
    trials: int
    missing_in: int
    condition: Condition | None

    @property
    def kind(self) -> str:
        """``float``, ``int`` or ``categorical``."""
        return self.ranges[self.current].kind

    @property
    def low(self) -> float | None:
        """Of the latest range."""
        return self.ranges[self.current].low

    @property
    def high(self) -> float | None:
        """Of the latest range."""
        return self.ranges[self.current].high

    @property
    def step(self) -> float | None:
        """Of the latest range."""
        return self.ranges[self.current].step

    @property
    def log(self) -> bool:
        """Of the latest range."""
        return self.ranges[self.current].log

    @property
    def choices(self) -> tuple[str, ...]:
        """Of the latest range."""
        return self.ranges[self.current].choices

    @property
    def changed(self) -> bool:
        """Whether it was asked with more than one distribution."""
        return len(self.ranges) > 1

    @property
    def changes(self) -> tuple[str, ...]:
        """Each distribution with the trial from which on it was met; empty when there is one."""
        if not self.changed:
            return ()
        return tuple(
            f"from trial {one.first_trial} on ({one.trials} trials): {one.text}"
            for one in self.ranges
        )

    @property
    def asked(self) -> str:
        """When it was asked, in words."""
        if self.condition is not None:
            return self.condition.text
        if not self.missing_in:
            return "always"
        return (
            f"not in {self.missing_in} complete trials; no other param alone tells in which "
            "(observed)"
        )


@dataclass(frozen=True, slots=True)
class Space:
    """A search space.

    Args:
        params: In the order in which they were first asked.
    """

    params: tuple[SpaceParam, ...]

    def table(self) -> Table:
        """One row a param and distribution."""
        return Table(
            (
                Column("param", Holds.CODE),
                Column("kind"),
                Column("low", Holds.EXACT),
                Column("high", Holds.EXACT),
                Column("step", Holds.EXACT),
                Column("scale"),
                Column("choices"),
                Column("asked"),
                Column("trials", Holds.INTEGER),
                Column("from trial", Holds.INTEGER),
            ),
            tuple(
                (
                    param.name,
                    one.kind,
                    one.low,
                    one.high,
                    one.step,
                    None if one.choices else "log" if one.log else "linear",
                    ", ".join(one.choices) or None,
                    param.asked,
                    one.trials,
                    one.first_trial,
                )
                for param in self.params
                for one in param.ranges
            ),
        )


def space(search: Search) -> Space:
    """The search space as the trials met it.

    Raises:
        NotApplicableError: No trial has a param.
    """
    if not search.params:
        raise NotApplicableError(
            "no trial has asked for a param",
            hint="ask for params in the objective with trial.suggest_*",
        )
    axes = [param_axis(column) for column in search.params]
    return Space(tuple(_param(search, column, axes) for column in search.params))


def _param(search: Search, column: ParamColumn, axes: list[ParamAxis]) -> SpaceParam:
    with_any = np.any([axis.given for axis in axes], axis=0)
    complete = with_any & (search.states == "COMPLETE")
    return SpaceParam(
        name=column.name,
        ranges=tuple(
            _range(distribution, search.numbers[column.space == index])
            for index, distribution in enumerate(column.distributions)
        ),
        current=int(column.space[np.flatnonzero(column.given)[-1]]),
        asked_in=int(column.given.sum()),
        trials=int(with_any.sum()),
        missing_in=int((complete & ~column.given).sum()),
        condition=_condition(column, axes, search),
    )


def _range(distribution: Any, numbers: Ints) -> SpaceRange:
    choices = getattr(distribution, "choices", ())
    numeric = not choices
    return SpaceRange(
        kind=type(distribution).__name__.removesuffix("Distribution").lower(),
        low=distribution.low if numeric else None,
        high=distribution.high if numeric else None,
        step=distribution.step if numeric else None,
        log=bool(distribution.log) if numeric else False,
        choices=choice_texts(choices),
        first_trial=int(numbers[0]),
        trials=len(numbers),
    )


def _condition(column: ParamColumn, axes: list[ParamAxis], search: Search) -> Condition | None:
    """The other param whose value alone tells whether this one was asked; ``None`` without one.

    A pruned trial may have ended before it would have asked, so that complete ones are looked at
    alone when the two together do not agree. What other trials have may not contradict. A param
    that every trial has goes before one that is conditional itself.
    """
    with_any = np.any([axis.given for axis in axes], axis=0)
    others = [axis for axis in axes if axis.name != column.name]
    for states, said in ((("COMPLETE", "PRUNED"), "finished"), (("COMPLETE",), "complete")):
        over = with_any & np.isin(search.states, states)
        asked = column.given[over]
        if asked.all() or not asked.any():
            continue
        for other in sorted(others, key=lambda axis: not axis.given[over].all()):
            found = _tells(column, other, over, said, CHANCE / len(others))
            if found is not None:
                return found
    return None


def _tells(
    column: ParamColumn, other: ParamAxis, over: Flags, states: str, chance: float
) -> Condition | None:
    values, group = np.unique(np.nan_to_num(other.positions[over], nan=np.inf), return_inverse=True)
    if not 2 <= len(values) <= MOST_GROUPS:
        return None
    sizes = np.bincount(group)
    asked = np.bincount(group, weights=column.given[over])
    always, never = asked == sizes, asked == 0
    if not (always | never).all():
        return None
    absent = np.isinf(values)
    if (always & absent).any() or (never == absent).all():
        return None  # whether the other was asked, not its value: both may hang on a third
    # Trials without the other are no evidence for its values: where both hang on a third param,
    # they would let any value tell that only one trial has.
    if _by_chance(sizes[~absent].tolist(), int(asked.sum())) > chance:
        return None
    outside = np.isin(other.positions, values[always], invert=True)
    if (column.given & other.given & outside).any():
        return None
    return Condition(
        on=other.name,
        values=tuple(str(other.cell(value)) for value in values[always]),
        without=tuple(str(other.cell(value)) for value in values[never & ~absent]),
        asked=int(asked.sum()),
        not_asked=int((sizes - asked).sum()),
        states=states,
    )


def _by_chance(sizes: list[int], asked: int) -> float:
    """How often labels drawn at random would fall in whole groups.

    Of all ways to pick ``asked`` trials, the share in which each group is picked whole or not at
    all: the exact permutation test of the condition.
    """
    ways = [1] + [0] * asked
    for size in sizes:
        for total in range(asked, size - 1, -1):
            ways[total] += ways[total - size]
    return ways[asked] / math.comb(sum(sizes), asked)
