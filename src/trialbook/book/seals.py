"""The seal of a study: one digest over all its trials.

It is the Merkle root (RFC 6962, ``records/seal.py``) over one leaf a trial, by number. A leaf is
the canonical JSON of ``[number, state, record digest]``, the state by its name. Deleted trials are
covered by the digest that their tombstone keeps, so deleting leaves the seal as it is. Unfinished
trials are covered too, with ``null`` for their digest: a seal says how many trials a study had, so
that none can be dropped, and it is final when all have finished.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from trialbook.book import schema
from trialbook.book.book import Book
from trialbook.book.rows import STATES
from trialbook.records.seal import merkle_root

FINISHED = tuple(STATES.index(state) for state in ("COMPLETE", "PRUNED", "FAIL"))
"""The numbers of the states in which a trial has its record."""


@dataclass(frozen=True, slots=True)
class StudySeal:
    """The seal of a study.

    Args:
        study: Its name.
        uid: Its identity.
        seal: The Merkle root, 64 hexadecimal digits.
        trials: Number of trials that it covers, deleted ones among them.
        unfinished: Number of trials that may still change it.
        deleted: Number of trials that are tombstones.
        study_deleted: Whether the study itself was deleted.
    """

    study: str
    uid: str
    seal: str
    trials: int
    unfinished: int
    deleted: int
    study_deleted: bool


def leaf(number: int, state: str, record: str | None) -> bytes:
    """The leaf of a trial: canonical JSON of ``[number, state, record digest]``."""
    # RFC 8785 for an integer and ASCII text is what ``json`` writes without spaces.
    return json.dumps([number, state, record], separators=(",", ":")).encode()


def seal_of(book: Book, study_id: int) -> str:
    """The seal of a study as it is now, 64 hexadecimal digits."""
    return sealed(book, study_id).seal


def sealed(book: Book, study_id: int) -> StudySeal:
    """The seal of a study as it is now, and what it covers."""
    with book.reading() as connection:
        row = connection.execute(
            select(schema.study).where(schema.study.c.study_id == study_id)
        ).one()
        return study_seal(connection, row)


def study_seal(connection: Connection, study: Row[Any]) -> StudySeal:
    """The seal of a study as a transaction sees it, from its row in ``tb_study``."""
    t = schema.trial.c
    found = connection.execute(
        select(t.number, t.state, t.record_digest, t.deleted)
        .where(t.study_id == study.study_id)
        .order_by(t.number)
    ).all()
    return StudySeal(
        study=study.name,
        uid=study.uid,
        seal=merkle_root([leaf(r.number, _state(r.state), r.record_digest) for r in found]),
        trials=len(found),
        unfinished=sum(r.state not in FINISHED and r.deleted is None for r in found),
        deleted=sum(r.deleted is not None for r in found),
        study_deleted=study.deleted is not None,
    )


def _state(number: int) -> str:
    return STATES[number] if 0 <= number < len(STATES) else str(number)
