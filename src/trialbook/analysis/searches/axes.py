"""A param as an axis: one number a trial, labels of choices, and the range that was searched.

Distributions of one param may differ between trials. Here they are brought together: numeric ones
by the union of their ranges, categorical ones by the union of their choices. A choice is told apart
by its type too, so that ``1``, ``1.0``, ``True`` and ``"1"`` are four.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Any

import numpy as np

from trialbook.analysis.columns import Cell
from trialbook.analysis.searches.search import Flags, Floats, ParamColumn, Search
from trialbook.errors import NotFoundError

_NAMED = 8
"""How many params a message lists."""


def choice_texts(choices: Sequence[Any]) -> tuple[str, ...]:
    """A label for each choice: text as it is, quoted where another choice would look the same."""
    plain = [choice if isinstance(choice, str) else repr(choice) for choice in choices]
    return tuple(
        repr(choice) if isinstance(choice, str) and plain.count(text) > 1 else text
        for choice, text in zip(choices, plain, strict=True)
    )


@dataclass(frozen=True, eq=False)
class ParamAxis:
    """A param as an axis.

    Args:
        name: Its name.
        positions: Shape (trials,): the value, or the index into ``choices`` of a categorical; NaN
            where the trial has no such param.
        choices: Labels of a categorical's choices, of every one that was ever offered, in the order
            in which they were; empty for a numeric param.
        low: Lowest value that any distribution allowed; of a categorical 0.
        high: Highest, likewise; of a categorical the last index.
        log: Whether the range is searched, and shown, on a log scale.
        integer: Whether every value is a whole number.
        step: Distance of the values that are allowed; ``None`` when any is, or steps differ.
    """

    name: str
    positions: Floats
    choices: tuple[str, ...]
    low: float
    high: float
    log: bool
    integer: bool
    step: float | None = None

    @property
    def is_categorical(self) -> bool:
        """Whether its values are choices."""
        return bool(self.choices)

    @property
    def single(self) -> bool:
        """Whether only one value was ever allowed."""
        return self.low == self.high

    def levels(self, most: int) -> Floats | None:
        """The positions that are allowed, growing; ``None`` when there are more than ``most``."""
        if self.step is None:
            return None
        count = round((self.high - self.low) / self.step) + 1
        return self.low + self.step * np.arange(count, dtype=np.float64) if count <= most else None

    @cached_property
    def given(self) -> Flags:
        """Shape (trials,): whether the trial has it."""
        return ~np.isnan(self.positions)

    @cached_property
    def scaled(self) -> Floats:
        """Shape (trials,): positions on 0 to 1 over the range, by its scale; NaN where absent.

        Of a param with a single value 0.5 wherever it is given.
        """
        return self.scaled_of(self.positions)

    def scaled_of(self, positions: Floats) -> Floats:
        """The same for other positions."""
        if self.single:
            return np.where(np.isnan(positions), np.nan, 0.5)
        low, high = self._bend(np.array([self.low, self.high]))
        scaled: Floats = (self._bend(positions) - low) / (high - low)
        return scaled

    def unscaled(self, scaled: Floats) -> Floats:
        """Positions of numbers on 0 to 1."""
        if self.single:
            return np.full(np.shape(scaled), self.low)
        low, high = self._bend(np.array([self.low, self.high]))
        found = low + np.asarray(scaled) * (high - low)
        positions: Floats = np.exp(found) if self.log else found
        return positions

    def cell(self, position: float) -> Cell:
        """What a table shows of a position: the value itself, a choice's label, or ``None``."""
        if np.isnan(position):
            return None
        if self.choices:
            return self.choices[int(position)]
        return int(position) if self.integer else float(position)

    def _bend(self, positions: Floats) -> Floats:
        return np.log(positions) if self.log else positions


def param_axis(column: ParamColumn) -> ParamAxis:
    """The axis of a param."""
    from optuna.distributions import IntDistribution

    if column.is_categorical:
        return _categorical(column)
    distributions: list[Any] = list(column.distributions)
    steps = {distribution.step for distribution in distributions}
    low = float(min(distribution.low for distribution in distributions))
    high = float(max(distribution.high for distribution in distributions))
    integer = all(isinstance(distribution, IntDistribution) for distribution in distributions)
    return ParamAxis(
        name=column.name,
        positions=column.internal,
        choices=(),
        low=low,
        high=high,
        log=column.is_log and low > 0,
        integer=integer,
        step=1.0 if integer and len(steps) > 1 else steps.pop() if len(steps) == 1 else None,
    )


def _categorical(column: ParamColumn) -> ParamAxis:
    """The same where at least one distribution is categorical: then every value is a choice."""
    choices: dict[tuple[str, str], Any] = {}
    positions = np.full(len(column.internal), np.nan)
    for space, distribution in enumerate(column.distributions):
        here = np.flatnonzero(column.space == space)
        internal = column.internal[here]
        if hasattr(distribution, "choices"):
            offered = np.arange(len(distribution.choices))
            values = list(distribution.choices)
        else:
            offered = np.unique(internal)
            values = [distribution.to_external_repr(float(value)) for value in offered]
        index = np.empty(len(values))
        for at, value in enumerate(values):
            choices.setdefault(_identity(value), value)
            index[at] = list(choices).index(_identity(value))
        positions[here] = index[np.searchsorted(offered, internal)]
    return ParamAxis(
        name=column.name,
        positions=positions,
        choices=choice_texts(list(choices.values())),
        low=0.0,
        high=float(len(choices) - 1),
        log=False,
        integer=True,
        step=1.0,
    )


def _identity(value: Any) -> tuple[str, str]:
    return type(value).__name__, repr(value)


def _asked(names: Iterable[str]) -> str:
    """The next step of whoever named a param that is not there."""
    listed = list(names)
    more = ", ..." if len(listed) > _NAMED else ""
    return f"name one of {', '.join(listed[:_NAMED])}{more}" if listed else "no trial has any param"


def param_axes(search: Search, names: Sequence[str] = ()) -> tuple[ParamAxis, ...]:
    """The axes of the params of these names, in this order; without names of all.

    Raises:
        NotFoundError: No trial has such a param.
    """
    known = {column.name: column for column in search.params}
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, n=2)
            raise NotFoundError(
                f"no trial of {search.study.name!r} has a param {name!r}",
                hint=f"did you mean {' or '.join(near)}?" if near else _asked(known),
            )
    return tuple(param_axis(known[name]) for name in names or known)
