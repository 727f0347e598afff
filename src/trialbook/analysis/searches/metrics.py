"""The points of one metric over all trials of a search, for whoever draws or compares curves.

``Search`` holds what was reported; any other metric that trials logged is read here.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from trialbook.analysis.opening import Storage, opened
from trialbook.analysis.searches.search import Floats, Ints, Search
from trialbook.book.metric_rows import metric_names, metric_rows
from trialbook.book.reading import Reader
from trialbook.errors import NotApplicableError
from trialbook.records.series import OBJECTIVE
from trialbook.records.test_metrics import is_test


@dataclass(frozen=True, slots=True, eq=False)
class MetricPoints:
    """A metric's points, one trial after the other; within a trial by step.

    Args:
        metric: Its name; ``objective`` is what was reported.
        offsets: Shape (trials + 1,): trial ``i`` of the search has ``offsets[i]:offsets[i + 1]``.
        steps: Shape (points,).
        values: Shape (points,).
        seconds: Shape (points,): when each was logged, in seconds since the epoch.
        logged: Shape (trials,): how many points each trial has; more than are here where a long
            series was thinned.
    """

    metric: str
    offsets: Ints
    steps: Ints
    values: Floats
    seconds: Floats
    logged: Ints

    @property
    def lengths(self) -> Ints:
        """Shape (trials,): how many points of each trial are here."""
        return np.diff(self.offsets)

    def of(self, index: int) -> tuple[Ints, Floats]:
        """Steps and values of the trial at this index."""
        part = slice(int(self.offsets[index]), int(self.offsets[index + 1]))
        return self.steps[part], self.values[part]

    def last(self) -> tuple[Ints, Floats]:
        """Shape (trials,) each: last step and its value; -1 and NaN where a trial has no point."""
        there = self.lengths > 0
        at = np.where(there, self.offsets[1:] - 1, 0)
        if not len(self.steps):
            return np.full(len(at), -1), np.full(len(at), np.nan)
        return np.where(there, self.steps[at], -1), np.where(there, self.values[at], np.nan)

    def at(self, step: int) -> Floats:
        """Shape (trials,): the value at a step, the first of it; NaN where there is none."""
        trials = np.repeat(np.arange(len(self.lengths)), self.lengths)
        here = np.flatnonzero(self.steps == step)[::-1]
        found = np.full(len(self.lengths), np.nan)
        found[trials[here]] = self.values[here]
        return found


def reported_points(search: Search) -> MetricPoints:
    """What was reported, as points of the metric ``objective``."""
    reports = search.reports
    lengths = np.diff(reports.offsets)
    columns = reports.steps, reports.values, reports.seconds
    return _by_step(MetricPoints(OBJECTIVE, reports.offsets, *columns, lengths))


def metric_points(search: Search, metric: str, *, storage: Storage = None) -> MetricPoints:
    """The points of a metric that trials logged; those that count, as in ``show``.

    Long series are thinned: every so-many-th point and the last is here, and ``logged`` says how
    many there are. All trials together give about two million points at the most.

    Args:
        search: The study's search.
        metric: Name of the metric; ``objective`` is what was reported.
        storage: Where the search's book is.

    Raises:
        NotApplicableError: No trial has such a metric, or it is a test metric.
        BookCorruptError: Points cannot be read.
    """
    if metric == OBJECTIVE:
        return reported_points(search)
    with opened(storage) as reader:
        return metric_points_of(reader, search, metric)


def metric_points_of(reader: Reader, search: Search, metric: str) -> MetricPoints:
    """The same from a book that is open."""
    if metric == OBJECTIVE:
        return reported_points(search)
    if is_test(metric):
        raise NotApplicableError(
            f"{metric!r} is a test metric: no analysis of a search looks at it",
            hint="analysis.reveal_test_metrics shows it for one trial, and the book counts that",
        )
    study_id = search.study.study_id
    rows = {row.number: row for row in metric_rows(reader.book, study_id, metric)}
    found = [rows.get(number) for number in search.numbers.tolist()]
    if not any(found):
        raise _no_such_metric(reader, study_id, metric)
    lengths = [0 if row is None else len(row.series) for row in found]
    series = [row.series for row in found if row is not None]
    return _by_step(
        MetricPoints(
            metric,
            np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64),
            np.concatenate([one.steps for one in series]),
            np.concatenate([one.values for one in series]),
            np.concatenate([one.seconds for one in series]),
            np.array([0 if row is None else row.points for row in found], np.int64),
        )
    )


def _by_step(points: MetricPoints) -> MetricPoints:
    """The same with each trial's points in the order of their steps, repeats as they came."""
    trials = np.repeat(np.arange(len(points.lengths)), points.lengths)
    backwards = (np.diff(points.steps) < 0) & (np.diff(trials) == 0)
    if not backwards.any():
        return points
    order = np.lexsort((points.steps, trials))
    columns = points.steps[order], points.values[order], points.seconds[order]
    return MetricPoints(points.metric, points.offsets, *columns, points.logged)


def _no_such_metric(reader: Reader, study_id: int, metric: str) -> NotApplicableError:
    known = [name for name in metric_names(reader.book, study_id) if not is_test(name)]
    near = get_close_matches(metric, known, n=3)
    if near:
        hint = "did you mean " + " or ".join(repr(name) for name in near) + "?"
    elif known:
        listed = ", ".join(known[:10]) + (", ..." if len(known) > 10 else "")
        hint = f"the trials have {listed}"
    else:
        hint = "record it in the objective with trial.log or trial.report"
    return NotApplicableError(f"no trial has points of a metric {metric!r}", hint=hint)
