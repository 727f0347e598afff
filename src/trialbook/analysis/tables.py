"""Studies and trials as rows: one flat value each, for tables, CSV and frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from trialbook.analysis.coordinate_changes import HeldAgainst, reference_trial
from trialbook.analysis.opening import Storage, StudyOrName, name_of, opened
from trialbook.book.leases import Leases
from trialbook.book.reading import Reader
from trialbook.errors import BookCorruptError, NotFoundError
from trialbook.records.coordinates import Kind
from trialbook.records.coverage import Level
from trialbook.records.programs import BriefLaunch, brief_launch
from trialbook.records.study import AttemptRecord, StudyRecord, TrialRecord, TrialState
from trialbook.records.test_metrics import is_test

_WORST_LAST = (Level.COMPLETE, Level.PARTIAL, Level.ABSENT)


@dataclass(frozen=True, slots=True)
class TrialRow:
    """A trial on one line.

    Args:
        number: Its number in the study.
        state: Optuna's state.
        values: Objective values; ``None`` when there are none.
        params: Name to value, in the order in which they were asked.
        user_attrs: Optuna's user attributes.
        metrics: Name to last value of what counts; ``None`` when a series is empty. Without test
            metrics, see ``test_metrics.py``.
        started: Local wall time, as in Optuna.
        completed: Local wall time, as in Optuna.
        coverage: Coordinate to how complete it is; empty for a trial that was not tracked.
        attempts: How often it was executed under tracking.
        record_digest: Digest of the finished record, ``None`` while unfinished.
        differs: In what code, data, configuration, environment and program differ from those of the
            study's best trial, see ``coordinate_changes.py``; a few words each.
        host: The host of the attempt that counts, ``None`` when it is not recorded.
        launch: ``LAUNCH/INDEX`` of its worker when ``trialbook launch`` placed it.
        job: The engine's own id of that job, ``None`` without one.
    """

    number: int
    state: TrialState
    values: tuple[float, ...] | None
    params: dict[str, Any]
    user_attrs: dict[str, Any]
    metrics: dict[str, float | None]
    started: datetime | None
    completed: datetime | None
    coverage: dict[Kind, Level]
    attempts: int
    record_digest: str | None
    differs: tuple[str, ...] = ()
    host: str | None = None
    launch: str | None = None
    job: str | None = None

    @property
    def duration_s(self) -> float | None:
        """Seconds from start to completion, ``None`` while unfinished."""
        if self.started is None or self.completed is None:
            return None
        return (self.completed - self.started).total_seconds()

    @property
    def worst_coverage(self) -> Level | None:
        """The least complete coordinate's, ``None`` when the trial was not tracked."""
        return max(self.coverage.values(), key=_WORST_LAST.index, default=None)


@dataclass(frozen=True, slots=True)
class StudySummary:
    """A study on one line.

    Args:
        study: The study.
        best_trial: Number of its best trial; ``None`` without one, with several objectives, or of
            replicates.
        best_value: Its value, likewise.
        silent: How many of its RUNNING trials have a worker that gives no sign of life.
    """

    study: StudyRecord
    best_trial: int | None
    best_value: float | None
    silent: int


class CoverageIndex:
    """Coverage by snapshot digest, each snapshot read once: trials share most of them."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._levels: dict[str, Level] = {}
        self._launches: dict[str, BriefLaunch] = {}

    def of(self, attempt: AttemptRecord | None) -> dict[Kind, Level]:
        """How complete each coordinate of an attempt is; empty when nothing was tracked."""
        if attempt is None or attempt.seeds is None:
            return {}
        return {kind: self._level(attempt.coordinates.of(kind)) for kind in Kind}

    def launch_of(self, attempt: AttemptRecord) -> BriefLaunch | None:
        """How the process of an attempt was launched; ``None`` when that cannot be read.

        After ``of``.
        """
        return self._launches.get(attempt.coordinates.execution or "")

    def _level(self, digest: str | None) -> Level:
        if digest is None:
            return Level.ABSENT
        if digest not in self._levels:
            try:
                snapshot = self._reader.snapshot(digest)
                self._levels[digest] = snapshot.coverage.level
                if snapshot.kind is Kind.EXECUTION:
                    launch = brief_launch(snapshot.document)
                    if launch is not None:
                        self._launches[digest] = launch
            except (NotFoundError, BookCorruptError):
                self._levels[digest] = Level.ABSENT
        return self._levels[digest]


def trial_rows(study: StudyOrName, *, storage: Storage = None) -> Iterator[TrialRow]:
    """The trials of a study as rows by number, read by chunks while they are used.

    Args:
        study: Its name, or an Optuna study that lies in a book.
        storage: Where the book is; not with an Optuna study.

    Raises:
        NotFoundError: There is no such study; raised when the first row is asked for.
    """
    with opened(storage, study) as reader:
        record = reader.study(name_of(study))
        yield from rows_of(reader, record, reader.trials(record.name))


def rows_of(
    reader: Reader, study: StudyRecord, trials: Iterable[TrialRecord]
) -> Iterator[TrialRow]:
    """Trials of a study that were read already as rows."""
    index = CoverageIndex(reader)
    held = HeldAgainst(reader, reference_trial(reader, study))
    for trial in trials:
        attempt = trial.attempt
        yield TrialRow(
            number=trial.number,
            state=trial.state,
            values=trial.values,
            params={param.name: param.value for param in trial.params},
            user_attrs=trial.user_attrs,
            metrics={s.metric: s.last for s in trial.series if not is_test(s.metric)},
            started=trial.started,
            completed=trial.completed,
            coverage=index.of(attempt),
            attempts=len(trial.attempts),
            record_digest=trial.record_digest,
            differs=_differs(held, index, attempt),
            host=None if attempt is None else attempt.host,
            launch=None if attempt is None else attempt.launch,
            job=None if attempt is None else attempt.job,
        )


def _differs(
    held: HeldAgainst, index: CoverageIndex, attempt: AttemptRecord | None
) -> tuple[str, ...]:
    if attempt is None:
        return ()
    launch = index.launch_of(attempt)
    if launch is None:
        return held.texts(attempt.coordinates, None)
    return held.texts(attempt.coordinates, launch.program, launch.differs)


def study_summaries(*, storage: Storage = None) -> list[StudySummary]:
    """The studies of a book, by name, each with its best trial.

    Args:
        storage: Where the book is.

    Raises:
        BookNotFoundError: There is no book at that place.
    """
    summaries = []
    with opened(storage) as reader:
        silent = Counter(study_id for _, _, study_id in Leases(reader.book).expired())
        for study in reader.studies():
            best = reader.leader(study)
            number, value = (None, None) if best is None else (best.number, best.values[0])
            summaries.append(StudySummary(study, number, value, silent[study.study_id]))
    return summaries
