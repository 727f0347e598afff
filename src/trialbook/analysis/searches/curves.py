"""Learning curves: a metric of every trial over its steps, and how it spreads at each step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trialbook.analysis.columns import Column, Holds, Table
from trialbook.analysis.searches.history import cells
from trialbook.analysis.searches.metrics import MetricPoints, reported_points
from trialbook.analysis.searches.search import Flags, Floats, Ints, Search
from trialbook.errors import NotApplicableError
from trialbook.records.series import OBJECTIVE


@dataclass(frozen=True, slots=True, eq=False)
class LearningCurves:
    """The curves of a metric.

    Args:
        name: What the metric is called: that of the objective for what was reported.
        points: The curves; those of trials without points are empty.
        numbers: Shape (trials,).
        states: Shape (trials,).
        maximize: Whether higher is better; ``None`` for a metric that is not the objective.
        ranking: Indices of trials with a curve, the best of the study first (those on the front
            with several objectives); only trials that can be the best.
    """

    name: str
    points: MetricPoints
    numbers: Ints
    states: NDArray[np.str_]
    maximize: bool | None
    ranking: Ints

    @property
    def given(self) -> Flags:
        """Shape (trials,): whether the trial has a curve."""
        return self.points.lengths > 0

    def table(self, trials: Ints | None = None) -> Table:
        """One row a point.

        Args:
            trials: Indices of the trials that are wanted, ``None`` for all.
        """
        wanted = np.flatnonzero(self.given) if trials is None else trials
        lengths = self.points.lengths
        owner = np.repeat(np.arange(len(lengths)), lengths)
        chosen = np.flatnonzero(np.isin(owner, wanted))
        return Table(
            (
                Column("trial", Holds.INTEGER),
                Column("state"),
                Column("step", Holds.INTEGER),
                Column(self.name, Holds.NUMBER),
            ),
            tuple(
                zip(
                    self.numbers[owner[chosen]].tolist(),
                    self.states[owner[chosen]].tolist(),
                    self.points.steps[chosen].tolist(),
                    cells(self.points.values[chosen]),
                    strict=True,
                )
            ),
        )


def learning_curves(search: Search, points: MetricPoints | None = None) -> LearningCurves:
    """The learning curves of a study.

    Args:
        search: The study's search.
        points: Those of another metric, from ``metric_points``; ``None`` for what was reported.

    Raises:
        NotApplicableError: No trial reported anything.
    """
    points = reported_points(search) if points is None else points
    if not len(points.steps):
        raise NotApplicableError(
            "no trial reported anything",
            hint="report values in the objective with trial.report, or name a metric of trial.log",
        )
    reported = points.metric == OBJECTIVE
    ranking = search.ranking if search.objectives == 1 else search.front
    return LearningCurves(
        name=search.objective_names[0] if reported else points.metric,
        points=points,
        numbers=search.numbers,
        states=search.states,
        maximize=search.study.directions[0] == "maximize" if reported else None,
        ranking=ranking[points.lengths[ranking] > 0],
    )


@dataclass(frozen=True, slots=True, eq=False)
class StepQuantiles:
    """How the values of some trials spread at each step.

    Args:
        steps: Shape (n,), growing.
        counts: Shape (n,): how many values there are at the step, NaN left out.
        quantiles: Shape (q, n): by linear interpolation, as ``numpy.quantile`` does.
    """

    steps: Ints
    counts: Ints
    quantiles: Floats


def step_quantiles(points: MetricPoints, trials: Flags, of: tuple[float, ...]) -> StepQuantiles:
    """How the values of these trials spread at each step that one of them has.

    Args:
        points: The points of all trials.
        trials: Shape (trials,): which of them to take.
        of: Quantiles, from 0 to 1.
    """
    owned = np.repeat(trials, points.lengths) & ~np.isnan(points.values)
    steps, values = points.steps[owned], points.values[owned]
    order = np.lexsort((values, steps))
    steps, values = steps[order], values[order]
    found, first, counts = np.unique(steps, return_index=True, return_counts=True)
    place = first + np.array(of)[:, None] * (counts - 1)
    low = np.floor(place).astype(np.int64)
    high = np.minimum(low + 1, first + counts - 1)
    share = place - low
    below, above = values[low], values[high]
    with np.errstate(invalid="ignore"):  # between two infinities
        between = below + (above - below) * share
    return StepQuantiles(found, counts, np.where(share == 0, below, between))
