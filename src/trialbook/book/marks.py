"""Trials that say of themselves that they differ from their study, found without reading them all.

The mark (``records/marks.py``) lies in a snapshot that most trials have for themselves alone, so
looking through those of a long study takes a while. A worker is let in once and differs or does
not: only the trials of workers whose first or last one is marked are looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from trialbook.book import schema
from trialbook.book.rows import readable
from trialbook.records.coordinates import Snapshot
from trialbook.records.execution import LaunchState
from trialbook.records.marks import MARKED

_t, _a, _n = schema.trial.c, schema.attempt.c, schema.snapshot.c


@dataclass(frozen=True, slots=True)
class MarkedTrial:
    """A trial whose process differed from the study.

    Args:
        number: Its number.
        worker_id: Who ran it.
        differs: In what, see ``LaunchState.differs``.
    """

    number: int
    worker_id: str
    differs: tuple[str, ...]


def is_marked(document: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether the document of an execution snapshot holds a mark."""
    return document.contains(MARKED, autoescape=True)


def marked_trials(connection: Connection, study_id: int) -> tuple[MarkedTrial, ...]:
    """The trials of a study whose current attempt is marked, by number."""
    ends = (
        select(
            _a.worker_id,
            func.min(_a.attempt_id).label("first"),
            func.max(_a.attempt_id).label("last"),
        )
        .join(schema.trial, _t.trial_id == _a.trial_id)
        .where(
            _t.study_id == study_id,
            _t.deleted.is_(None),
            _a.worker_id.is_not(None),
            _a.execution.is_not(None),
        )
        .group_by(_a.worker_id)
        .subquery()
    )
    workers = connection.scalars(
        select(ends.c.worker_id)
        .join(
            schema.attempt,
            or_(_a.attempt_id == ends.c.first, _a.attempt_id == ends.c.last),
        )
        .join(schema.snapshot, _n.digest == _a.execution)
        .where(is_marked(_n.document))
        .distinct()
    ).all()
    if not workers:
        return ()
    found = connection.execute(
        select(_t.number, _a.worker_id, _n.document)
        .join(schema.attempt, and_(_a.trial_id == _t.trial_id, _a.number == _t.attempt))
        .join(schema.snapshot, _n.digest == _a.execution)
        .where(
            _t.study_id == study_id,
            _t.deleted.is_(None),
            _a.worker_id.in_(workers),
            is_marked(_n.document),
        )
        .order_by(_t.number)
    )
    return tuple(MarkedTrial(row.number, row.worker_id, _mark(row.document)) for row in found)


def _mark(document: str) -> tuple[str, ...]:
    with readable("the launch of a trial"):
        return Snapshot.from_document(document.encode()).state_as(LaunchState).differs
