"""Several objectives: the Pareto front, and the hypervolume it dominates as trials finish."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trialbook.analysis.columns import Column, Holds, Table
from trialbook.analysis.searches.history import cells
from trialbook.analysis.searches.judged import next_of_none
from trialbook.analysis.searches.search import Flags, Floats, Ints, Search
from trialbook.errors import InvalidInputError, NotApplicableError

MARGIN = 0.1
"""How far behind the worst value seen the reference point lies, as a share of the range."""
_EXACT_FRONT = 120
"""Largest front whose hypervolume over four or more objectives is computed: it grows steeply."""
_MOMENTS = 100
"""After how many trials, at the most, it is computed with three objectives."""
_MOMENTS_OF_MANY = 30
"""The same with more."""
_WORK = 10_000_000
"""With three objectives it takes time with the square of the front: about so much in a second."""


@dataclass(frozen=True, slots=True, eq=False)
class ParetoFront:
    """The complete trials of a study with several objectives, by number.

    Args:
        names: What the objectives are called.
        maximize: Of each, whether higher is better.
        numbers: Shape (n,).
        values: Shape (n, objectives).
        feasible: Shape (n,): whether the trial keeps all constraints.
        on_front: Shape (n,): whether no other feasible trial dominates it: is at least as good in
            every objective and better in one.
    """

    names: tuple[str, ...]
    maximize: tuple[bool, ...]
    numbers: Ints
    values: Floats
    feasible: Flags
    on_front: Flags

    def table(self) -> Table:
        """One row a trial."""
        columns = [cells(column) for column in self.values.T]
        return Table(
            (
                Column("trial", Holds.INTEGER),
                *(Column(name, Holds.NUMBER) for name in self.names),
                Column("feasible"),
                Column("on the front"),
            ),
            tuple(
                zip(
                    self.numbers.tolist(),
                    *columns,
                    self.feasible.tolist(),
                    self.on_front.tolist(),
                    strict=True,
                )
            ),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Hypervolume:
    """The hypervolume as trials finished, in that order.

    It is the volume of what the feasible complete trials so far dominate, up to the reference point
    (Zitzler and Thiele, PPSN 1998), computed by Optuna without sampling.

    Args:
        names: What the objectives are called.
        reference_point: Shape (objectives,): worse than it nothing counts.
        chosen: Whether the caller chose it; else it is the worst finite value of each objective,
            moved by ``MARGIN`` of the range.
        finished: Shape (n,): how many trials had finished, of whatever state: 1, 2, ... with two
            objectives. With more it is computed after some of those that changed it, evenly chosen;
            in between it is at least what it was before.
        numbers: Shape (n,): number of the trial that finished.
        volumes: Shape (n,): the hypervolume then.
        infinite: How many feasible complete trials have an infinite value and count for nothing.
        beyond: How many others do not dominate the reference point and count for nothing.
    """

    names: tuple[str, ...]
    reference_point: Floats
    chosen: bool
    finished: Ints
    numbers: Ints
    volumes: Floats
    infinite: int
    beyond: int

    def table(self) -> Table:
        """One row a finished trial."""
        return Table(
            (
                Column("finished", Holds.INTEGER),
                Column("trial", Holds.INTEGER),
                Column("hypervolume", Holds.NUMBER),
            ),
            tuple(
                zip(
                    self.finished.tolist(),
                    self.numbers.tolist(),
                    self.volumes.tolist(),
                    strict=True,
                )
            ),
        )


def pareto_front(search: Search) -> ParetoFront:
    """The Pareto front of a study.

    Args:
        search: The study's search.

    Raises:
        NotApplicableError: It has one objective, or no complete trial.
    """
    _require_several(search)
    shown = np.flatnonzero(search.complete)
    on_front = np.zeros(len(search), np.bool_)
    on_front[search.front] = True
    return ParetoFront(
        names=search.objective_names,
        maximize=tuple(direction == "maximize" for direction in search.study.directions),
        numbers=search.numbers[shown],
        values=search.values[shown],
        feasible=search.feasible[shown],
        on_front=on_front[shown],
    )


def hypervolume(search: Search, reference_point: tuple[float, ...] = ()) -> Hypervolume:
    """The hypervolume as trials finished.

    Args:
        search: The study's search.
        reference_point: One value for each objective; empty for the worst that was seen, with a
            margin. Volumes of two studies compare only under the same point.

    Raises:
        InvalidInputError: The reference point does not fit the objectives.
        NotApplicableError: The study has one objective, or no feasible complete trial with finite
            values; or the front is too large to compute with that many objectives.
    """
    _require_several(search)
    order = search.finished
    losses = search.losses[order]
    eligible = search.eligible[order]
    counts = eligible & np.isfinite(losses).all(axis=1)
    if not counts.any():
        raise NotApplicableError(
            "there is no feasible complete trial with finite values", hint=next_of_none(search)
        )
    reference = _reference(search, losses[counts], reference_point)
    inside = counts & (losses < reference).all(axis=1)
    signs = np.array([-1.0 if d == "maximize" else 1.0 for d in search.study.directions])
    moments, volumes = _volumes(losses, inside, reference)
    return Hypervolume(
        names=search.objective_names,
        reference_point=reference * signs,
        chosen=bool(reference_point),
        finished=1 + moments,
        numbers=search.numbers[order[moments]],
        volumes=volumes,
        infinite=int(np.sum(eligible & ~counts)),
        beyond=int(np.sum(counts & ~inside)),
    )


def _require_several(search: Search) -> None:
    if search.objectives == 1:
        raise NotApplicableError(
            "the study has one objective: there is a best trial and no front",
            hint="see 'history' for the best value so far, 'edf' for all values",
        )
    if not search.complete.any():
        raise NotApplicableError("there is no complete trial", hint=next_of_none(search))


def _reference(search: Search, losses: Floats, chosen: tuple[float, ...]) -> Floats:
    """The reference point, as losses."""
    if not chosen:
        worst, best = losses.max(axis=0), losses.min(axis=0)
        spread = worst - best
        # Where all are equal there is no range: any distance will do, as long as it is stated.
        spread = np.where(spread > 0, spread, np.maximum(np.abs(worst), 1.0))
        reference: Floats = worst + MARGIN * spread
        return reference
    if len(chosen) != search.objectives or not np.isfinite(chosen).all():
        raise InvalidInputError(
            f"the reference point {chosen!r} is not one finite number for each objective",
            hint=f"give {search.objectives}: {', '.join(search.objective_names)}",
        )
    signs = [-1.0 if direction == "maximize" else 1.0 for direction in search.study.directions]
    given: Floats = np.array(chosen, np.float64) * np.array(signs)
    return given


def _volumes(losses: Floats, inside: Flags, reference: Floats) -> tuple[Ints, Floats]:
    """After which of the trials the hypervolume was computed, and what it was.

    Args:
        losses: Shape (n, objectives), in the order in which trials finished.
        inside: Shape (n,): which of them count.
        reference: Shape (objectives,).
    """
    if losses.shape[1] == 2:
        return np.arange(len(losses)), _areas(losses, inside, reference)
    improving, front = _improving(losses, inside)
    if not len(improving):
        ends = np.unique([0, len(losses) - 1])
        return ends, np.zeros(len(ends))
    if losses.shape[1] > 3 and front > _EXACT_FRONT:
        raise NotApplicableError(
            f"the front has {front} trials: its hypervolume over {losses.shape[1]} objectives "
            "takes too long to compute",
            hint="see 'front' for the trials themselves",
        )
    most = min(_MOMENTS, max(10, _WORK // front**2))
    most = most if losses.shape[1] == 3 else min(most, _MOMENTS_OF_MANY)
    places = np.unique(np.linspace(0, len(improving) - 1, most).round().astype(np.int64))
    moments = improving[places]
    found = [_volume(losses[improving[: place + 1]], reference) for place in places.tolist()]
    # The first and the last trial too, so that a line over them has its whole length.
    ends = np.unique(np.concatenate([[0], moments, [len(losses) - 1]]))
    values = np.array([0.0, *found])[np.searchsorted(moments, ends, side="right")]
    return ends, values


def _areas(losses: Floats, inside: Flags, reference: Floats) -> Floats:
    """Shape (n,): the area that all which are inside dominate, up to each."""
    xs: list[float] = []  # the front, from left to right, so from top to bottom
    ys: list[float] = []
    right, top = reference.tolist()
    gained = np.zeros(len(losses))
    for at in np.flatnonzero(inside).tolist():
        x, y = losses[at].tolist()
        first = bisect_left(xs, x)
        level = ys[first - 1] if first else top
        if level <= y or (first < len(xs) and xs[first] == x and ys[first] <= y):
            continue  # something is as good in both
        end, begin, area = first, x, 0.0
        while end < len(xs) and ys[end] >= y:
            area += (xs[end] - begin) * (level - y)
            begin, level = xs[end], ys[end]
            end += 1
        area += ((xs[end] if end < len(xs) else right) - begin) * (level - y)
        gained[at] = area
        xs[first:end], ys[first:end] = [x], [y]
    return np.cumsum(gained)


def _improving(losses: Floats, inside: Flags) -> tuple[Ints, int]:
    """Indices of those than which nothing before them was as good in every objective.

    Beside them, how many are on the front in the end; of equal ones one.
    """
    front: NDArray[np.float64] = np.empty((0, losses.shape[1]))
    found: list[int] = []
    for at in np.flatnonzero(inside).tolist():
        point = losses[at]
        if (front <= point).all(axis=1).any():
            continue
        found.append(at)
        front = np.concatenate([front[~(point <= front).all(axis=1)], point[None]])
    return np.array(found, np.int64), len(front)


def _volume(losses: Floats, reference: Floats) -> float:
    # Optuna has no public way to it, and uses this one in plot_hypervolume_history.
    from optuna._hypervolume import compute_hypervolume

    return float(compute_hypervolume(losses, reference))
