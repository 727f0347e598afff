"""What this process has read of one study's trials, kept as Optuna sees them.

Finished trials never change, so each is read once, without its reports. A refresh reads what has
finished since the last one, by ``finish_seq``, and every unfinished trial; while nobody commits,
it reads nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Container, Hashable, Sequence
from datetime import datetime

from optuna.distributions import BaseDistribution
from optuna.study._study_direction import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, and_, bindparam, exists, func, null, select

from trialbook.book import schema
from trialbook.book.book import Book
from trialbook.book.removal_mark import REMOVALS
from trialbook.book.results import Result
from trialbook.book.series_rows import reports
from trialbook.book.spaces import Spaces
from trialbook.book.statements import Row, Statement, together
from trialbook.book.stitching import earlier_reports
from trialbook.book.stored_trial import Reports, StoredTrial
from trialbook.book.texts import value_of
from trialbook.errors import BookCorruptError, NotFoundError
from trialbook.records.series import OBJECTIVE, Series, decoded

_t, _v, _a, _p = schema.trial.c, schema.trial_value.c, schema.attempt.c, schema.series.c
_s = schema.study.c
_WAITING = TrialState.WAITING.value

_study = Statement(
    select(
        schema.study.c.finished,
        schema.study.c.directions,
        select(schema.book.c.value).where(schema.book.c.key == REMOVALS).scalar_subquery(),
    ).where(schema.study.c.study_id == bindparam("study_id"), schema.study.c.deleted.is_(None))
)
_columns = (
    _t.trial_id,
    _t.number,
    _t.state,
    _t.params,
    _t.space,
    _t.user_attrs,
    _t.system_attrs,
    _t.started,
    _t.completed,
    _v.bytes,
)
_with_values = schema.trial.outerjoin(schema.trial_value, _v.trial_id == _t.trial_id)
_finished = Statement(
    select(*_columns)
    .select_from(_with_values)
    .where(
        _t.study_id == bindparam("study_id"),
        _t.finish_seq > bindparam("seen"),
        _t.deleted.is_(None),
    )
    .order_by(_t.finish_seq, _v.objective)
)
_unfinished = Statement(
    select(*_columns)
    .select_from(_with_values)
    .where(_t.study_id == bindparam("study_id"), _t.finish_seq.is_(None), _t.deleted.is_(None))
    .order_by(_t.number, _v.objective)
)
_of_trial = and_(_a.trial_id == _t.trial_id, _a.number == _t.attempt)
_reported = schema.trial.join(schema.attempt, _of_trial).join(
    schema.series, and_(_p.attempt_id == _a.attempt_id, _p.metric == OBJECTIVE)
)
_reported_or_not = schema.trial.join(schema.attempt, _of_trial).outerjoin(
    schema.series, and_(_p.attempt_id == _a.attempt_id, _p.metric == OBJECTIVE)
)
_running_parts = Statement(
    select(_t.trial_id, _a.attempt_id, _a.resumed_from, func.max(_p.part))
    .select_from(_reported_or_not)
    .where(_t.study_id == bindparam("study_id"), _t.finish_seq.is_(None), _t.deleted.is_(None))
    .group_by(_t.trial_id, _a.attempt_id, _a.resumed_from)
)
_finished_resumed = Statement(
    select(_t.trial_id, _a.resumed_from)
    .select_from(schema.trial.join(schema.attempt, _of_trial))
    .where(
        _t.study_id == bindparam("study_id"),
        _t.finish_seq > bindparam("seen"),
        _t.deleted.is_(None),
        _a.resumed_from.is_not(None),
    )
)
# A row of one trial, when nothing of it lies in other rows: else there is nothing but the refresh.
_alone = Statement(
    select(*_columns[:-1], null())
    .select_from(schema.trial)
    .where(
        _t.trial_id == bindparam("trial_id"),
        _t.finish_seq.is_(None),
        _t.deleted.is_(None),
        ~exists().where(_v.trial_id == _t.trial_id),
        ~exists().where(_of_trial, _a.resumed_from.is_not(None)),
        ~exists().where(_of_trial, _p.attempt_id == _a.attempt_id, _p.metric == OBJECTIVE),
    )
)
_waiting = Statement(
    select(
        exists().where(
            _t.study_id == _s.study_id,
            _t.finish_seq.is_(None),
            _t.state == _WAITING,
            _t.deleted.is_(None),
        )
    ).where(_s.study_id == bindparam("study_id"), _s.deleted.is_(None))
)
_parts_after = Statement(
    select(_p.payload)
    .where(
        _p.attempt_id == bindparam("attempt_id"),
        _p.metric == OBJECTIVE,
        _p.part > bindparam("part"),
    )
    .order_by(_p.part)
)
_finished_reports = Statement(
    select(_t.trial_id, _p.payload)
    .select_from(_reported)
    .where(
        _t.study_id == bindparam("study_id"),
        _t.finish_seq > bindparam("seen"),
        _t.deleted.is_(None),
    )
    .order_by(_t.trial_id, _p.part)
)


class FinishedReports:
    """Intermediate values of a study's finished trials, read for all at once when one is asked."""

    def __init__(self, book: Book, study_id: int) -> None:
        self._book = book
        self._study_id = study_id
        self._values: dict[int, Reports] = {}
        self._seen = 0

    def __call__(self, trial_id: int) -> Reports:
        """The intermediate values of a finished trial."""
        values = self._values.get(trial_id)
        if values is None:
            self._read()
            values = self._values.setdefault(trial_id, {})
        return values

    def _read(self) -> None:
        with self._book.reading() as connection:
            study = _study.row(connection, study_id=self._study_id)
            if study is None:
                return
            # What a trial had reported before it went on from a checkpoint comes first.
            parts: dict[int, list[Series]] = {
                trial_id: earlier_reports(connection, resumed_from)
                for trial_id, resumed_from in _finished_resumed.rows(
                    connection, study_id=self._study_id, seen=self._seen
                )
            }
            found = _finished_reports.rows(connection, study_id=self._study_id, seen=self._seen)
        for trial_id, payload in found:
            parts.setdefault(trial_id, []).append(decoded(OBJECTIVE, payload))
        self._values.update({trial_id: reports(series) for trial_id, series in parts.items()})
        self._seen = study[0]


class StudyCache:
    """What is known of one study's trials. Its owner holds the lock.

    Attributes:
        distributions: Param name to the first distribution that was met.
    """

    def __init__(self, book: Book, spaces: Spaces, study_id: int) -> None:
        self._book = book
        self._spaces = spaces
        self._study_id = study_id
        self.mark: Hashable | None = None
        self.distributions: dict[str, BaseDistribution] = {}
        self._removals: str | None = None
        self._directions: list[str] = []
        self._forget()

    def _forget(self) -> None:
        self._seen = 0
        self._finished: dict[int, StoredTrial] = {}
        self._unfinished: dict[int, StoredTrial] = {}
        self._ordered: list[StoredTrial] | None = []
        self._by_states: dict[tuple[TrialState, ...], list[StoredTrial]] = {}
        self._best: StoredTrial | None = None
        self._reports = FinishedReports(self._book, self._study_id)
        self._running: dict[tuple[int, int | None], tuple[int, Reports]] = {}
        self.numbers: dict[int, int] = {}

    def refresh(self) -> None:
        """Read what has changed.

        Raises:
            NotFoundError: There is no such study any more.
        """
        mark = self._book.change_mark()
        if mark is not None and mark == self.mark:
            return
        with self._book.reading() as connection, together(connection):
            asked = _study.asked(connection, study_id=self._study_id)
            finished = _finished.asked(connection, study_id=self._study_id, seen=self._seen)
            unfinished = _unfinished.asked(connection, study_id=self._study_id)
            parts = _running_parts.asked(connection, study_id=self._study_id)
            found = asked()
            if not found:
                raise NotFoundError(f"there is no study of id {self._study_id}")
            (study,) = found
            removed = study[2]
            if removed != self._removals:
                self._forget()
                self._removals = removed
                finished = _finished.asked(connection, study_id=self._study_id, seen=self._seen)
            self._directions = json.loads(study[1])
            if study[0] > self._seen:
                for trial in self._trials(connection, finished(), {}):
                    self._add_finished(trial)
                self._seen = study[0]
                self._ordered = None
            rows = unfinished()
            if rows or self._unfinished:
                running = self._running_reports(connection, parts()) if rows else {}
                trials = self._trials(connection, rows, running)
                self._unfinished = {trial.number: trial for trial in trials}
                self._ordered = None
        if self._ordered is None:
            self._by_states.clear()
        self.mark = mark

    def _running_reports(
        self, connection: Connection, last_parts: Sequence[Row]
    ) -> dict[int, Reports]:
        """Intermediate values of unfinished trials; only parts that are new are read."""
        known, self._running = self._running, {}
        found: dict[int, Reports] = {}
        for trial_id, attempt_id, resumed_from, last in last_parts:
            if last is None:
                if resumed_from is None:
                    continue
                last = -1
            part, values = known.get((attempt_id, resumed_from), (-1, None))
            if values is None:
                values = reports(earlier_reports(connection, resumed_from))
            if last > part:
                rows = _parts_after.rows(connection, attempt_id=attempt_id, part=part)
                new = reports(decoded(OBJECTIVE, payload) for (payload,) in rows)
                values = {**values, **new}
            self._running[attempt_id, resumed_from] = (last, values)
            found[trial_id] = values
        return found

    def _trials(
        self, connection: Connection | None, rows: Sequence[Row], running: dict[int, Reports]
    ) -> list[StoredTrial]:
        """Trials from rows that come once for each objective value."""
        trials: list[StoredTrial] = []
        last: StoredTrial | None = None
        for row in rows:
            if last is not None and row[0] == last._trial_id:
                last.values.append(value_of(row[9]))
                continue
            last = self._trial(connection, row, running)
            self.numbers[last._trial_id] = last.number
            trials.append(last)
        return trials

    def _trial(
        self, connection: Connection | None, row: Row, running: dict[int, Reports]
    ) -> StoredTrial:
        trial_id, number, state, params, space, user, system, started, completed, value = row
        try:
            space_of = self._spaces.distributions(connection, space)
            internal = json.loads(params)
            distributions = {name: space_of[name] for name in internal}
            for name, distribution in distributions.items():
                self.distributions.setdefault(name, distribution)
            finished = TrialState(state).is_finished()
            return StoredTrial.of(
                self._reports if finished else running.get(trial_id, {}),
                number=number,
                state=TrialState(state),
                value=None,
                values=None if value is None else [value_of(value)],
                datetime_start=started,
                datetime_complete=completed,
                params={n: distributions[n].to_external_repr(v) for n, v in internal.items()},
                distributions=distributions,
                user_attrs=json.loads(user),
                system_attrs=json.loads(system),
                trial_id=trial_id,
            )
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise BookCorruptError(
                f"the row of trial {number} cannot be read: {error!r}",
                where=self._book.url,
                hint="run 'trialbook verify' to list everything that is damaged",
            ) from error

    def _add_finished(self, trial: StoredTrial) -> None:
        self._finished[trial.number] = trial
        if trial.state is not TrialState.COMPLETE or len(self._directions) != 1:
            return
        if self._best is None or _better(trial, self._best, self._directions[0]):
            self._best = trial

    def add_made(self, trial_id: int, number: int, started: datetime) -> None:
        """Add an empty RUNNING trial that this process has made."""
        self._unfinished[number] = made_trial(trial_id, number, started)
        self.numbers[trial_id] = number
        self._changed()

    def add_result(self, connection: Connection | None, result: Result) -> None:
        """Add a trial that this process has finished, from the row that it wrote."""
        trial = self.finished_trial(connection, result)
        self._unfinished.pop(trial.number, None)
        self._add_finished(trial)
        self._seen = result.finish_seq
        self._changed()

    def glance(self, trial_id: int) -> StoredTrial | None:
        """A trial that runs or waits, read by itself; ``None`` when that does not do."""
        for row in self._book.glance(_alone.given(trial_id=trial_id)):
            if self._spaces.knows(row[4]):
                return self._trial(None, row, {})
        return None

    def finished_trial(self, connection: Connection | None, result: Result) -> StoredTrial:
        """A trial that this process has finished, from the row that it wrote."""
        fields = result.fields
        values = fields.values or (None,)
        row = (
            result.trial_id,
            fields.number,
            fields.state,
            fields.params,
            fields.space,
            fields.user_attrs,
            fields.system_attrs,
            result.started,
            result.completed,
        )
        (trial,) = self._trials(connection, [(*row, value) for value in values], {})
        return trial

    def _changed(self) -> None:
        self._ordered = None
        self._by_states.clear()

    def trial(self, trial_id: int) -> StoredTrial | None:
        """The trial as it was at the last refresh, ``None`` when it is not known."""
        number = self.numbers.get(trial_id)
        if number is None:
            return None
        return self._finished.get(number) or self._unfinished.get(number)

    def finished(self, trial_id: int) -> StoredTrial | None:
        """The trial when it is known to have finished."""
        return self._finished.get(self.numbers.get(trial_id, -1))

    def trial_id(self, number: int) -> int | None:
        """The id of the trial of that number."""
        found = self._finished.get(number) or self._unfinished.get(number)
        return None if found is None else found._trial_id

    @property
    def best(self) -> StoredTrial | None:
        """The best complete trial, the first of equal ones; ``None`` when none is complete."""
        return self._best

    @property
    def has_complete(self) -> bool:
        """Whether any trial is complete."""
        return any(t.state is TrialState.COMPLETE for t in self._finished.values())

    @property
    def directions(self) -> list[StudyDirection]:
        """The study's directions."""
        return [StudyDirection[name.upper()] for name in self._directions]

    def ordered(self, states: Container[TrialState] | None) -> list[StoredTrial]:
        """The trials in these states (``None``: all) by number; not to be changed."""
        if self._ordered is None:
            whole = [*self._finished.values(), *self._unfinished.values()]
            whole.sort(key=_number)
            self._ordered = whole
        if states is None:
            return self._ordered
        wanted = tuple(state for state in TrialState if state in states)
        found = self._by_states.get(wanted)
        if found is None:
            found = [trial for trial in self._ordered if trial.state in wanted]
            self._by_states[wanted] = found
        return found


def nothing_waits(book: Book, study_id: int) -> bool:
    """Whether a study is there and none of its trials is WAITING, without reading them."""
    return book.glance(_waiting.given(study_id=study_id)) == [(False,)]


def made_trial(trial_id: int, number: int, started: datetime) -> StoredTrial:
    """A trial as it is when it has just been made."""
    return StoredTrial.of(
        {},
        number=number,
        state=TrialState.RUNNING,
        value=None,
        datetime_start=started,
        datetime_complete=None,
        params={},
        distributions={},
        user_attrs={},
        system_attrs={},
        trial_id=trial_id,
    )


def _number(trial: FrozenTrial) -> int:
    return trial._number


def _better(trial: FrozenTrial, best: FrozenTrial, direction: str) -> bool:
    value, other = trial.values[0], best.values[0]
    if value == other or math.isnan(value) or math.isnan(other):
        return bool(value == other and trial.number < best.number)
    return bool(value > other if direction == "maximize" else value < other)
