"""What counts of a trial whose attempts went on from checkpoints: the one definition.

An attempt that went on from a checkpoint continues the attempt that saved it, which may have
continued another one. Of each earlier attempt in this chain the points up to its checkpoint count,
and after them the points of the attempt itself. Attempts outside the chain count for nothing.

A position counts points, not rows: parts are only ever appended or folded in their order, so the
first points of an attempt stay the same whatever a late writer adds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import Connection, bindparam, select

from trialbook.book import schema
from trialbook.book.series_rows import without_repeats
from trialbook.book.statements import Statement
from trialbook.errors import BookCorruptError
from trialbook.records.canonical import parsed
from trialbook.records.checkpoints import Position
from trialbook.records.series import OBJECTIVE, Series, decoded, joined

_c, _a, _p = schema.checkpoint.c, schema.attempt.c, schema.series.c
_link = Statement(
    select(
        _c.checkpoint_id,
        _c.number,
        _c.digest,
        _c.position,
        _a.attempt_id,
        _a.trial_id,
        _a.number,
        _a.prune_answers,
        _a.resumed_from,
    )
    .join(schema.attempt, _a.attempt_id == _c.attempt_id)
    .where(_c.checkpoint_id == bindparam("checkpoint_id"))
)
_resumed_from = Statement(select(_a.resumed_from).where(_a.attempt_id == bindparam("attempt_id")))
_own = Statement(
    select(_p.metric, _p.payload)
    .where(_p.attempt_id == bindparam("attempt_id"))
    .order_by(_p.metric, _p.part)
)
_parts = Statement(
    select(_p.part)
    .where(_p.attempt_id == bindparam("attempt_id"), _p.metric == bindparam("metric"))
    .order_by(_p.part)
)
_part = Statement(
    select(_p.payload).where(
        _p.attempt_id == bindparam("attempt_id"),
        _p.metric == bindparam("metric"),
        _p.part == bindparam("part"),
    )
)


@dataclass(frozen=True, slots=True)
class Link:
    """An earlier attempt of which a part counts, and the checkpoint up to which it does.

    Args:
        attempt_id: The attempt.
        attempt: Its number.
        checkpoint_id: The checkpoint.
        checkpoint: Its number.
        digest: The digest of its content.
        position: How far the attempt had come.
        prune_answers: The answers of ``should_prune`` that count, ``1`` or ``0`` each.
    """

    attempt_id: int
    attempt: int
    checkpoint_id: int
    checkpoint: int
    digest: str
    position: Position
    prune_answers: str


def position_of(text: str) -> Position:
    """The position that a column holds."""
    return msgspec.convert(parsed(text), Position)


def chain(connection: Connection, attempt_id: int) -> tuple[Link, ...]:
    """The earlier attempts of which something counts for this one, oldest first.

    Raises:
        BookCorruptError: A checkpoint of the chain is not there, or no earlier one of the trial.
    """
    row = _resumed_from.row(connection, attempt_id=attempt_id)
    return () if row is None else chain_from(connection, row[0])


def chain_from(connection: Connection, checkpoint_id: int | None) -> tuple[Link, ...]:
    """As ``chain``, for an attempt that went on from this checkpoint; ``None``: from none."""
    links: list[Link] = []
    trial_id = None
    while checkpoint_id is not None:
        row = _link.row(connection, checkpoint_id=checkpoint_id)
        if row is None:
            raise BookCorruptError(f"the checkpoint of id {checkpoint_id} is not in the book")
        position = position_of(row[3])
        if links and (row[5] != trial_id or row[6] >= links[-1].attempt):
            raise BookCorruptError(
                f"attempt {links[-1].attempt} went on from a checkpoint of no earlier attempt"
            )
        answers = row[7][: position.prune_answers]
        links.append(Link(row[4], row[6], row[0], row[1], row[2], position, answers))
        trial_id, checkpoint_id = row[5], row[8]
    links.reverse()
    return tuple(links)


def _counted_parts(connection: Connection, link: Link, metric: str) -> Iterator[Series]:
    """The points of a metric that count, part by part, one payload in memory at a time."""
    left = link.position.points[metric]
    for (part,) in _parts.rows(connection, attempt_id=link.attempt_id, metric=metric):
        if left == 0:
            return
        row = _part.row(connection, attempt_id=link.attempt_id, metric=metric, part=part)
        assert row is not None  # it was listed in this transaction
        points = decoded(metric, bytes(row[0]))
        if len(points) > left:
            points = Series(
                metric, points.steps[:left], points.values[:left], points.seconds[:left]
            )
        left -= len(points)
        yield points
    if left:
        raise BookCorruptError(
            f"attempt {link.attempt} has {link.position.points[metric] - left} points of metric "
            f"{metric!r}, its checkpoint {link.checkpoint} says {link.position.points[metric]}"
        )


def points_digest(connection: Connection, link: Link, metric: str) -> str:
    """SHA-256 over the points of a metric that count.

    Each point is 24 bytes, little-endian: step (``int64``), value and seconds (``float64``).

    Raises:
        BookCorruptError: Points are missing, or cannot be read.
    """
    sha = hashlib.sha256()
    for points in _counted_parts(connection, link, metric):
        table = np.empty(len(points), [("step", "<i8"), ("value", "<f8"), ("seconds", "<f8")])
        table["step"], table["value"] = points.steps, points.values
        table["seconds"] = points.seconds
        sha.update(table.tobytes())
    return sha.hexdigest()


def chain_document(connection: Connection, attempt_id: int) -> list[dict[str, Any]]:
    """What the digest of a record covers of the attempts that its own one continues.

    Oldest first; see ``record_digest.py``. What is damaged is ``None``, so that it keeps no trial
    from finishing; ``check_chain`` names it.
    """
    try:
        links = chain(connection, attempt_id)
    except BookCorruptError:
        return [{"attempt": None}]
    return [
        {
            "attempt": link.attempt,
            "checkpoint": link.checkpoint,
            "digest": link.digest,
            "prune_answers": link.prune_answers,
            "series": [
                [metric, link.position.points[metric], _digest_or_none(connection, link, metric)]
                for metric in sorted(link.position.points)
            ],
        }
        for link in links
    ]


def _digest_or_none(connection: Connection, link: Link, metric: str) -> str | None:
    try:
        return points_digest(connection, link, metric)
    except BookCorruptError:
        return None


def check_chain(connection: Connection, attempt_id: int) -> None:
    """See that everything is there that counts of the attempts before this one.

    Raises:
        BookCorruptError: Something is missing, or cannot be read.
    """
    for link in chain(connection, attempt_id):
        for metric in link.position.points:
            points_digest(connection, link, metric)


def earlier_points(connection: Connection, links: tuple[Link, ...]) -> dict[str, list[Series]]:
    """The points of a chain that count, by metric, oldest first.

    Raises:
        BookCorruptError: Points are missing, or cannot be read.
    """
    found: dict[str, list[Series]] = {}
    for link in links:
        for metric in link.position.points:
            found.setdefault(metric, []).extend(_counted_parts(connection, link, metric))
    return found


def earlier_reports(connection: Connection, checkpoint_id: int | None) -> list[Series]:
    """The reports that count up to a checkpoint, oldest first."""
    return [
        points
        for link in chain_from(connection, checkpoint_id)
        if OBJECTIVE in link.position.points
        for points in _counted_parts(connection, link, OBJECTIVE)
    ]


def counted_points(connection: Connection, attempt_id: int, metric: str) -> Iterator[Series]:
    """The points of one metric that count for this attempt, one payload in memory at a time.

    Reports may repeat a step, unlike in ``stitched``.

    Raises:
        BookCorruptError: The chain is damaged, or points cannot be read.
    """
    for link in chain(connection, attempt_id):
        if metric in link.position.points:
            yield from _counted_parts(connection, link, metric)
    for (part,) in _parts.rows(connection, attempt_id=attempt_id, metric=metric):
        row = _part.row(connection, attempt_id=attempt_id, metric=metric, part=part)
        assert row is not None  # it was listed in this transaction
        yield decoded(metric, bytes(row[0]))


def stitched(connection: Connection, attempt_id: int) -> dict[str, Series]:
    """Every metric of a trial whose attempt this is, sorted by name, with the points that count.

    Of reports there is one point a step, at its first place with its last value.

    Raises:
        BookCorruptError: The chain is damaged, or points cannot be read.
    """
    parts = earlier_points(connection, chain(connection, attempt_id))
    for metric, payload in _own.rows(connection, attempt_id=attempt_id):
        parts.setdefault(metric, []).append(decoded(metric, bytes(payload)))
    whole = {metric: joined(metric, parts[metric]) for metric in sorted(parts)}
    if OBJECTIVE in whole:
        whole[OBJECTIVE] = without_repeats(whole[OBJECTIVE])
    return whole
