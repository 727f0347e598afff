"""The rows of a study from one book into another, inside a transaction of each.

Every column goes over as it is, but for ids: the other book gives its own, in the order that they
have here. Two things are said otherwise there: a worker that still works has left, because it does
not work for that book; and the study has the name that it is to have there.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Table, and_, func, or_, select, text

from trialbook.book import schema
from trialbook.book.engine import is_sqlite
from trialbook.book.leases import LEFT
from trialbook.book.statements import Statement, insert_if_absent, inserting
from trialbook.book.study_contents import PORTION, chunks, documents, ids

PAYLOAD_BYTES = 8 * 1024 * 1024
"""Points that are in memory at once; a payload that is longer goes alone."""

_SILENT_S = 120

_t, _a, _w, _p = schema.trial.c, schema.attempt.c, schema.worker.c, schema.series.c
_insert_worker = insert_if_absent(schema.worker)
_insert_snapshot = insert_if_absent(schema.snapshot)
_INSERTS = {
    table.name: inserting(table, *(column.name for column in table.columns))
    for table in (
        *(schema.study, schema.study_attr, schema.launch, schema.trial, schema.trial_value),
        *(schema.attempt, schema.series, schema.checkpoint, schema.artifact, schema.rerun),
    )
}


class _Ids:
    """Ids of one book to those of another, in the same order."""

    def __init__(self, old: array[int], new: array[int]) -> None:
        self.old = old
        self._new = new

    def __getitem__(self, old: int) -> int:
        return self._new[bisect_left(self.old, old)]

    def get(self, old: int | None) -> int | None:
        """The other book's id; ``None`` for none, and for one that is not in the study."""
        if old is None:
            return None
        index = bisect_left(self.old, old)
        known = index < len(self.old) and self.old[index] == old
        return self._new[index] if known else None


def let_it_last(connection: Connection) -> None:
    """Lift a server's limit on how long a write transaction may take; this one is long."""
    if not is_sqlite(connection):
        driver: Any = connection.connection.driver_connection
        if driver.info.server_version >= 170_000:
            connection.execute(text("SET LOCAL transaction_timeout = 0"))
        limit = f"SET LOCAL idle_in_transaction_session_timeout = '{_SILENT_S}s'"
        connection.execute(text(limit))


def copy_rows(
    source: Connection,
    target: Connection,
    study: Row[Any],
    *,
    name: str,
    snapshots: Sequence[str],
    progress: Callable[[str], None],
) -> int:
    """Copy every row of a study; its id in the target.

    Args:
        source: A read transaction.
        target: A write transaction.
        study: The study's row in the source.
        name: Its name in the target.
        snapshots: The digests of the snapshots that it names.
        progress: Called with what is done next.
    """
    return _Copy(source, target, study, progress).run(name, snapshots)


class _Copy:
    def __init__(
        self,
        source: Connection,
        target: Connection,
        study: Row[Any],
        progress: Callable[[str], None],
    ) -> None:
        self._source = source
        self._target = target
        self._study = study
        self._progress = progress
        self._study_id = _new_ids(target, schema.study, 1)[0]

    def run(self, name: str, snapshots: Sequence[str]) -> int:
        """Copy; see ``copy_rows``."""
        study_id = self._study.study_id
        self._insert(schema.study, [self._of_study(self._study, name=name)])
        for table in (schema.study_attr, schema.launch):
            self._insert(table, map(self._of_study, self._rows(table, study_id=[study_id])))
        for rows in documents(self._source, snapshots):
            _insert_snapshot.many(self._target, [dict(row._mapping) for row in rows])
        _insert_worker.many(self._target, map(self._worker, self._workers()))
        trials, attempts, checkpoints = (
            self._ids(table) for table in (schema.trial, schema.attempt, schema.checkpoint)
        )
        reruns = self._ids(schema.rerun)
        total = len(trials.old)
        for start in range(0, total, PORTION):
            self._progress(f"trial {start} of {total}")
            chunk = trials.old[start : start + PORTION].tolist()
            self._insert(
                schema.trial,
                (
                    self._of_study(row, trial_id=trials[row.trial_id])
                    for row in self._rows(schema.trial, trial_id=chunk)
                ),
            )
            self._moved(schema.trial_value, "trial_id", chunk, trial_id=trials)
            of_chunk = self._moved(
                schema.attempt,
                "trial_id",
                chunk,
                trial_id=trials,
                attempt_id=attempts,
                resumed_from=checkpoints,
            )
            found = [row["attempt_id"] for row in of_chunk]
            self._points(found, attempts)
            of = {"attempt_id": attempts}
            for part in chunks(found):
                self._moved(schema.checkpoint, "attempt_id", part, checkpoint_id=checkpoints, **of)
                self._moved(schema.artifact, "attempt_id", part, **of)
                self._moved(schema.rerun, "attempt_id", part, rerun_id=reruns, **of)
        return self._study_id

    def _ids(self, table: Table) -> _Ids:
        old = ids(self._source, table, self._study.study_id)
        return _Ids(old, _new_ids(self._target, table, len(old)))

    def _rows(self, table: Table, **named: Sequence[Any]) -> Sequence[Row[Any]]:
        ((column, values),) = named.items()
        return self._source.execute(
            select(table)
            .where(table.c[column].in_(values))
            .order_by(*table.primary_key.columns.values())
        ).all()

    def _insert(self, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
        _many(_INSERTS[table.name], self._target, rows)

    def _moved(
        self, table: Table, column: str, values: Sequence[int], **maps: _Ids
    ) -> list[dict[str, Any]]:
        """Copy the rows with these ids in a column, with new ids; the rows as they were."""
        rows = [dict(row._mapping) for row in self._rows(table, **{column: values})]
        self._insert(
            table,
            ({**row, **{key: ids.get(row[key]) for key, ids in maps.items()}} for row in rows),
        )
        return rows

    def _of_study(self, row: Row[Any], **changed: Any) -> dict[str, Any]:
        return {**row._mapping, "study_id": self._study_id, **changed}

    def _workers(self) -> Sequence[Row[Any]]:
        """Those that registered for the study, and all that began an attempt of it."""
        study_id = self._study.study_id
        began = (
            select(_a.worker_id)
            .join(schema.trial, _t.trial_id == _a.trial_id)
            .where(_t.study_id == study_id)
        )
        return self._source.execute(
            select(schema.worker)
            .where(or_(_w.study_id == study_id, _w.worker_id.in_(began)))
            .order_by(_w.started, _w.worker_id)
        ).all()

    def _worker(self, row: Row[Any]) -> dict[str, Any]:
        here = row.study_id == self._study.study_id
        changed: dict[str, Any] = {"study_id": self._study_id if here else None}
        if row.ended is None:
            changed |= {"state": LEFT, "ended": row.started if row.seen is None else row.seen}
        return {**row._mapping, **changed}

    def _points(self, attempt_ids: Sequence[int], attempts: _Ids) -> None:
        """Copy the points of attempts, not more at a time than fit."""
        for condition in self._portions(attempt_ids):
            rows = self._source.execute(select(schema.series).where(condition))
            self._insert(
                schema.series,
                ({**row._mapping, "attempt_id": attempts[row.attempt_id]} for row in rows),
            )

    def _portions(self, attempt_ids: Sequence[int]) -> Iterator[Any]:
        sizes: dict[int, int] = {}
        for part in chunks(attempt_ids):
            length = func.sum(func.length(_p.payload))
            query = (
                select(_p.attempt_id, length)
                .where(_p.attempt_id.in_(part))
                .group_by(_p.attempt_id)
                .order_by(_p.attempt_id)
            )
            sizes.update((row[0], int(row[1])) for row in self._source.execute(query))
        together: list[int] = []
        total = 0
        for attempt_id, size in sizes.items():
            if size > PAYLOAD_BYTES:
                keys = select(_p.metric, _p.part).where(_p.attempt_id == attempt_id)
                for row in self._source.execute(keys.order_by(_p.metric, _p.part)).all():
                    yield and_(
                        _p.attempt_id == attempt_id, _p.metric == row.metric, _p.part == row.part
                    )
                continue
            if together and (total + size > PAYLOAD_BYTES or len(together) == PORTION):
                yield _p.attempt_id.in_(together)
                together, total = [], 0
            together.append(attempt_id)
            total += size
        if together:
            yield _p.attempt_id.in_(together)


def _many(statement: Statement, connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
    found = list(rows)
    if found:
        statement.many(connection, found)


def _new_ids(connection: Connection, table: Table, count: int) -> array[int]:
    """Ids that the book has never given, growing; the transaction must insert them all."""
    key = table.primary_key.columns.values()[0].name
    if not is_sqlite(connection):
        made = connection.execute(
            text(
                "SELECT nextval(pg_get_serial_sequence(:table, :key)) "
                "FROM generate_series(1, :count)"
            ),
            {"table": table.name, "key": key, "count": count},
        )
        return array("q", sorted(row[0] for row in made))
    # What AUTOINCREMENT has given last; it takes note of greater ones that are inserted.
    last = connection.execute(
        text("SELECT seq FROM sqlite_sequence WHERE name = :table"), {"table": table.name}
    ).scalar()
    return array("q", range((last or 0) + 1, (last or 0) + 1 + count))
