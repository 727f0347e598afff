"""What a study names in its book: its trials in portions, its snapshots, its blobs.

For whoever takes a study elsewhere (``copying.py``). A blob counts as named when its digest stands
anywhere in a snapshot of the study or in an attempt's outcome, as in ``removal.py``.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Table, func, select

from trialbook.book import schema
from trialbook.book.rows import STATES
from trialbook.errors import InvalidInputError

PORTION = 500
"""Trials that are read at once."""

_IDS = 50_000
_DOCUMENTS = 20
_RUNNING = STATES.index("RUNNING")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_COORDINATES = ("code", "data", "config", "environment", "execution")

_t, _a, _c = schema.trial.c, schema.attempt.c, schema.checkpoint.c


def chunks(items: Sequence[Any], size: int = PORTION) -> Iterator[Sequence[Any]]:
    """The items in portions of at most so many."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def refuse_running(connection: Connection, study_id: int, name: str) -> None:
    """Refuse what cannot be done while trials of a study are running.

    Raises:
        InvalidInputError: A trial of it is RUNNING.
    """
    numbers = connection.scalars(
        select(_t.number)
        .where(_t.study_id == study_id, _t.state == _RUNNING, _t.deleted.is_(None))
        .order_by(_t.number)
        .limit(6)
    ).all()
    if numbers:
        named = ", ".join(map(str, numbers[:5])) + (", ..." if len(numbers) > 5 else "")
        raise InvalidInputError(
            f"trials of the study {name!r} are running, and two books must not both have them: "
            f"{named}",
            hint=f"let its workers finish ('trialbook drain'), give back what dead ones held "
            f"('trialbook reap'), or delete a trial that nobody runs ('trialbook rm {name}/"
            f"{numbers[0]} --running')",
        )


def ids(connection: Connection, table: Table, study_id: int) -> array[int]:
    """The ids of a study's rows in a table that belongs to trials or attempts, growing."""
    key = table.primary_key.columns.values()[0]
    query = select(key).order_by(key).limit(_IDS)
    if "attempt_id" in table.c and table is not schema.attempt:
        query = query.join(schema.attempt, _a.attempt_id == table.c.attempt_id)
    if table is not schema.trial:
        query = query.join(schema.trial, _t.trial_id == _a.trial_id)
    query = query.where(_t.study_id == study_id)
    found: array[int] = array("q")
    while True:
        portion = connection.scalars(query.where(key > found[-1]) if found else query).all()
        found.extend(portion)
        if len(portion) < _IDS:
            return found


def snapshots(connection: Connection, study: Any) -> list[str]:
    """The digests of the snapshots that a study names and its book has.

    Args:
        connection: A read transaction.
        study: The study's row.
    """
    named: dict[str, None] = {}
    for kind in _COORDINATES:
        column = _a[kind]
        query = (
            select(column)
            .join(schema.trial, _t.trial_id == _a.trial_id)
            .where(_t.study_id == study.study_id, column.is_not(None))
            .distinct()
        )
        named.update(dict.fromkeys(connection.scalars(query)))
    spaces = select(_t.space).where(_t.study_id == study.study_id, _t.space.is_not(None)).distinct()
    named.update(dict.fromkeys(connection.scalars(spaces)))
    named.update(dict.fromkeys(_DIGEST.findall(study.reference or "")))
    digest = schema.snapshot.c.digest
    return [
        found
        for chunk in chunks(list(named))
        for found in connection.scalars(select(digest).where(digest.in_(chunk)))
    ]


def documents(connection: Connection, digests: Sequence[str]) -> Iterator[Sequence[Any]]:
    """The rows of these snapshots, a few at a time: a document can be large."""
    s = schema.snapshot
    for chunk in chunks(digests, _DOCUMENTS):
        yield connection.execute(select(s).where(s.c.digest.in_(chunk))).all()


def blobs(
    connection: Connection, study_id: int, named_by: Sequence[str], trial_ids: Sequence[int]
) -> dict[str, int]:
    """The blobs that a study names and its book has: digest to size.

    Args:
        connection: A read transaction.
        study_id: The study.
        named_by: The digests of its snapshots.
        trial_ids: The ids of its trials.
    """
    named: set[str] = set()
    for rows in documents(connection, named_by):
        for row in rows:
            named.update(_DIGEST.findall(row.document))
    f = schema.artifact.c
    for chunk in chunks(trial_ids):
        outcomes = select(_a.outcome).where(_a.trial_id.in_(chunk), _a.outcome.is_not(None))
        for outcome in connection.scalars(outcomes):
            named.update(_DIGEST.findall(outcome))
        named.update(
            connection.scalars(
                select(f.digest)
                .join(schema.attempt, _a.attempt_id == f.attempt_id)
                .where(_a.trial_id.in_(chunk))
            )
        )
    # Of checkpoints only those that an attempt may still go on from.
    named.update(
        connection.scalars(
            select(_c.digest)
            .join(schema.attempt, _a.attempt_id == _c.attempt_id)
            .join(schema.trial, _t.trial_id == _a.trial_id)
            .where(_t.study_id == study_id, _c.kept == 1, _t.finish_seq.is_(None))
        )
    )
    b = schema.blob.c
    return {
        row.digest: row.size
        for chunk in chunks(sorted(named))
        for row in connection.execute(select(b.digest, b.size).where(b.digest.in_(chunk)))
    }


def absent(connection: Connection, table: Table, digests: Iterable[str]) -> list[str]:
    """Those of the digests that a table of snapshots or blobs does not have."""
    wanted = list(digests)
    there: set[str] = set()
    for chunk in chunks(wanted):
        there.update(connection.scalars(select(table.c.digest).where(table.c.digest.in_(chunk))))
    return [digest for digest in wanted if digest not in there]


def trials_of(connection: Connection, study_id: int) -> int:
    """Number of a study's trials, tombstones among them."""
    query = select(func.count()).select_from(schema.trial).where(_t.study_id == study_id)
    return connection.scalars(query).one()
