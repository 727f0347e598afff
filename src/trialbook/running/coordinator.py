"""One run of a study: workers started, told when to begin a trial, and seen to their end.

The budget is a total: a run brings the study up to it and starts nothing when it is met. Whatever
ends a run (the budget, the time, failures, Ctrl-C once or twice, an error), no trial that it
claimed stays RUNNING.
"""

from __future__ import annotations

import select
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from types import FrameType

from trialbook import errors
from trialbook.book.storage import BookStorage
from trialbook.errors import TooManyFailuresError, TrialbookError
from trialbook.records.execution import EndReason, OutcomeState
from trialbook.running.messages import (
    Claimed,
    Drain,
    Employ,
    Fault,
    Finished,
    FromWorker,
    Idle,
    Job,
    Leave,
    Next,
    NothingLeft,
    Refused,
)
from trialbook.running.processes import RunProcess, started
from trialbook.running.progress import Progress, RunState, TrialEnd
from trialbook.running.standing import Standing

_TICK_S = 0.1
_REFRESH_S = 0.5
_SLOW_IMPORT_S = 30.0
_LEAVE_S = 20.0
"""How long a worker that was told to leave may take; then it is killed and its trial ended here."""

_REPLACEMENTS = 3


class RunEnd(StrEnum):
    """Why a run ended."""

    BUDGET = "the budget is met"
    TIME = "the time is over"
    STOPPED = "the study was asked to stop"
    DRAINED = "interrupted; the running trials were finished"
    ABANDONED = "interrupted; the running trials were abandoned"


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """What came of a run.

    Args:
        study: Name of the study.
        end: Why it ended.
        state: Where the study stands.
        trials: Trials that ended during the run, in the order of their end.
    """

    study: str
    end: RunEnd
    state: RunState
    trials: tuple[TrialEnd, ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """What ends a run early.

    Args:
        time_s: Seconds, ``None`` for no limit.
        max_failures: Stop when the first so many trials all failed; 0 for never.
    """

    time_s: float | None
    max_failures: int


@dataclass(slots=True, eq=False)
class _Employee:
    """A worker as the coordinator sees it."""

    number: int
    run: RunProcess
    started_s: float
    trial_id: int | None = None
    prepared: bool = False
    leaving_s: float | None = None
    abandoned: bool = False
    slow_import_said: bool = False


class Coordinator:
    """One run.

    Args:
        storage: The book.
        job: What the workers run.
        environments: Variables of each worker; as many as there are workers.
        limits: What ends the run early.
        progress: Shows how it goes on.
    """

    def __init__(
        self,
        storage: BookStorage,
        job: Job,
        environments: list[dict[str, str]],
        limits: Limits,
        progress: Progress,
    ) -> None:
        self._storage = storage
        self._job = job
        self._environments = environments
        self._limits = limits
        self._progress = progress
        self._standing = Standing(storage, job.study_id, job.study, job.budget)
        self._employees: list[_Employee] = []
        self._ended: list[TrialEnd] = []
        self._interrupts = 0
        self._answered_interrupts = 0
        self._killed = False
        self._end: RunEnd | None = None
        self._error: TrialbookError | None = None
        self._lost = 0

    def run(self) -> RunOutcome:
        """Run until the budget is met, or something else ends it."""
        state = self._standing.state(0)
        self._progress.began(state)
        if state.to_go == 0:
            self._progress.ended(state)
            return RunOutcome(self._job.study, RunEnd.BUDGET, state, ())
        with self._signals():
            try:
                count = len(self._environments)
                for number in range(count if state.to_go is None else min(count, state.to_go)):
                    self._employ(number)
                self._loop()
            finally:
                self._dismiss_all()
                state = self._standing.state(0)
                self._progress.ended(state)
        if self._error is not None:
            raise self._error
        return RunOutcome(self._job.study, self._end or RunEnd.BUDGET, state, tuple(self._ended))

    def _loop(self) -> None:
        shown_s = time.monotonic()
        while self._employees:
            channels = [employee.run.channel for employee in self._employees]
            select.select(channels, [], [], _TICK_S)
            for employee in list(self._employees):
                for message in employee.run.channel.waiting():
                    self._take(employee, message)
                if employee.run.channel.ended:
                    self._gone(employee)
            self._heed_limits()
            if time.monotonic() - shown_s > _REFRESH_S:
                shown_s = time.monotonic()
                self._progress.changed(self._standing.state(self._running))

    @property
    def _running(self) -> int:
        return sum(employee.trial_id is not None for employee in self._employees)

    def _take(self, employee: _Employee, message: object) -> None:
        match message:
            case Idle():
                employee.prepared = True
                self._standing.isolation = f"{message.isolation}: {message.reason}"
                if not self._stopping and employee.leaving_s is None:
                    employee.run.channel.send(Next(self._more_to_come()))
            case Claimed():
                employee.trial_id = message.trial_id
            case NothingLeft():
                self._drain(employee)
            case Finished():
                employee.trial_id = None
                if employee.leaving_s is not None:
                    employee.leaving_s = time.monotonic()
                self._trial_ended(message)
            case Refused():
                self._stop(None, error_of(message.fault))

    @property
    def _stopping(self) -> bool:
        return self._end is not None or self._error is not None

    def _more_to_come(self) -> bool:
        to_go = self._standing.to_go_roughly
        return to_go is None or to_go - self._running > 1

    def _trial_ended(self, message: Finished) -> None:
        trial = TrialEnd(message.number, message.state, message.values, message.error)
        self._ended.append(trial)
        self._progress.trial_ended(trial, self._standing.state(self._running))
        failures = self._limits.max_failures
        all_failed = all(ended.state == "FAIL" for ended in self._ended)
        if not self._stopping and all_failed and len(self._ended) == failures:
            self._stop(None, self._too_many(trial))
        if message.stop and not self._stopping:
            self._stop(RunEnd.STOPPED)

    def _too_many(self, last: TrialEnd) -> TooManyFailuresError:
        count = len(self._ended)
        first = "first trial" if count == 1 else f"first {count} trials"
        return TooManyFailuresError(
            f"the {first} of this run all failed; the last one: {last.error}",
            where=f"{self._job.study}/{last.number}",
            hint=f"see 'trialbook show {self._job.study}/{last.number}', "
            "or raise --max-failures (0: never stop)",
        )

    def _heed_limits(self) -> None:
        now = time.monotonic()
        limit_s = self._limits.time_s
        if limit_s is not None and not self._stopping and self._standing.elapsed_s > limit_s:
            self._stop(RunEnd.TIME)
        if self._interrupts > self._answered_interrupts:
            self._answered_interrupts = self._interrupts
            self._interrupted()
        for employee in list(self._employees):
            waited_s = now - employee.started_s
            if not employee.prepared and waited_s > _SLOW_IMPORT_S:
                if not employee.slow_import_said and not self._stopping:
                    self._progress.said(
                        f"importing the objective takes more than {_SLOW_IMPORT_S:.0f} s; "
                        "Ctrl-C stops"
                    )
                employee.slow_import_said = True
            if employee.trial_id is not None and not employee.abandoned:
                continue  # it may take as long as it needs
            if employee.leaving_s is not None and now - employee.leaving_s > _LEAVE_S:
                employee.run.kill()
                self._gone(employee)

    def _interrupted(self) -> None:
        if self._interrupts == 1 and not self._killed:
            running = self._running
            self._stop(RunEnd.DRAINED)
            if running:
                trials = "1 running trial" if running == 1 else f"{running} running trials"
                self._progress.said(
                    f"finishing {trials}; press Ctrl-C again to abandon "
                    f"{'it' if running == 1 else 'them'} at once"
                )
            return
        self._end = RunEnd.ABANDONED
        for employee in self._employees:
            self._dismiss(employee)

    def _stop(self, end: RunEnd | None, error: TrialbookError | None = None) -> None:
        """Begin no more trials; those that run may finish."""
        if self._error is None and error is not None:
            self._error = error
        if self._end is None and end is not None:
            self._end = end
        for employee in self._employees:
            self._drain(employee)

    def _drain(self, employee: _Employee) -> None:
        if employee.leaving_s is None:
            employee.leaving_s = time.monotonic()
            employee.run.channel.send(Drain())

    def _dismiss(self, employee: _Employee) -> None:
        employee.leaving_s = time.monotonic()
        employee.abandoned = True
        employee.run.channel.send(Leave())

    def _dismiss_all(self) -> None:
        """Whatever happened: no worker is left, and no trial of theirs is RUNNING."""
        for employee in self._employees:
            self._dismiss(employee)
        deadline = time.monotonic() + _LEAVE_S
        for employee in list(self._employees):
            while not employee.run.channel.ended and time.monotonic() < deadline:
                message = employee.run.channel.receive(deadline - time.monotonic())
                if message is not None:
                    self._take(employee, message)
            employee.run.kill()
            self._gone(employee)

    def _gone(self, employee: _Employee) -> None:
        """A worker ended; when it was not asked to, its trial gets its end here."""
        employee.run.channel.close()
        self._employees.remove(employee)
        code = employee.run.process.wait()
        if employee.trial_id is not None:
            try:
                self._end_lost(employee.trial_id, code)
            except TrialbookError as error:
                self._stop(None, error)  # the other workers' trials still get their end
        if employee.leaving_s is not None or self._stopping:
            return
        self._lost += 1
        if self._lost > _REPLACEMENTS:
            what = f"{self._lost} workers died; the last one with status {code}"
            self._stop(None, TrialbookError(what, hint="run it again to go on to the budget"))
            return
        self._progress.said(f"worker {employee.number} died with status {code}; starting another")
        self._employ(employee.number)

    def _end_lost(self, trial_id: int, code: int) -> None:
        abandoned = self._end is RunEnd.ABANDONED
        outcome = OutcomeState(
            reason=EndReason.ABANDONED if abandoned else EndReason.LOST,
            signal=_signal_name(code),
            exit_code=code if code >= 0 else None,
            message="the worker of this trial died",
            gaps=("the console was lost with the worker that kept it",),
        )
        self._storage.end_dead_attempt(trial_id, outcome)
        trial = self._storage.get_trial(trial_id)
        values = None if trial.values is None else tuple(trial.values)
        self._trial_ended(
            Finished(trial_id, trial.number, trial.state.name, values, outcome.message, False)
        )

    def _employ(self, number: int) -> None:
        run = started("worker", FromWorker, piped=False, environment=self._environments[number])
        self._employees.append(_Employee(number, run, time.monotonic()))
        run.channel.send(Employ(number, self._job))

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Count Ctrl-C instead of raising; a request to end counts as two."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def heard(number: int, _: FrameType | None) -> None:
            self._interrupts += 1
            if number != signal.SIGINT:
                self._killed = True

        before = {
            number: signal.signal(number, heard)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
            if signal.getsignal(number) is not signal.SIG_IGN  # as under nohup
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def error_of(fault: Fault) -> TrialbookError:
    """The error that a fault was in another process; its traceback there is a note."""
    kind = getattr(errors, fault.kind, TrialbookError)
    if not (isinstance(kind, type) and issubclass(kind, TrialbookError)):
        kind = TrialbookError
    error: TrialbookError = kind(fault.what, where=fault.where, hint=fault.hint)
    if fault.traceback:
        error.add_note(fault.traceback)
    return error


def _signal_name(code: int) -> str | None:
    if code >= 0:
        return None
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
