"""A whole study at once, for what looks at all of its trials: a few queries, no record a trial.

Records (``gathering.py``) cost a hundred microseconds a trial, which a study of 20,000 feels. Here
come plain rows, read in one transaction each, without attributes and other metrics; of coordinates
only which ones a trial names.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, null, or_, select

from trialbook.book import rows, schema
from trialbook.book.book import Book
from trialbook.book.coordinate_rows import NamedCoordinates, named_in
from trialbook.book.ranking import is_feasible
from trialbook.book.stitching import stitched
from trialbook.book.texts import value_of
from trialbook.records.execution import EndReason
from trialbook.records.series import OBJECTIVE, Series, decoded, joined
from trialbook.records.study import TrialState

_t, _v, _a, _w = schema.trial.c, schema.trial_value.c, schema.attempt.c, schema.worker.c
_s, _n = schema.series.c, schema.snapshot.c


@dataclass(frozen=True, slots=True)
class SearchRow:
    """A trial without what a search does not look at.

    Args:
        trial_id: The book's id.
        number: Its number.
        state: Optuna's state.
        values: One for each objective; ``None`` without any.
        params: Name to Optuna's internal value, in the order in which they were asked.
        space: Digest of its distributions, see ``SearchRows.spaces``; ``None`` without params.
        feasible: Whether it keeps all its constraints.
        enqueued: Whether somebody chose params of it (``study.enqueue_trial``).
        started: Naive local time, as Optuna keeps it.
        completed: Likewise.
        attempt: Number of the attempt that counts, 0 without one.
        finish_seq: Its place among the study's finishes, ``None`` while it has not finished.
    """

    trial_id: int
    number: int
    state: TrialState
    values: tuple[float, ...] | None
    params: dict[str, float]
    space: str | None
    feasible: bool
    enqueued: bool
    started: datetime | None
    completed: datetime | None
    attempt: int
    finish_seq: int | None


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """An attempt: when and where. Times are seconds since the epoch, by its worker's clock.

    Args:
        attempt_id: The book's id.
        trial_id: Its trial's.
        number: 1 for the first.
        started_s: When it began.
        ended_s: When it ended, ``None`` while it runs.
        end_reason: ``None`` while it runs.
        worker_id: Who ran it, ``None`` when no worker is recorded.
        host: The worker's host, likewise.
        resumed: Whether it went on from a checkpoint.
        prune_answers: Each answer of ``should_prune``, in order.
        executed: Whether it ran under tracking; else it only holds what was reported for the trial.
    """

    attempt_id: int
    trial_id: int
    number: int
    started_s: float
    ended_s: float | None
    end_reason: EndReason | None
    worker_id: str | None
    host: str | None
    resumed: bool
    prune_answers: tuple[bool, ...]
    executed: bool


@dataclass(frozen=True, slots=True)
class SearchRows:
    """The rows of a study.

    Args:
        trials: The living ones, by number.
        attempts: Theirs, by trial and number.
        spaces: Digest to name to ``distribution_text``.
        reports: Trial id to what its counting attempt reported, as ``Series`` named ``objective``;
            without trials that reported nothing.
        named: Which coordinates the tracked ones name.
    """

    trials: tuple[SearchRow, ...]
    attempts: tuple[AttemptRow, ...]
    spaces: dict[str, dict[str, str]]
    reports: dict[int, Series]
    named: tuple[NamedCoordinates, ...]


def search_rows(book: Book, study_id: int) -> SearchRows:
    """All living trials of a study, in one read transaction.

    Raises:
        BookCorruptError: A row cannot be read.
    """
    lives = and_(_t.study_id == study_id, _t.deleted.is_(None))
    with book.reading() as connection:
        attempts = _attempts(connection, lives)
        return SearchRows(
            _trials(connection, lives),
            attempts,
            _spaces(connection, lives),
            _reports(connection, lives, attempts),
            named_in(connection, study_id),
        )


def _trials(connection: Connection, lives: ColumnElement[bool]) -> tuple[SearchRow, ...]:
    values: dict[int, list[float]] = defaultdict(list)
    for trial_id, content in connection.execute(
        select(_v.trial_id, _v.bytes)
        .join(schema.trial, _t.trial_id == _v.trial_id)
        .where(lives)
        .order_by(_v.trial_id, _v.objective)
    ):
        values[trial_id].append(value_of(content))
    attrs = case((_t.system_attrs.contains('"constraints'), _t.system_attrs), else_=null())
    found = connection.execute(
        select(
            _t.trial_id,
            _t.number,
            _t.state,
            _t.params,
            _t.space,
            _t.started,
            _t.completed,
            _t.attempt,
            _t.finish_seq,
            attrs.label("constraints"),
            _t.system_attrs.contains('"fixed_params"').label("enqueued"),
        )
        .where(lives)
        .order_by(_t.number)
    )
    return tuple(_search_row(row, values.get(row.trial_id)) for row in found)


def _attempts(connection: Connection, lives: ColumnElement[bool]) -> tuple[AttemptRow, ...]:
    found = connection.execute(
        select(
            _a.attempt_id,
            _a.trial_id,
            _a.number,
            _a.started,
            _a.ended,
            _a.end_reason,
            _a.worker_id,
            _w.host,
            _a.resumed_from,
            _a.prune_answers,
            or_(_a.seeds.is_not(None), _a.worker_id.is_not(None)).label("executed"),
        )
        .join(schema.trial, _t.trial_id == _a.trial_id)
        .outerjoin(schema.worker, _w.worker_id == _a.worker_id)
        .where(lives)
        .order_by(_a.trial_id, _a.number)
    )
    return tuple(map(_attempt_row, found))


def _spaces(connection: Connection, lives: ColumnElement[bool]) -> dict[str, dict[str, str]]:
    found = connection.execute(
        select(_n.digest, _n.document)
        .where(_n.digest.in_(select(_t.space).where(lives).distinct()))
        .order_by(_n.digest)
    )
    return {digest: rows.distributions(document) for digest, document in found}


def _search_row(row: Any, values: list[float] | None) -> SearchRow:
    with rows.readable(f"trial {row.number}"):
        return SearchRow(
            trial_id=row.trial_id,
            number=row.number,
            state=rows.STATES[row.state],
            values=None if values is None else tuple(values),
            params=json.loads(row.params),
            space=row.space,
            feasible=row.constraints is None or is_feasible(json.loads(row.constraints)),
            enqueued=bool(row.enqueued),
            started=row.started,
            completed=row.completed,
            attempt=row.attempt,
            finish_seq=row.finish_seq,
        )


def _attempt_row(row: Any) -> AttemptRow:
    with rows.readable(f"attempt {row.attempt_id}"):
        return AttemptRow(
            attempt_id=row.attempt_id,
            trial_id=row.trial_id,
            number=row.number,
            started_s=row.started,
            ended_s=row.ended,
            end_reason=None if row.end_reason is None else EndReason(row.end_reason),
            worker_id=row.worker_id,
            host=row.host,
            resumed=row.resumed_from is not None,
            prune_answers=tuple(answer == "1" for answer in row.prune_answers),
            executed=bool(row.executed),
        )


def _reports(
    connection: Connection, lives: ColumnElement[bool], attempts: tuple[AttemptRow, ...]
) -> dict[int, Series]:
    parts: dict[int, list[Series]] = defaultdict(list)
    for trial_id, payload in connection.execute(
        select(_a.trial_id, _s.payload)
        .join(schema.attempt, _a.attempt_id == _s.attempt_id)
        .join(schema.trial, and_(_t.trial_id == _a.trial_id, _t.attempt == _a.number))
        .where(lives, _s.metric == OBJECTIVE, _a.resumed_from.is_(None))
        .order_by(_a.trial_id, _s.part)
    ):
        parts[trial_id].append(decoded(OBJECTIVE, payload))
    found = {trial_id: joined(OBJECTIVE, series) for trial_id, series in parts.items()}
    newest = {attempt.trial_id: attempt for attempt in attempts}
    for trial_id, attempt in newest.items():
        if attempt.resumed:
            whole = stitched(connection, attempt.attempt_id).get(OBJECTIVE)
            if whole is not None:
                found[trial_id] = whole
    return found
