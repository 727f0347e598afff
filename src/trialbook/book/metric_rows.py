"""One metric of all trials of a study, in bounded memory: for curves, which need not every point.

Of a trial with many points every so-many-th is given, and the last. Payloads are read a portion at
a time, and those of a long attempt one by one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
from sqlalchemy import Connection, and_, select

from trialbook.book import schema
from trialbook.book.book import Book
from trialbook.book.stitching import counted_points
from trialbook.records.series import Series, decoded, joined

_t, _a, _s = schema.trial.c, schema.attempt.c, schema.series.c

KEPT = 2_000_000
"""How many points of all trials together are given, about."""
_LEAST, _MOST = 50, 5000
_PORTION_POINTS = 500_000
_PORTION_ATTEMPTS = 500


@dataclass(frozen=True, slots=True)
class MetricRow:
    """What a trial has of a metric.

    Args:
        number: The trial's number.
        points: How many points it has.
        series: Those that are given, in the order in which they were logged.
    """

    number: int
    points: int
    series: Series


@dataclass(slots=True)
class Thinned:
    """Every so-many-th of the points that it is given, and the last one.

    Args:
        metric: Name of the metric.
        every: 1 for all.
    """

    metric: str
    every: int
    points: int = 0
    _kept: list[Series] = field(default_factory=list)
    _last: Series | None = None

    def add(self, series: Series) -> None:
        """Take the points that follow."""
        if not len(series):
            return
        self._kept.append(_some(series, slice(-self.points % self.every, None, self.every)))
        self.points += len(series)
        self._last = _some(series, slice(-1, None))

    @property
    def series(self) -> Series:
        """The points that are kept."""
        parts = list(self._kept)
        if self._last is not None and (self.points - 1) % self.every:
            parts.append(self._last)
        return joined(self.metric, parts)


def metric_names(book: Book, study_id: int) -> list[str]:
    """The names of all series of a study's living trials, sorted."""
    with book.reading() as connection:
        found = connection.execute(
            select(_s.metric)
            .join(schema.attempt, _a.attempt_id == _s.attempt_id)
            .join(schema.trial, _t.trial_id == _a.trial_id)
            .where(_t.study_id == study_id, _t.deleted.is_(None))
            .distinct()
        )
        return sorted(found.scalars())


def metric_rows(book: Book, study_id: int, metric: str) -> Iterator[MetricRow]:
    """A metric of every living trial that has points of it, in no order.

    Each portion is read in a transaction of its own. Of a trial that runs meanwhile there is what
    it had at that moment.

    Raises:
        BookCorruptError: Points cannot be read.
    """
    with book.reading() as connection:
        attempts = _attempts(connection, study_id, metric)
    most = max(_LEAST, min(_MOST, KEPT // max(1, len(attempts))))
    for portion in _portions(attempts):
        with book.reading() as connection:
            short = [a.attempt_id for a in portion if not a.continues and not a.is_long]
            together = _together(connection, short, metric)
            found: list[MetricRow] = []
            for attempt in portion:
                parts: Iterable[Series] = together.get(attempt.attempt_id, ())
                if attempt.continues:
                    parts = counted_points(connection, attempt.attempt_id, metric)
                elif attempt.is_long:
                    parts = _one_by_one(connection, attempt.attempt_id, metric)
                thinned = Thinned(metric, -(-attempt.points // most) or 1)
                for part in parts:
                    thinned.add(part)
                if thinned.points:
                    found.append(MetricRow(attempt.number, thinned.points, thinned.series))
        yield from found


@dataclass(frozen=True, slots=True)
class _Attempt:
    """An attempt that counts.

    Args:
        attempt_id: Its id.
        number: Its trial's number.
        continues: Whether it went on from a checkpoint.
        points: How many points it has itself.
    """

    attempt_id: int
    number: int
    continues: bool
    points: int

    @property
    def is_long(self) -> bool:
        """Whether its parts are read one by one."""
        return self.points > _PORTION_POINTS


def _attempts(connection: Connection, study_id: int, metric: str) -> list[_Attempt]:
    """The attempts that have points of a metric, and all that continue another one."""
    counts = and_(_t.study_id == study_id, _t.deleted.is_(None), _t.attempt == _a.number)
    found = connection.execute(
        select(_a.attempt_id, _t.number, _a.resumed_from.is_not(None), _s.count)
        .select_from(schema.attempt)
        .join(schema.trial, _t.trial_id == _a.trial_id)
        .outerjoin(schema.series, and_(_s.attempt_id == _a.attempt_id, _s.metric == metric))
        .where(counts, _s.metric.is_not(None) | _a.resumed_from.is_not(None))
        .order_by(_a.attempt_id)
    )
    return [
        _Attempt(*key, sum(row[3] or 0 for row in parts))
        for key, parts in groupby(found, key=lambda row: (row[0], row[1], bool(row[2])))
    ]


def _portions(attempts: Iterable[_Attempt]) -> Iterator[list[_Attempt]]:
    """Attempts that are read together."""
    portion: list[_Attempt] = []
    points = 0
    for attempt in attempts:
        full = points + attempt.points > _PORTION_POINTS or len(portion) == _PORTION_ATTEMPTS
        if portion and full:
            yield portion
            portion, points = [], 0
        portion.append(attempt)
        points += attempt.points
    if portion:
        yield portion


def _together(
    connection: Connection, attempt_ids: list[int], metric: str
) -> dict[int, list[Series]]:
    found: dict[int, list[Series]] = defaultdict(list)
    for attempt_id, payload in connection.execute(
        select(_s.attempt_id, _s.payload)
        .where(_s.attempt_id.in_(attempt_ids), _s.metric == metric)
        .order_by(_s.attempt_id, _s.part)
    ):
        found[attempt_id].append(decoded(metric, payload))
    return found


def _one_by_one(connection: Connection, attempt_id: int, metric: str) -> Iterator[Series]:
    query = (
        select(_s.part, _s.payload)
        .where(_s.attempt_id == attempt_id, _s.metric == metric)
        .order_by(_s.part)
        .limit(1)
    )
    row = connection.execute(query).first()
    while row is not None:
        yield decoded(metric, row.payload)
        row = connection.execute(query.where(_s.part > row.part)).first()


def _some(series: Series, which: Any) -> Series:
    """A copy of some points, so that the rest can be let go."""
    steps, values, seconds = (
        np.array(column[which]) for column in (series.steps, series.values, series.seconds)
    )
    return Series(series.metric, steps, values, seconds)
