"""Launches in the book, and what is asked of workers through it.

A worker that nobody can reach any more still looks into the book: so draining is a row there.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import bindparam, func, select, update

from trialbook.book import schema
from trialbook.book.book import Book
from trialbook.book.outlasting import all_outlasting
from trialbook.book.statements import Statement
from trialbook.errors import NotFoundError
from trialbook.records.launches import LaunchPin, LaunchRecord, PlacedJob

_l, _w, _s = schema.launch.c, schema.worker.c, schema.study.c
_asked = Statement(
    select(_w.asked, _l.asked)
    .select_from(
        schema.worker.outerjoin(
            schema.launch, _l.launch_id == func.substr(_w.launch, 1, func.length(_l.launch_id))
        )
    )
    .where(_w.worker_id == bindparam("worker_id"))
)


def new_launch_id() -> str:
    """8 random hexadecimal digits."""
    return secrets.token_hex(4)


@all_outlasting()
class Launches:
    """The launches of a book.

    Args:
        book: An open book.
    """

    def __init__(self, book: Book) -> None:
        self._book = book
        self.outage = book.outage

    def add(self, launch: LaunchRecord) -> None:
        """Keep a launch, before any of its workers is placed."""
        with self._book.writing(durable=True) as connection:
            connection.execute(
                schema.launch.insert().values(
                    launch_id=launch.launch_id,
                    study_id=launch.study_id,
                    engine=launch.engine,
                    created=launch.created_s,
                    host=launch.host,
                    user=launch.user,
                    workers=launch.workers,
                    document=_text(
                        {
                            "options": launch.options,
                            "place": launch.place,
                            "pin": None if launch.pin is None else str(launch.pin),
                        }
                    ),
                    jobs=_text(launch.jobs),
                )
            )

    def set_jobs(self, launch_id: str, jobs: Sequence[PlacedJob]) -> None:
        """Keep what the engine has taken so far."""
        with self._book.writing(durable=True) as connection:
            connection.execute(
                update(schema.launch).where(_l.launch_id == launch_id).values(jobs=_text(jobs))
            )

    def all(self, study_id: int | None = None) -> list[LaunchRecord]:
        """Launches, oldest first.

        Args:
            study_id: Only of this study; ``None`` for all.
        """
        query = (
            select(schema.launch, _s.name)
            .join(schema.study, _s.study_id == _l.study_id)
            .where(_s.deleted.is_(None))
            .order_by(_l.created, _l.launch_id)
        )
        if study_id is not None:
            query = query.where(_l.study_id == study_id)
        with self._book.reading() as connection:
            rows = connection.execute(query).all()
        return [_record(dict(row._mapping)) for row in rows]

    def one(self, launch_id: str) -> LaunchRecord:
        """The launch of that id.

        Raises:
            NotFoundError: There is none.
        """
        found = [launch for launch in self.all() if launch.launch_id == launch_id]
        if not found:
            raise NotFoundError(
                f"there is no launch {launch_id!r}", hint="'trialbook jobs' lists them"
            )
        return found[0]

    def ask(self, launch_id: str, what: str | None) -> None:
        """Ask something of all workers of a launch, those to come too; ``None`` takes it back."""
        with self._book.writing(durable=True) as connection:
            connection.execute(
                update(schema.launch).where(_l.launch_id == launch_id).values(asked=what)
            )

    def ask_workers(self, study_id: int, what: str | None) -> int:
        """Ask something of every worker of a study that has not ended; how many they are."""
        with self._book.writing(durable=True) as connection:
            return connection.execute(
                update(schema.worker)
                .where(_w.study_id == study_id, _w.ended.is_(None))
                .values(asked=what)
            ).rowcount

    def ask_job(self, job: str, what: str | None) -> int:
        """Ask something of the workers of one job (``LAUNCH/INDEX``); how many they are."""
        with self._book.writing(durable=True) as connection:
            return connection.execute(
                update(schema.worker).where(_w.launch == job, _w.ended.is_(None)).values(asked=what)
            ).rowcount

    def asked(self, worker_id: str) -> str | None:
        """What is asked of a worker, by itself or with its launch; ``None`` for nothing."""
        rows = self._book.glance(_asked.given(worker_id=worker_id))
        return (rows[0][0] or rows[0][1]) if rows else None


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _record(row: dict[str, Any]) -> LaunchRecord:
    document = msgspec.json.decode(row["document"])
    pin = document["pin"]
    return LaunchRecord(
        launch_id=row["launch_id"],
        study_id=row["study_id"],
        study=row["name"],
        engine=row["engine"],
        created_s=row["created"],
        host=row["host"],
        user=row["user"],
        workers=row["workers"],
        options=document["options"],
        place=document["place"],
        pin=None if pin is None else LaunchPin.of(pin),
        jobs=tuple(msgspec.json.decode(row["jobs"], type=list[PlacedJob])),
        asked=row["asked"],
    )
