"""Verifying the records of a study: its numbers, trials, values, attempts and points.

What these name by a digest is noted in the findings, and verified in ``verified_contents.py``.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection, Row, select

from trialbook.book import schema
from trialbook.book.book import Book
from trialbook.book.findings import Findings
from trialbook.book.record_digest import record_digest
from trialbook.book.references import written
from trialbook.book.seals import FINISHED
from trialbook.book.stitching import check_chain
from trialbook.book.texts import queryable, value_of
from trialbook.records.canonical import parsed
from trialbook.records.coordinates import Kind
from trialbook.records.execution import OutcomeState
from trialbook.records.series import decoded

_CHUNK = 200
_Trials = dict[int, tuple[Row[Any], str]]
"""Rows of ``tb_trial`` by id, each with what it is called."""


class RecordCheck:
    """Computes records again, and decodes points.

    Args:
        book: An open book; it may be read-only.
        findings: Where everything goes that is found.
    """

    def __init__(self, book: Book, findings: Findings) -> None:
        self._book = book
        self._findings = findings

    def study(self, study: Row[Any]) -> None:
        """Every trial of a study, from its row in ``tb_study``."""
        t = schema.trial.c
        self._reference(study)
        expected = 0
        while True:
            with self._book.reading() as connection:
                found = connection.execute(
                    select(schema.trial)
                    .where(t.study_id == study.study_id, t.number >= expected)
                    .order_by(t.number)
                    .limit(_CHUNK)
                ).all()
                for row in found:
                    self._gap(study, expected, row.number)
                    expected = row.number + 1
                living = {
                    row.trial_id: (row, f"{study.name}/{row.number}")
                    for row in found
                    if row.deleted is None
                }
                self._records(connection, living)
                self._values(connection, living)
                self._attempts(connection, living)
            if len(found) < _CHUNK:
                break
        self._gap(study, expected, self._next_number(study))

    def _reference(self, study: Row[Any]) -> None:
        """What the workers of a study are held against must be there."""
        if study.reference is None or study.deleted is not None:
            return
        where = f"the reference of {study.name}"
        with self._findings.watching("study", where):
            coordinates = written(study.reference).coordinates
            for kind in Kind:
                digest = coordinates.of(kind)
                if digest is not None:
                    self._findings.snapshots_named.setdefault(digest, f"the {kind} of {where}")

    def _next_number(self, study: Row[Any]) -> int:
        """How many numbers the study has given; its row was read before its trials were."""
        number: int = study.next_number
        return number

    def _gap(self, study: Row[Any], expected: int, number: int) -> None:
        if number > expected:
            numbers = (
                f"trial {expected}"
                if number == expected + 1
                else (f"trials {expected} to {number - 1}")
            )
            self._findings.found(
                "study", study.name, f"{numbers} not there, not even as a tombstone"
            )

    def _records(self, connection: Connection, trials: _Trials) -> None:
        for row, where in trials.values():
            if row.space is not None:
                self._findings.snapshots_named.setdefault(row.space, f"the search space of {where}")
            if row.state not in FINISHED:
                continue
            self._findings.trials += 1
            with self._findings.watching("record", where):
                digest = record_digest(connection, row.trial_id)
                if row.record_digest is None:
                    self._findings.found("record", where, "it has finished and has no digest")
                elif digest != row.record_digest:
                    says = f"its rows have the digest {digest}, its record says {row.record_digest}"
                    self._findings.found("record", where, says)

    def _values(self, connection: Connection, trials: _Trials) -> None:
        v = schema.trial_value.c
        for row in connection.execute(
            select(v.trial_id, v.objective, v.value, v.bytes).where(v.trial_id.in_(trials))
        ):
            where = trials[row.trial_id][1]
            with self._findings.watching("value", where):
                value = value_of(row.bytes)
                if not _same(row.value, queryable(value)):
                    says = f"value {row.objective} is {value!r} in its bytes, not {row.value!r}"
                    self._findings.found("value", where, says)

    def _attempts(self, connection: Connection, trials: _Trials) -> None:
        a, f = schema.attempt.c, schema.artifact.c
        names: dict[int, str] = {}
        for row in connection.execute(
            select(schema.attempt).where(a.trial_id.in_(trials)).order_by(a.attempt_id)
        ):
            where = f"{trials[row.trial_id][1]}, attempt {row.number}"
            names[row.attempt_id] = where
            for kind in Kind:
                digest = getattr(row, kind.value)
                if digest is not None:
                    self._findings.snapshots_named.setdefault(digest, f"the {kind} of {where}")
            if row.outcome is not None:
                with self._findings.watching("record", where):
                    self._console(msgspec.convert(parsed(row.outcome), OutcomeState), where)
            if row.resumed_from is not None:
                with self._findings.watching("points", where):
                    check_chain(connection, row.attempt_id)
        for artifact in connection.execute(
            select(f.attempt_id, f.name, f.digest).where(f.attempt_id.in_(names))
        ):
            where = f"artifact {artifact.name} of {names[artifact.attempt_id]}"
            self._findings.blobs_named.setdefault(artifact.digest, where)
        self._checkpoints(connection, trials, names)
        self._points(connection, names)

    def _checkpoints(
        self, connection: Connection, trials: _Trials, attempts: dict[int, str]
    ) -> None:
        """Those that an attempt may still go on from must have their contents."""
        c, a = schema.checkpoint.c, schema.attempt.c
        for row in connection.execute(
            select(c.attempt_id, c.number, c.digest, a.trial_id)
            .join(schema.attempt, a.attempt_id == c.attempt_id)
            .where(c.attempt_id.in_(attempts), c.kept == 1)
        ):
            if trials[row.trial_id][0].state not in FINISHED:
                where = f"checkpoint {row.number} of {attempts[row.attempt_id]}"
                self._findings.blobs_named.setdefault(row.digest, where)

    def _console(self, outcome: OutcomeState, where: str) -> None:
        for name, console in (("stdout", outcome.stdout), ("stderr", outcome.stderr)):
            if console is not None:
                self._findings.blobs_named.setdefault(console.digest, f"{name} of {where}")

    def _points(self, connection: Connection, attempts: dict[int, str]) -> None:
        """Decode the points of these attempts, one payload in memory at a time."""
        p = schema.series.c
        for row in connection.execute(
            select(schema.series, p.count.label("points"))
            .where(p.attempt_id.in_(attempts))
            .order_by(p.attempt_id, p.metric, p.part)
        ):
            self._findings.series += 1
            where = f"{attempts[row.attempt_id]}, metric {row.metric}"
            with self._findings.watching("points", where):
                series = decoded(row.metric, row.payload)
                said = (row.points, row.first_step, row.last_step, row.last, row.min, row.max)
                if not all(map(_same, said, _summary(series))):
                    self._findings.found("points", where, "its summary is not that of its points")


def _summary(series: Any) -> tuple[Any, ...]:
    """What the columns of ``tb_series`` say of these points."""
    count = len(series)
    return (
        count,
        int(series.steps[0]) if count else None,
        int(series.steps[-1]) if count else None,
        queryable(float(series.values[-1])) if count else None,
        series.minimum,
        series.maximum,
    )


def _same(stored: Any, computed: Any) -> bool:
    """Whether a number column says the same; NaN and ``None`` are the same to SQLite."""
    if stored is None or stored != stored:
        return computed is None or computed != computed
    return bool(stored == computed)
