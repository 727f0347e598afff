"""How a study is doing now: workers, throughput, budget, what is tried again, what was given up.

Ages and waits are measured on the book's clock, never on this machine's. What waits for a person is
listed by itself: trials in quarantine, and leases that are over and that nobody has ended.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from trialbook.analysis.compute import ComputeUse, compute_of
from trialbook.analysis.opening import Storage, StudyOrName, name_of, opened
from trialbook.book.activity import (
    RunningTrial,
    StudyActivity,
    WaitingTrial,
    WorkerActivity,
    activity,
)
from trialbook.book.leases import DEAD, LEFT
from trialbook.book.marks import MarkedTrial
from trialbook.book.reading import Reader
from trialbook.records.execution import EndReason, OutcomeState
from trialbook.records.replicates import runs_given_trials
from trialbook.records.retries import BudgetUse, RetryBudgets, budget_use
from trialbook.records.study import StudyRecord, StudySpec
from trialbook.records.workers import WorkerIdentity

_HOUR_S = 3600.0


class WorkerState(StrEnum):
    """What is known of a worker."""

    WORKING = "working"
    SILENT = "silent"
    """It gave no sign of life for longer than a lease, and did not leave."""
    LEFT = "left"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class HeldTrial:
    """A trial that a worker holds.

    Args:
        number: Its number in the study.
        attempt: Number of the attempt.
        lease_left_s: Seconds until its lease ends; below 0, how long it has been over.
        running_s: Seconds since the attempt began, by the clock of its worker.
        worker_id: Who holds it.
    """

    number: int
    attempt: int
    lease_left_s: float
    running_s: float
    worker_id: str | None

    @property
    def is_over(self) -> bool:
        """Whether the lease is over and nobody has ended the attempt."""
        return self.lease_left_s < 0


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A worker.

    Args:
        worker: Which process it is.
        state: What is known of it.
        silent_s: Seconds since its last sign of life.
        holds: The trials of this study that it holds, by number.
        finished: How many trials of the study it finished.
        per_hour: How many an hour, from its first start to its last end; ``None`` before that.
    """

    worker: WorkerIdentity
    state: WorkerState
    silent_s: float
    holds: tuple[HeldTrial, ...]
    finished: int
    per_hour: float | None

    @property
    def is_gone(self) -> bool:
        """Whether it left or was found dead, and holds nothing."""
        return self.state in (WorkerState.LEFT, WorkerState.DEAD) and not self.holds


@dataclass(frozen=True, slots=True)
class RetryStatus:
    """A trial that was given back and waits to be tried again.

    Args:
        number: Its number in the study.
        attempt: Number of its next attempt.
        reason: Why the last one ended, ``None`` when that is not recorded.
        use: Which retry this is, of how many; ``None`` when it takes none (a program gave it back).
        wait_s: Seconds before which it does not start; 0 when it may start now.
        last: What is known of the last attempt's end.
    """

    number: int
    attempt: int
    reason: EndReason | None
    use: BudgetUse | None
    wait_s: float
    last: OutcomeState | None


@dataclass(frozen=True, slots=True)
class QuarantinedTrial:
    """A trial that is not tried again, because processes that ran it died.

    Args:
        number: Its number in the study.
        reason: The reason, in one sentence.
    """

    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """How far the budget of a study is used up.

    Args:
        trials: Budget in trials, ``None`` for no limit.
        hours: Budget in hours of wall time, ``None`` for no limit.
        taken: Trials that run, have finished or wait to be tried again; abandoned ones not.
        to_begin: New trials that it still allows, ``None`` for no limit.
        to_go: Trials that have still to end until it is met, ``None`` for no limit.
    """

    trials: int | None
    hours: float | None
    taken: int
    to_begin: int | None
    to_go: int | None


@dataclass(frozen=True, slots=True)
class Throughput:
    """Finished trials an hour, by the clocks of the workers; only trials that were tracked.

    Args:
        finished: How many there are.
        recent_per_hour: In the last ten minutes, or as long as it runs if that is shorter.
        per_hour: From the first start to the last end; ``None`` before there is one.
    """

    finished: int
    recent_per_hour: float
    per_hour: float | None


@dataclass(frozen=True, slots=True)
class StudyStatus:
    """How a study is doing.

    Args:
        study: The study, with the count of its trials in each state.
        at_s: When this was read, on the book's clock, in seconds since the epoch.
        budget: How far its budget is used up, ``None`` without one.
        throughput: How fast it goes.
        workers: Everybody who works or worked on it, in the order in which they came.
        retries: Trials that wait to be tried again, the one that may start first at the front.
        expired: Trials whose lease is over and that nobody has ended, by number.
        unleased: Numbers of RUNNING trials that nobody has a lease on; nothing ends these.
        quarantined: Trials in quarantine, by number.
        endings: How many attempts ended for each reason, the most frequent first.
        differing: Trials whose worker differed from the study, by number.
        compute: CPU and GPU time of its attempts, by host and device.
    """

    study: StudyRecord
    at_s: float
    budget: BudgetStatus | None
    throughput: Throughput
    workers: tuple[WorkerStatus, ...]
    retries: tuple[RetryStatus, ...]
    expired: tuple[HeldTrial, ...]
    unleased: tuple[int, ...]
    quarantined: tuple[QuarantinedTrial, ...]
    endings: dict[EndReason, int]
    differing: tuple[MarkedTrial, ...] = ()
    compute: ComputeUse = field(default_factory=ComputeUse)

    @property
    def left_s(self) -> float | None:
        """Seconds until the budget is met at the recent pace; ``None`` when it is not known."""
        if self.budget is None or not self.budget.to_go or not self.throughput.recent_per_hour:
            return None
        return self.budget.to_go / self.throughput.recent_per_hour * _HOUR_S


def status(study: StudyOrName, *, storage: Storage = None) -> StudyStatus:
    """How a study is doing now.

    Args:
        study: Its name, or an Optuna study that lies in a book.
        storage: Where the book is; not with an Optuna study.

    Raises:
        NotFoundError: It is not in the book.
    """
    with opened(storage, study) as reader:
        return study_status(reader, name_of(study))


def study_status(reader: Reader, study: str) -> StudyStatus:
    """How a study of an open book is doing now.

    Raises:
        NotFoundError: It is not in the book.
    """
    seen = activity(reader.book, study)
    spec = seen.study.spec or StudySpec()
    held = _held(seen)
    return StudyStatus(
        study=seen.study,
        at_s=seen.now_s,
        budget=_budget(seen, spec),
        throughput=_throughput(seen),
        workers=tuple(_worker(w, seen.now_s, spec.lease_s, held) for w in seen.workers),
        retries=_retries(seen, spec.retries),
        expired=tuple(trial for trial in held if trial.is_over),
        unleased=tuple(trial.number for trial in seen.running if trial.lease_s is None),
        quarantined=tuple(QuarantinedTrial(*entry) for entry in seen.quarantined),
        differing=seen.marked,
        compute=compute_of(reader, seen.study.study_id),
        endings=dict(sorted(seen.endings.items(), key=lambda item: (-item[1], item[0]))),
    )


def _held(seen: StudyActivity) -> list[HeldTrial]:
    def held(trial: RunningTrial, lease_s: float) -> HeldTrial:
        started_s = seen.now_s if trial.started_s is None else trial.started_s
        return HeldTrial(
            trial.number,
            trial.attempt,
            lease_s - seen.now_s,
            max(0.0, seen.now_s - started_s),
            trial.worker_id,
        )

    return [held(trial, trial.lease_s) for trial in seen.running if trial.lease_s is not None]


def _worker(
    seen: WorkerActivity, now_s: float, lease_s: float, held: list[HeldTrial]
) -> WorkerStatus:
    worker = seen.worker
    holds = tuple(trial for trial in held if trial.worker_id == worker.identity.worker_id)
    last_s = worker.ended_s if worker.state == LEFT and worker.ended_s else worker.seen_s
    silent_s = max(0.0, now_s - last_s)
    if worker.state in (LEFT, DEAD):
        state = WorkerState(worker.state)
    else:
        # A worker may have a lease of another length than the study's, so that of its trial says.
        alive = any(not t.is_over for t in holds) if holds else silent_s <= lease_s
        state = WorkerState.WORKING if alive else WorkerState.SILENT
    return WorkerStatus(
        worker.identity,
        state,
        silent_s,
        holds,
        seen.finished,
        _per_hour(seen.finished, seen.first_started_s, seen.last_ended_s),
    )


def _per_hour(finished: int, first_s: float | None, last_s: float | None) -> float | None:
    if not finished or first_s is None or last_s is None or last_s <= first_s:
        return None
    return finished / (last_s - first_s) * _HOUR_S


def _throughput(seen: StudyActivity) -> Throughput:
    return Throughput(
        seen.finished,
        seen.finished_lately / seen.lately_s * _HOUR_S if seen.lately_s else 0.0,
        _per_hour(seen.finished, seen.first_started_s, seen.last_ended_s),
    )


def _budget(seen: StudyActivity, spec: StudySpec) -> BudgetStatus | None:
    trials, hours = spec.search.trials, spec.search.hours
    if runs_given_trials(spec.search):
        enqueued = seen.study.states.get("WAITING", 0) - len(seen.waiting)
        trials = seen.taken + enqueued
    if trials is None:
        return None if hours is None else BudgetStatus(None, hours, seen.taken, None, None)
    unfinished = len(seen.running) + len(seen.waiting)
    return BudgetStatus(
        trials,
        hours,
        seen.taken,
        max(0, trials - seen.taken),
        max(0, trials - seen.taken + unfinished),
    )


def _retries(seen: StudyActivity, budgets: RetryBudgets) -> tuple[RetryStatus, ...]:
    def retry(trial: WaitingTrial) -> RetryStatus:
        wait_s = 0.0 if trial.not_before_s is None else trial.not_before_s - seen.now_s
        return RetryStatus(
            trial.number,
            trial.attempt,
            trial.endings[-1].reason if trial.endings else None,
            budget_use(trial.endings, budgets),
            max(0.0, wait_s),
            trial.last,
        )

    waiting = [retry(trial) for trial in seen.waiting]
    return tuple(sorted(waiting, key=lambda trial: (trial.wait_s, trial.number)))
