"""Replicates in the tables: placed in a study once each, and found from the study they are of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from optuna.trial import TrialState, create_trial
from sqlalchemy import Connection, and_, or_, select

from trialbook.book import schema
from trialbook.book.book import Book
from trialbook.book.claims import lock_study
from trialbook.book.removal import bury
from trialbook.book.spaces import Spaces
from trialbook.book.trials import add_template
from trialbook.records.execution import EndReason
from trialbook.records.replicates import (
    REPLICATE,
    REPLICATES,
    Replicate,
    ReplicationLink,
    ReplicationSource,
    as_attribute,
    link_of,
    replicate_of,
)

_s, _t, _a, _x = schema.study.c, schema.trial.c, schema.attempt.c, schema.study_attr.c


def place(book: Book, study_id: int, wanted: Sequence[Replicate], spaces: Spaces) -> list[int]:
    """Add those replicates as WAITING trials that a study does not have; their ids.

    One transaction, so that of two who want the same the second finds the first's. A trial that was
    abandoned or deleted does not count: its replicate is added again, with the same seed.

    Args:
        book: The book.
        study_id: The study of replicates.
        wanted: In the order in which they are to run.
        spaces: The spaces of the storage.

    Raises:
        NotFoundError: There is no such study.
    """
    with book.writing(durable=True) as connection:
        lock_study(connection, study_id)
        there = {replicate.key for replicate, _ in _living(connection, study_id)}
        added = []
        for replicate in wanted:
            if replicate.key in there:
                continue
            there.add(replicate.key)
            template = create_trial(
                state=TrialState.WAITING, system_attrs={REPLICATE: as_attribute(replicate)}
            )
            added.append(add_template(connection, study_id, template, spaces))
    return added


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """What became of replicates that are not wanted any more.

    Args:
        removed: How many had not begun, and are gone.
        begun: How many have begun and go on.
    """

    removed: int
    begun: int


def withdraw(book: Book, study_id: int, count: int) -> Withdrawn:
    """Take back the replicates of further seeds that have not begun; their tombstones stay.

    Args:
        book: The book.
        study_id: The study of replicates.
        count: How many seeds each configuration keeps.

    Raises:
        NotFoundError: There is no such study.
    """
    unfinished = (_t.study_id == study_id, _t.deleted.is_(None), _t.finish_seq.is_(None))
    with book.writing(durable=True) as connection:
        lock_study(connection, study_id)
        begun = connection.execute(
            select(_t.system_attrs).where(
                *unfinished, or_(_t.state != TrialState.WAITING.value, _t.attempt > 0)
            )
        ).all()
        waiting = connection.execute(
            select(_t.trial_id, _t.system_attrs)
            .where(*unfinished, _t.state == TrialState.WAITING.value, _t.attempt == 0)
            .with_for_update(skip_locked=True)  # whoever has one is about to begin it
        ).all()
        removed = [row.trial_id for row in waiting if _is_beyond(row.system_attrs, count)]
        if removed:
            bury(connection, removed)
    return Withdrawn(len(removed), sum(_is_beyond(row.system_attrs, count) for row in begun))


def replicates(book: Book, study_id: int) -> list[Replicate]:
    """Every replicate of a study that lives and was not abandoned, by number of its trial.

    Raises:
        BookCorruptError: The attribute of one is damaged.
    """
    with book.reading() as connection:
        return [replicate for replicate, _ in _living(connection, study_id)]


def finished(book: Book, study_id: int) -> int:
    """How many of these have finished, failed ones too."""
    with book.reading() as connection:
        return sum(state.is_finished() for _, state in _living(connection, study_id))


def link(book: Book, study_id: int) -> ReplicationLink | None:
    """What a study is linked to, ``None`` when it is no study of replicates.

    Raises:
        BookCorruptError: The link is damaged.
    """
    with book.reading() as connection:
        value = connection.scalar(
            select(_x.value).where(
                _x.study_id == study_id, _x.scope == "system", _x.key == REPLICATES
            )
        )
    return None if value is None else link_of({REPLICATES: json.loads(value)})


def source_of(book: Book, linked: ReplicationLink) -> ReplicationSource:
    """The study that a link leads to. Another study may have its name by now."""
    with book.reading() as connection:
        row = connection.execute(
            select(_s.name, _s.deleted).where(_s.uid == linked.uid)
        ).one_or_none()
    if row is None:
        return ReplicationSource(linked.study, None)
    if row.deleted is not None:
        return ReplicationSource(linked.study, None, deleted=True)
    return ReplicationSource(linked.study, row.name)


def linked_studies(book: Book, uid: str) -> list[str]:
    """Names of the living studies that hold replicates of a study, by name.

    Args:
        book: The book.
        uid: Identity of the source study.

    Raises:
        BookCorruptError: A link is damaged.
    """
    with book.reading() as connection:
        found = connection.execute(
            select(_s.name, _x.value)
            .join(schema.study_attr, _x.study_id == _s.study_id)
            .where(
                _x.scope == "system",
                _x.key == REPLICATES,
                _x.value.contains(uid, autoescape=True),
                _s.deleted.is_(None),
            )
            .order_by(_s.name)
        ).all()
    links = ((row.name, link_of({REPLICATES: json.loads(row.value)})) for row in found)
    return [name for name, one in links if one is not None and one.uid == uid]


def _is_beyond(system_attrs: str, count: int) -> bool:
    replicate = replicate_of(json.loads(system_attrs))
    return replicate is not None and replicate.index >= count


def _living(connection: Connection, study_id: int) -> list[tuple[Replicate, TrialState]]:
    found = connection.execute(
        select(_t.system_attrs, _t.state, _a.end_reason)
        .outerjoin(schema.attempt, and_(_a.trial_id == _t.trial_id, _a.number == _t.attempt))
        .where(_t.study_id == study_id, _t.deleted.is_(None))
        .order_by(_t.number)
    ).all()
    marks = (
        (replicate_of(json.loads(row.system_attrs)), TrialState(row.state))
        for row in found
        if not (row.state == TrialState.FAIL.value and row.end_reason == EndReason.ABANDONED)
    )
    return [(mark, state) for mark, state in marks if mark is not None]
