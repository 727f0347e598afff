"""What holds in every book at every moment, whoever has died: looked up row by row.

``verification.py`` holds contents against their digests; this holds rows against each other. It is
for tests that break things on purpose, ``trialbook.testing`` is their door. Nothing is changed.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from trialbook.book import schema
from trialbook.book.book import Book
from trialbook.book.clock import database_time
from trialbook.book.rows import STATES
from trialbook.book.verification import verify
from trialbook.errors import NotFoundError
from trialbook.records.execution import EndReason

_WAITING, _RUNNING = STATES.index("WAITING"), STATES.index("RUNNING")
_COMPLETE = STATES.index("COMPLETE")
_COUNTED = (str(EndReason.COMPLETE), str(EndReason.PRUNED))
_REASONS = {"COMPLETE": (_COUNTED[0],), "PRUNED": (_COUNTED[1],)}


def violated(book: Book, study: str | None = None, *, overdue_s: float | None = None) -> list[str]:
    """What does not hold in a book, one sentence each; empty when it is sound.

    Args:
        book: An open book; it may be read-only.
        study: Only this study; ``None`` for all.
        overdue_s: So many seconds after its lease a trial may still be RUNNING: the time from one
            reap to the next. ``None`` when nobody reaps.

    Raises:
        NotFoundError: There is no such study.
    """
    found: list[str] = []
    s = schema.study.c
    wanted = select(schema.study).order_by(s.study_id)
    if study is not None:
        wanted = wanted.where(s.name == study, s.deleted.is_(None))
    with book.reading() as connection:
        studies = connection.execute(wanted).all()
        if study is not None and not studies:
            raise NotFoundError(f"the study {study!r} is not in the book")
        for row in studies:
            found += (f"study {row.name!r}: {what}" for what in _of_study(connection, row))
            if overdue_s is not None and row.deleted is None:
                overdue = _overdue(connection, row.study_id, overdue_s)
                found += (f"study {row.name!r}: {what}" for what in overdue)
    for mismatch in verify(book, study).mismatches:
        found.append(f"{mismatch.kind} of {mismatch.where}: {mismatch.what}")
    return found


def _of_study(connection: Connection, study: Row[Any]) -> Iterator[str]:
    t, a, v = schema.trial.c, schema.attempt.c, schema.trial_value.c
    trials = connection.execute(
        select(schema.trial).where(t.study_id == study.study_id).order_by(t.number)
    ).all()
    of_study = t.study_id == study.study_id
    attempts = _by_trial(
        connection.execute(
            select(schema.attempt)
            .join(schema.trial, t.trial_id == a.trial_id)
            .where(of_study)
            .order_by(a.number)
        )
    )
    values = _by_trial(
        connection.execute(
            select(schema.trial_value)
            .join(schema.trial, t.trial_id == v.trial_id)
            .where(of_study)
            .order_by(v.objective)
        )
    )
    c = schema.checkpoint.c
    saved = {
        row.checkpoint_id: (row.trial_id, row.number)
        for row in connection.execute(
            select(c.checkpoint_id, a.trial_id, a.number)
            .join(schema.attempt, a.attempt_id == c.attempt_id)
            .join(schema.trial, t.trial_id == a.trial_id)
            .where(of_study)
        )
    }
    yield from _of_numbers(study, trials)
    objectives = len(json.loads(study.directions))
    for trial in trials:
        if trial.deleted is not None:
            continue
        tried = attempts[trial.trial_id]
        for what in (
            *_of_result(trial, tried, len(values[trial.trial_id]), objectives),
            *_of_attempts(trial, tried),
            *_of_chain(trial, tried, saved),
        ):
            yield f"trial {trial.number}: {what}"


def _by_trial(rows: Iterable[Row[Any]]) -> defaultdict[int, list[Row[Any]]]:
    found = defaultdict(list)
    for row in rows:
        found[row.trial_id].append(row)
    return found


def _of_numbers(study: Row[Any], trials: Sequence[Row[Any]]) -> Iterator[str]:
    """Numbers and finishes are counted without a gap; tombstones keep theirs."""
    numbers = [trial.number for trial in trials]
    if numbers != list(range(study.next_number)):
        yield f"its trials have the numbers {numbers}, the next one is {study.next_number}"
    finishes = sorted(trial.finish_seq for trial in trials if trial.finish_seq is not None)
    if finishes != list(range(1, study.finished + 1)):
        yield f"its finishes have the numbers {finishes}, it counts {study.finished}"


def _of_result(
    trial: Row[Any], attempts: Sequence[Row[Any]], values: int, objectives: int
) -> Iterator[str]:
    """A trial has at most one result, and all of it."""
    state = STATES[trial.state]
    finished = trial.state not in (_WAITING, _RUNNING)
    for name, column in (
        ("finish", trial.finish_seq),
        ("digest", trial.record_digest),
        ("time of completion", trial.completed),
    ):
        if (column is not None) != finished:
            yield f"it is {state} and has {'a' if column is not None else 'no'} {name}"
    wanted = (objectives,) if trial.state == _COMPLETE else (0, objectives) if finished else (0,)
    if values not in wanted:
        yield f"it is {state} and has {values} values"
    counted = [attempt.number for attempt in attempts if attempt.end_reason in _COUNTED]
    if not finished and counted:
        yield f"it is {state}, but its attempts {counted} have ended with a result"
    if finished and [number for number in counted if number != trial.attempt]:
        yield f"attempts {counted} have ended with a result, {trial.attempt} is the one that counts"
    for attempt in attempts:
        wanted_reasons = _REASONS.get(state)
        if wanted_reasons is None or attempt.number != trial.attempt:
            continue
        if attempt.end_reason not in wanted_reasons:
            yield f"it is {state}, but its attempt has ended as {attempt.end_reason}"


def _of_attempts(trial: Row[Any], attempts: Sequence[Row[Any]]) -> Iterator[str]:
    """The newest attempt is the one that counts, and no other goes on."""
    for attempt in attempts:
        if attempt.number > trial.attempt:
            yield f"attempt {attempt.number} is newer than {trial.attempt}, which counts"
        if (attempt.ended is None) != (attempt.end_reason is None):
            yield f"attempt {attempt.number} ended at {attempt.ended} for {attempt.end_reason}"
        goes_on = trial.state == _RUNNING and attempt.number == trial.attempt
        # Reports of a WAITING trial have to hang on an attempt, which nobody executes.
        hangs = trial.state == _WAITING and attempt.lease is None
        if attempt.ended is None and not goes_on and not hangs:
            yield f"it is {STATES[trial.state]}, but attempt {attempt.number} has not ended"
        if attempt.ended is not None and goes_on:
            yield f"it is RUNNING, but its attempt {attempt.number} has ended"
        if attempt.lease is not None and attempt.worker_id is None:
            yield f"attempt {attempt.number} is leased to nobody"


def _of_chain(
    trial: Row[Any], attempts: Sequence[Row[Any]], saved: Mapping[int, tuple[int, int]]
) -> Iterator[str]:
    """An attempt goes on from an earlier attempt of its own trial: nothing else counts for it."""
    for attempt in attempts:
        if attempt.resumed_from is None:
            continue
        of_trial, number = saved.get(attempt.resumed_from, (None, 0))
        if of_trial != trial.trial_id or number >= attempt.number:
            yield (
                f"attempt {attempt.number} went on from checkpoint {attempt.resumed_from}, "
                "which no earlier attempt of the trial has saved"
            )


def _overdue(connection: Connection, study_id: int, overdue_s: float) -> Iterator[str]:
    """No trial runs on long after its lease."""
    t, a = schema.trial.c, schema.attempt.c
    late = database_time() - a.lease
    for row in connection.execute(
        select(t.number, late.label("late_s"))
        .join(schema.trial, t.trial_id == a.trial_id)
        .where(
            t.study_id == study_id,
            t.deleted.is_(None),
            t.state == _RUNNING,
            a.number == t.attempt,
            late > overdue_s,
        )
        .order_by(t.number)
    ):
        yield f"trial {row.number}: it is RUNNING {row.late_s:.1f} s after its lease"
