"""Workers and their leases: registered, renewed, expired, ended.

A lease is a time on the database's clock (``clock.py``) in the row of an attempt. It is made with
the claim (``claims.py``) or with the attempt (``beginning.py``). An expired one still belongs to
its owner until somebody ends the attempt (``retrying.py``), so a machine that slept renews it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import bindparam, or_, select, update

from trialbook.book import schema
from trialbook.book.book import Book
from trialbook.book.clock import database_time
from trialbook.book.statements import Statement, insert_if_absent
from trialbook.records.workers import WorkerIdentity, WorkerRecord

_w, _a, _t = schema.worker.c, schema.attempt.c, schema.trial.c
WORKING, LEFT, DEAD = "working", "left", "dead"

_register = insert_if_absent(
    schema.worker,
    *("worker_id", "host", "pid", "launcher", "job", "state", "started", "study_id", "boot"),
    *("start_ticks", "launch"),
)
_seen = Statement(
    update(schema.worker)
    .where(_w.worker_id == bindparam("worker_id_"))
    .values(seen=database_time(), state=WORKING, ended=None)
)
_end = Statement(
    update(schema.worker)
    .where(_w.worker_id == bindparam("worker_id_"), _w.ended.is_(None))
    .values(ended=database_time(), state=bindparam("state"))
)
_renew = Statement(
    update(schema.attempt)
    .where(
        _a.attempt_id == bindparam("attempt_id_"),
        _a.worker_id == bindparam("worker_id_"),
        _a.ended.is_(None),
    )
    .values(lease=database_time() + bindparam("lease_s", type_=_a.lease.type))
)
_expired = Statement(
    select(_t.trial_id, _a.number, _t.study_id)
    .select_from(schema.attempt.join(schema.trial, _t.trial_id == _a.trial_id))
    .where(
        _a.lease.is_not(None),
        _a.ended.is_(None),
        _a.lease < database_time(),
        _t.deleted.is_(None),
        _a.number == _t.attempt,
        or_(bindparam("every"), _t.study_id == bindparam("study_id")),
    )
    .order_by(_a.lease)
)
_of_study = Statement(
    select(schema.worker).where(_w.study_id == bindparam("study_id")).order_by(_w.started)
)


class Leases:
    """The workers of a book and what they hold.

    Args:
        book: An open book.
    """

    def __init__(self, book: Book) -> None:
        self._book = book

    def register(self, worker: WorkerIdentity, study_id: int | None = None) -> None:
        """Make a worker known, before it claims anything; again is no harm."""
        with self._book.writing() as connection:
            _register.run(
                connection,
                worker_id=worker.worker_id,
                host=worker.host,
                pid=worker.pid,
                launcher=worker.launcher,
                job=worker.job,
                state=WORKING,
                started=time.time(),
                study_id=study_id,
                boot=worker.boot,
                start_ticks=worker.start_ticks,
                launch=worker.launch,
            )
            _seen.run(connection, worker_id_=worker.worker_id)

    def renew(self, worker_id: str, attempt_ids: Iterable[int], lease_s: float) -> set[int]:
        """Renew the leases of a worker, expired ones too; also a sign of life.

        Args:
            worker_id: The worker.
            attempt_ids: The attempts that it holds.
            lease_s: Seconds from now until they expire.

        Returns:
            Those that it still holds; the others have been ended by somebody else.
        """
        held = set()
        with self._book.writing() as connection:
            for attempt_id in sorted(attempt_ids):  # in one order, so that nobody deadlocks
                changed = _renew.run(
                    connection, attempt_id_=attempt_id, worker_id_=worker_id, lease_s=lease_s
                )
                if changed:
                    held.add(attempt_id)
            _seen.run(connection, worker_id_=worker_id)
        return held

    def leave(self, worker_id: str, *, dead: bool = False) -> None:
        """Note that a worker is gone: by itself, or found dead. What it holds stays as it is."""
        with self._book.writing() as connection:
            _end.run(connection, worker_id_=worker_id, state=DEAD if dead else LEFT)

    def expired(self, study_id: int | None = None) -> Sequence[tuple[int, int, int]]:
        """Attempts whose lease is over: trial id, number of the attempt, study id.

        Args:
            study_id: Only of this study; ``None`` for all.
        """
        with self._book.reading() as connection:
            rows = _expired.rows(
                connection, study_id=-1 if study_id is None else study_id, every=study_id is None
            )
        return [(int(trial_id), int(number), int(study)) for trial_id, number, study in rows]

    def workers(self, study_id: int) -> list[WorkerRecord]:
        """The workers of a study, in the order in which they came."""
        with self._book.reading() as connection:
            rows = _of_study.rows(connection, study_id=study_id)
        names = schema.worker.c.keys()
        return [worker_record(dict(zip(names, row, strict=True))) for row in rows]


def worker_record(row: dict[str, Any]) -> WorkerRecord:
    """The record of a row of ``tb_worker``, given by column names; there may be more in it."""
    names = ("worker_id", "host", "pid", "launcher", "job", "boot", "start_ticks", "launch")
    return WorkerRecord(
        WorkerIdentity(**{name: row[name] for name in names}),
        row["study_id"],
        row["state"],
        row["started"],
        row["started"] if row["seen"] is None else row["seen"],
        row["ended"],
        row["asked"],
    )
