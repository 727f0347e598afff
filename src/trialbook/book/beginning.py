"""The first transaction of an attempt under tracking: its coordinates, before user code.

An attempt that was claimed with a lease is there already and gets its coordinates; others are made.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, bindparam, select, update

from trialbook.book import at_once, schema, trials
from trialbook.book.at_once import Known
from trialbook.book.attempt_rows import Identity
from trialbook.book.blobs import StaleError
from trialbook.book.book import Book
from trialbook.book.shelf import Shelf
from trialbook.book.statements import Statement
from trialbook.book.texts import tagged_text
from trialbook.errors import AttemptFencedError, InvalidInputError
from trialbook.records.blobs import Blob
from trialbook.records.coordinates import Snapshot
from trialbook.records.execution import Seeds
from trialbook.records.workers import Holder

_params = Statement(
    select(schema.trial.c.params).where(
        schema.trial.c.trial_id == bindparam("trial_id"), schema.trial.c.deleted.is_(None)
    )
)

_a = schema.attempt.c
_fill = Statement(
    update(schema.attempt)
    .where(_a.attempt_id == bindparam("attempt_id_"), _a.seeds.is_(None), _a.ended.is_(None))
    .values(
        {name: bindparam(name, type_=_a[name].type) for name in (*trials.NO_COORDINATES, "started")}
    )
)


@dataclass(frozen=True, slots=True)
class Opening:
    """What an attempt begins with.

    Args:
        snapshots: Its coordinates, at most one of each kind.
        blobs: Contents that they name.
        seeds: The seeds of the trial.
        claimed: Number of the attempt that was made by a claim with a lease; ``None`` to make one.
        holder: Who gets a lease on an attempt that is made here, ``None`` for nobody.
    """

    snapshots: Sequence[Snapshot]
    blobs: tuple[Blob, ...]
    seeds: Seeds
    claimed: int | None = None
    holder: Holder | None = None


@dataclass(frozen=True, slots=True)
class Begun:
    """An attempt that has begun.

    Args:
        identity: Which it is.
        known: Its trial, when this is the first attempt of it.
    """

    identity: Identity
    known: Known | None


def begin(shelf: Shelf, trial_id: int, opening: Opening) -> Begun:
    """Commit the coordinates of an attempt; see ``BookStorage.begin_attempt``."""
    blobs, snapshots = opening.blobs, opening.snapshots
    coordinates = dict(trials.NO_COORDINATES)
    coordinates["seeds"] = tagged_text(opening.seeds)
    coordinates.update((str(snapshot.kind), snapshot.digest) for snapshot in snapshots)
    while True:
        prepared = shelf.blobs.prepared(blobs)
        try:
            mark = None if prepared else shelf.blobs.mark_of(snapshots, blobs)
            begun = _at_once(shelf.book, trial_id, opening, coordinates, mark)
            if begun is None:
                with shelf.book.writing() as connection:
                    shelf.blobs.name(connection, prepared, snapshots, relied_on=blobs)
                    begun = _begun(connection, trial_id, opening, coordinates)
        except StaleError:
            continue
        finally:
            shelf.blobs.discard(prepared)
        shelf.blobs.committed(prepared, snapshots)
        identity = begun.identity
        if identity.number == 1:  # else reports of an earlier one disappear, which others must read
            shelf.flushed(identity.study_id)
        return begun


def _at_once(
    book: Book,
    trial_id: int,
    opening: Opening,
    coordinates: Mapping[str, str | None],
    mark: str | None,
) -> Begun | None:
    """Begin an ordinary first attempt on a server; ``None`` when it is to be done step by step."""
    if opening.claimed is not None or mark is None or book.path is not None:
        return None
    first = at_once.begin_first(book, trial_id, coordinates, opening.holder, mark)
    if first is None:
        return None
    attempt_id, known = first
    identity = Identity(known.row.study_id, trial_id, known.row.number, attempt_id, 1)
    return Begun(identity, known)


def _begun(
    connection: Connection,
    trial_id: int,
    opening: Opening,
    coordinates: Mapping[str, str | None],
) -> Begun:
    row = trials.locked_unfinished(connection, trial_id)
    if opening.claimed is None:
        _refuse_waiting(row)
        attempt_id, number = trials.add_attempt(connection, row, coordinates, opening.holder)
    else:
        number = opening.claimed
        attempt_id = _filled(connection, row, number, coordinates)
    identity = Identity(row.study_id, trial_id, row.number, attempt_id, number)
    known = Known(replace(row, attempt=number), coordinates) if number == 1 else None
    return Begun(identity, known)


def _refuse_waiting(row: trials.TrialRow) -> None:
    if row.state == trials.WAITING:
        raise InvalidInputError(
            f"trial {row.number} is WAITING: it must be claimed before it is begun"
        )


def _filled(
    connection: Connection,
    row: trials.TrialRow,
    number: int,
    coordinates: Mapping[str, str | None],
) -> int:
    """Give a claimed attempt its coordinates; its id.

    Raises:
        AttemptFencedError: It is no longer the current one, or has begun already.
    """
    current = row.state == trials.RUNNING and row.attempt == number
    attempt_id = trials.attempt_id(connection, row.trial_id, number) if current else None
    if attempt_id is None or not _fill.run(
        connection, attempt_id_=attempt_id, started=time.time(), **coordinates
    ):
        raise AttemptFencedError(
            f"attempt {number} of trial {row.number} was given to another worker before it began"
        )
    return attempt_id


def internal_params(book: Book, trial_id: int) -> dict[str, float]:
    """The params of a trial as Optuna's internal values.

    Raises:
        NotFoundError: There is no such trial.
    """
    with book.reading() as connection:
        row = _params.row(connection, trial_id=trial_id)
    if row is None:
        raise trials.no_trial(trial_id)
    params: dict[str, float] = json.loads(row[0])
    return params
