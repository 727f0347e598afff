"""A study's search as columns: every living trial with its params, values and reports.

Read once, looked at by every analysis of this room. Arrays have one entry a trial, in the order of
the trials' numbers, unless their description says otherwise; they must not be written to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trialbook.analysis.opening import Storage, StudyOrName, name_of, opened
from trialbook.analysis.searches.asked import (
    AskedSearch,
    ComponentUse,
    asked_searches,
    component_uses,
)
from trialbook.book.coordinate_rows import NamedCoordinates
from trialbook.book.ranking import Contender, front, ranked
from trialbook.book.reading import Reader
from trialbook.book.search_rows import AttemptRow, SearchRows, search_rows
from trialbook.records.distributions import distribution_of
from trialbook.records.study import StudyRecord

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class ParamColumn:
    """One param over all trials.

    Args:
        name: Its name.
        internal: Shape (trials,): Optuna's internal value (of a categorical the index of the choice
            in its own distribution); NaN where the trial has no such param.
        space: Shape (trials,): index into ``distributions``; -1 where the trial has no such param.
        distributions: Every one it was asked with, in the order of their first trial. More than one
            when the space was changed in mid-study.
    """

    name: str
    internal: Floats
    space: Ints
    distributions: tuple[BaseDistribution, ...]

    @property
    def given(self) -> Flags:
        """Shape (trials,): whether the trial has it."""
        return self.space >= 0

    @property
    def is_categorical(self) -> bool:
        """Whether any of its distributions is."""
        return any(hasattr(distribution, "choices") for distribution in self.distributions)

    @property
    def is_log(self) -> bool:
        """Whether it is numeric and its last distribution is on a log scale."""
        return not self.is_categorical and bool(getattr(self.distributions[-1], "log", False))

    def value(self, index: int) -> Any:
        """What the objective of the trial at this index saw; ``None`` when it never asked."""
        space = int(self.space[index])
        if space < 0:
            return None
        return self.distributions[space].to_external_repr(float(self.internal[index]))


@dataclass(frozen=True, slots=True, eq=False)
class Reports:
    """What trials reported by ``trial.report``, those that count, one after the other.

    Args:
        offsets: Shape (trials + 1,): trial ``i`` has the points ``offsets[i]:offsets[i + 1]``.
        steps: Shape (points,).
        values: Shape (points,).
        seconds: Shape (points,): seconds since the epoch.
    """

    offsets: Ints
    steps: Ints
    values: Floats
    seconds: Floats

    def of(self, index: int) -> tuple[Ints, Floats]:
        """Steps and values of the trial at this index."""
        part = slice(int(self.offsets[index]), int(self.offsets[index + 1]))
        return self.steps[part], self.values[part]


@dataclass(frozen=True, eq=False)
class Search:
    """A study's search.

    Args:
        study: The study.
        numbers: Shape (trials,).
        states: Shape (trials,): names of Optuna's states, as text.
        values: Shape (trials, objectives): NaN where a trial has none (see ``has_values``).
        has_values: Shape (trials,).
        feasible: Shape (trials,): whether a trial keeps all its constraints.
        enqueued: Shape (trials,): whether somebody chose params of a trial.
        started_s: Shape (trials,): seconds since the epoch, of the first attempt; of a trial that
            nobody executed Optuna's local time taken as UTC; NaN when it never started.
        ended_s: Shape (trials,): the same of the attempt that counts; NaN while it has not ended.
        params: In the order in which they were first asked.
        reports: What was reported.
        attempts: Of these trials, by trial and number.
        attempt_trial: Shape (attempts,): index of each attempt's trial.
        counting: Number of the counting attempt of each trial, shape (trials,); 0 without one.
        finish: Shape (trials,): place of each trial among the study's finishes, as the book
            recorded them; it grows, with gaps where trials were deleted. 0 while unfinished.
        asked: With which sampler and pruner tracked trials ran.
        named: Which coordinates those trials name.
    """

    study: StudyRecord
    numbers: Ints
    states: NDArray[np.str_]
    values: Floats
    has_values: Flags
    feasible: Flags
    enqueued: Flags
    started_s: Floats
    ended_s: Floats
    params: tuple[ParamColumn, ...]
    reports: Reports
    attempts: tuple[AttemptRow, ...]
    attempt_trial: Ints
    counting: Ints
    finish: Ints
    asked: tuple[AskedSearch, ...] = ()
    named: tuple[NamedCoordinates, ...] = ()

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def objectives(self) -> int:
        """How many objectives the study has."""
        return len(self.study.directions)

    @property
    def objective_names(self) -> tuple[str, ...]:
        """What each objective is called: its name (Optuna's metric names), else its number."""
        if self.study.metric_names is not None:
            return self.study.metric_names
        if self.objectives == 1:
            return ("value",)
        return tuple(f"value {objective}" for objective in range(self.objectives))

    @cached_property
    def complete(self) -> Flags:
        """Shape (trials,): COMPLETE, with values."""
        done: Flags = (self.states == "COMPLETE") & self.has_values
        return done

    @cached_property
    def eligible(self) -> Flags:
        """Shape (trials,): COMPLETE, keeps its constraints, no value is NaN."""
        chosen: Flags = self.complete & self.feasible & ~np.isnan(self.values).any(axis=1)
        return chosen

    @cached_property
    def losses(self) -> Floats:
        """Shape (trials, objectives): values, negated where the study maximizes: less is better."""
        signs = [-1.0 if direction == "maximize" else 1.0 for direction in self.study.directions]
        losses: Floats = self.values * np.array(signs)
        return losses

    @cached_property
    def finished(self) -> Ints:
        """Indices of the finished trials (COMPLETE, PRUNED, FAIL), in the order they finished."""
        over = np.flatnonzero(self.finish)
        return over[np.argsort(self.finish[over])]

    @cached_property
    def ranking(self) -> Ints:
        """Indices of the trials that can be the best, the best first; empty with objectives > 1."""
        if self.objectives > 1:
            return np.empty(0, np.int64)
        order = ranked(self._contenders(), self.study.directions[0])
        return np.searchsorted(self.numbers, np.array([c.number for c in order], np.int64))

    @cached_property
    def front(self) -> Ints:
        """Indices of the trials that none dominates, by number."""
        members = front(self._contenders(), self.study.directions)
        return np.searchsorted(self.numbers, np.array([c.number for c in members], np.int64))

    @property
    def best(self) -> int | None:
        """Index of the best trial; ``None`` without one, or with several objectives."""
        return int(self.ranking[0]) if len(self.ranking) else None

    @property
    def samplers(self) -> tuple[ComponentUse, ...]:
        """With which samplers the trials ran, see ``component_uses``."""
        return component_uses(self.study, self.asked, "sampler")

    @property
    def pruners(self) -> tuple[ComponentUse, ...]:
        """The same of pruners."""
        return component_uses(self.study, self.asked, "pruner")

    def param(self, name: str) -> ParamColumn:
        """The param of that name.

        Raises:
            KeyError: No trial has it.
        """
        for column in self.params:
            if column.name == name:
                return column
        raise KeyError(name)

    def _contenders(self) -> list[Contender]:
        return [
            Contender(
                int(self.numbers[index]),
                tuple(self.values[index].tolist()),
                bool(self.feasible[index]),
            )
            for index in np.flatnonzero(self.complete)
        ]


def search(study: StudyOrName, *, storage: Storage = None) -> Search:
    """A study's search as columns.

    Args:
        study: Its name, or an Optuna study that lies in a book.
        storage: Where the book is; not with an Optuna study.

    Raises:
        NotFoundError: There is no such study.
        BookCorruptError: A row cannot be read.
    """
    with opened(storage, study) as reader:
        return search_of(reader, name_of(study))


def search_of(reader: Reader, study: str) -> Search:
    """The same of a book that is open."""
    record = reader.study(study)
    rows = search_rows(reader.book, record.study_id)
    return _columns(record, rows, asked_searches(reader, rows.named))


def _columns(study: StudyRecord, rows: SearchRows, asked: tuple[AskedSearch, ...]) -> Search:
    trials, objectives = rows.trials, len(study.directions)
    indices = {trial.trial_id: index for index, trial in enumerate(trials)}
    values = np.full((len(trials), objectives), np.nan)
    for index, trial in enumerate(trials):
        if trial.values is not None and len(trial.values) == objectives:
            values[index] = trial.values
    started_s, ended_s = _times(rows, indices)
    return Search(
        study=study,
        numbers=np.array([trial.number for trial in trials], np.int64),
        states=np.array([trial.state for trial in trials], dtype="<U8"),
        values=values,
        has_values=np.array([trial.values is not None for trial in trials], np.bool_),
        feasible=np.array([trial.feasible for trial in trials], np.bool_),
        enqueued=np.array([trial.enqueued for trial in trials], np.bool_),
        started_s=started_s,
        ended_s=ended_s,
        params=tuple(_params(rows)),
        reports=_reports(rows),
        attempts=rows.attempts,
        attempt_trial=np.array([indices[a.trial_id] for a in rows.attempts], np.int64),
        counting=np.array([trial.attempt for trial in trials], np.int64),
        finish=np.array([trial.finish_seq or 0 for trial in trials], np.int64),
        asked=asked,
        named=rows.named,
    )


def _times(rows: SearchRows, indices: dict[int, int]) -> tuple[Floats, Floats]:
    started_s = np.full(len(rows.trials), np.nan)
    ended_s = np.full(len(rows.trials), np.nan)
    for index, trial in enumerate(rows.trials):
        if trial.started is not None:
            started_s[index] = _as_utc(trial.started)
        if trial.completed is not None:
            ended_s[index] = _as_utc(trial.completed)
    executed = [attempt for attempt in rows.attempts if attempt.executed]
    for attempt in reversed(executed):  # the first attempt of a trial is the last one that is seen
        started_s[indices[attempt.trial_id]] = attempt.started_s
    for attempt in executed:
        index = indices[attempt.trial_id]
        if attempt.number == rows.trials[index].attempt and attempt.ended_s is not None:
            ended_s[index] = attempt.ended_s
    return started_s, ended_s


def _as_utc(moment: Any) -> float:
    from datetime import UTC

    return float(moment.replace(tzinfo=UTC).timestamp())


def _params(rows: SearchRows) -> Iterator[ParamColumn]:
    count = len(rows.trials)
    internal: dict[str, Floats] = {}
    spaces: dict[str, Ints] = {}
    known: dict[str, dict[str, int]] = {}
    for index, trial in enumerate(rows.trials):
        texts = rows.spaces.get(trial.space, {}) if trial.space is not None else {}
        for name, value in trial.params.items():
            if name not in internal:
                internal[name] = np.full(count, np.nan)
                spaces[name] = np.full(count, -1, np.int64)
                known[name] = {}
            internal[name][index] = value
            spaces[name][index] = known[name].setdefault(texts[name], len(known[name]))
    for name in internal:
        yield ParamColumn(
            name,
            internal[name],
            spaces[name],
            tuple(distribution_of(text) for text in known[name]),
        )


def _reports(rows: SearchRows) -> Reports:
    found = [rows.reports.get(trial.trial_id) for trial in rows.trials]
    lengths = [0 if series is None else len(series) for series in found]
    series = [one for one in found if one is not None]
    return Reports(
        offsets=np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64),
        steps=np.concatenate([np.empty(0, np.int64), *(one.steps for one in series)]),
        values=np.concatenate([np.empty(0, np.float64), *(one.values for one in series)]),
        seconds=np.concatenate([np.empty(0, np.float64), *(one.seconds for one in series)]),
    )
