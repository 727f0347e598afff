"""Rows of ``tb_series``: appending parts while an attempt runs, folding them when it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, bindparam, delete, func, select

from trialbook.book import schema
from trialbook.book.statements import Statement, inserting
from trialbook.book.texts import queryable
from trialbook.records.canonical import digest_of_bytes
from trialbook.records.series import OBJECTIVE, Series, decoded, encoded, joined

FOLD_POINTS = 1_000_000
"""A metric with more points keeps its parts, so that folding stays in bounded memory."""

_SHORT = 256

_t = schema.series.c
_insert = inserting(schema.series)
_last_parts = Statement(
    select(_t.metric, func.max(_t.part))
    .where(_t.attempt_id == bindparam("attempt_id"))
    .group_by(_t.metric)
)
_index = Statement(
    select(_t.metric, _t.part, _t.count)
    .where(_t.attempt_id == bindparam("attempt_id"))
    .order_by(_t.metric, _t.part)
)
_payload = Statement(
    select(_t.payload).where(
        _t.attempt_id == bindparam("attempt_id"),
        _t.metric == bindparam("metric"),
        _t.part == bindparam("part"),
    )
)
_any_checkpoint = Statement(
    select(schema.checkpoint.c.number)
    .where(schema.checkpoint.c.attempt_id == bindparam("attempt_id"))
    .limit(1)
)
_delete = Statement(
    delete(schema.series).where(
        _t.attempt_id == bindparam("attempt_id"), _t.metric == bindparam("metric")
    )
)

Index = dict[str, tuple[tuple[int, int], ...]]
"""Metric to the part numbers and point counts that are in the book."""


@dataclass(frozen=True, slots=True)
class Folded:
    """What finishing an attempt writes to ``tb_series``.

    Args:
        index: What was there when this was made; when it has changed, this is void.
        rows: Rows to write.
        replaced: Metrics whose parts the rows replace.
        digests: The digests of the payloads that are there afterwards, by metric and part.
    """

    index: Index
    rows: tuple[dict[str, Any], ...]
    replaced: tuple[str, ...]
    digests: dict[str, list[str]]


def row_of(series: Series, part: int) -> dict[str, Any]:
    """The row of a part, without its attempt."""
    count = len(series)
    least, greatest = _range(series)
    return {
        "metric": series.metric,
        "part": part,
        "count": count,
        "first_step": int(series.steps[0]) if count else None,
        "last_step": int(series.steps[-1]) if count else None,
        "last": queryable(float(series.values[-1])) if count else None,
        "min": least,
        "max": greatest,
        "payload": encoded(series),
    }


def _range(series: Series) -> tuple[float | None, float | None]:
    """``Series.minimum`` and ``maximum``; NumPy's own cost more than a short series is worth."""
    if not 0 < len(series) <= _SHORT:
        return series.minimum, series.maximum
    values = [value for value in series.values.tolist() if value == value]
    return (min(values), max(values)) if values else (None, None)


def append_parts(connection: Connection, attempt_id: int, pending: Mapping[str, Series]) -> None:
    """Append one part for each metric, after those that are there."""
    if not pending:
        return
    last: dict[str, int] = dict(_last_parts.rows(connection, attempt_id=attempt_id))
    _insert.many(
        connection,
        (
            {**row_of(series, last.get(metric, -1) + 1), "attempt_id": attempt_id}
            for metric, series in pending.items()
        ),
    )


def index_of(connection: Connection, attempt_id: int) -> Index:
    """Which parts of an attempt are in the book."""
    return index_asked(connection, attempt_id)()


def index_asked(connection: Connection, attempt_id: int) -> Callable[[], Index]:
    """Ask which parts of an attempt are in the book; what gives the answer."""
    asked = _index.asked(connection, attempt_id=attempt_id)

    def answer() -> Index:
        found: dict[str, list[tuple[int, int]]] = {}
        for metric, part, count in asked():
            found.setdefault(metric, []).append((part, count))
        return {metric: tuple(parts) for metric, parts in found.items()}

    return answer


def folded(connection: Connection | None, attempt_id: int, pending: Mapping[str, Series]) -> Folded:
    """Fold what is in the book with what is pending, into one row a metric.

    Args:
        connection: To read with; ``None`` when nothing of the attempt is in the book.
        attempt_id: The attempt.
        pending: The points that are not in the book yet.
    """
    index = {} if connection is None else index_of(connection, attempt_id)
    rows: list[dict[str, Any]] = []
    replaced: list[str] = []
    digests: dict[str, list[str]] = {}
    for metric in (*index, *(name for name in pending if name not in index)):
        parts = index.get(metric, ())
        new = pending.get(metric)
        digests[metric] = []
        if connection is not None and parts:
            if _to_fold(metric, parts, new):
                whole = [
                    decoded(metric, _one_payload(connection, attempt_id, metric, part))
                    for part, _ in parts
                ]
                new = joined(metric, whole if new is None else [*whole, new])
                replaced.append(metric)
                parts = ()
            for part, _ in parts:
                payload = _one_payload(connection, attempt_id, metric, part)
                digests[metric].append(digest_of_bytes(payload))
        if new is not None:
            if metric == OBJECTIVE:
                new = _one_a_step(connection, attempt_id, new)
            row = row_of(new, parts[-1][0] + 1 if parts else 0)
            digests[metric].append(digest_of_bytes(row["payload"]))
            rows.append(row)
    return Folded(index, tuple(rows), tuple(replaced), digests)


def _to_fold(metric: str, parts: tuple[tuple[int, int], ...], new: Series | None) -> bool:
    """Whether the parts of a metric are to become one row; a single one may be it already."""
    if sum(count for _, count in parts) + (0 if new is None else len(new)) > FOLD_POINTS:
        return False
    return len(parts) > 1 or new is not None or metric == OBJECTIVE


def _one_payload(connection: Connection, attempt_id: int, metric: str, part: int) -> bytes:
    row = _payload.row(connection, attempt_id=attempt_id, metric=metric, part=part)
    assert row is not None  # the index was read in this transaction
    return bytes(row[0])


def _one_a_step(connection: Connection | None, attempt_id: int, series: Series) -> Series:
    """Reports without repeats, unless a checkpoint counts them: then they stay as they came."""
    once = without_repeats(series)
    if once is series or connection is None:
        return once
    return once if _any_checkpoint.row(connection, attempt_id=attempt_id) is None else series


def without_repeats(series: Series) -> Series:
    """Reports, with one point a step: at its first place, with its last value.

    Through ``Trial.report`` a step comes only once (its first value stands); Optuna's storages
    let a step be overwritten.
    """
    if bool((series.steps[1:] > series.steps[:-1]).all()):
        return series
    unique, first = np.unique(series.steps, return_index=True)
    if len(unique) == len(series):
        return series
    _, last = np.unique(series.steps[::-1], return_index=True)
    place = np.argsort(first, kind="stable")
    kept = (len(series) - 1 - last)[place]
    return Series(series.metric, series.steps[kept], series.values[kept], series.seconds[kept])


def write_folded(
    connection: Connection, attempt_id: int, fold: Folded, index: Index | None = None
) -> bool:
    """Write what ``folded`` made; whether it was still valid.

    Args:
        connection: A write transaction that has locked the trial.
        attempt_id: The attempt.
        fold: What to write.
        index: The attempt's index in this transaction, when the caller has it.
    """
    if (index_of(connection, attempt_id) if index is None else index) != fold.index:
        return False
    for metric in fold.replaced:
        _delete.run(connection, attempt_id=attempt_id, metric=metric)
    if fold.rows:
        _insert.many(connection, ({**row, "attempt_id": attempt_id} for row in fold.rows))
    return True


def payload_digests(connection: Connection, attempt_id: int) -> dict[str, list[str]]:
    """The digests of an attempt's payloads, by metric, in the order of the parts."""
    digests: dict[str, list[str]] = {}
    for metric, parts in index_of(connection, attempt_id).items():
        digests[metric] = [
            digest_of_bytes(_one_payload(connection, attempt_id, metric, part)) for part, _ in parts
        ]
    return digests


def reports(series: Iterable[Series]) -> dict[int, float]:
    """Parts of the series ``objective`` as Optuna's intermediate values."""
    values: dict[int, float] = {}
    for part in series:
        values.update(zip(part.steps.tolist(), part.values.tolist(), strict=True))
    return values
