"""One run of a study: workers started, told when to begin a trial, and seen to their end.

The budget is a total: a run brings the study up to it and starts nothing when it is met. Whatever
ends a run (the budget, the time, failures, a signal, Ctrl-C once or twice, an error), no trial that
it claimed stays RUNNING.
"""

from __future__ import annotations

import select
import time

from trialbook.book.retrying import Fate, Reaped
from trialbook.book.storage import BookStorage
from trialbook.errors import TooManyFailuresError, TrialbookError
from trialbook.records.execution import EndReason, OutcomeState
from trialbook.running.employees import Employee
from trialbook.running.faults import error_of
from trialbook.running.idling import Idling
from trialbook.running.interruptions import Interruptions
from trialbook.running.messages import (
    Asked,
    Claimed,
    Finished,
    Idle,
    Job,
    NothingLeft,
    NothingYet,
    Noticed,
    Recalled,
    Refused,
    Returned,
    Said,
)
from trialbook.running.outcome import Limits, RunEnd, RunOutcome
from trialbook.running.progress import Progress, TrialEnd
from trialbook.running.reaping import end_attempts_of
from trialbook.running.standing import Standing
from trialbook.running.supervision import Death

_TICK_S = 0.1
_REFRESH_S = 0.5
_REFRESH_AMONG_MANY_S = 10.0
"""How often a worker that joined looks where the study stands: there may be hundreds like it."""

_SLOW_IMPORT_S = 30.0
_LEAVE_S = 20.0
"""How long a worker that was told to leave may take; then it is killed and its trial ended here."""

_REPLACEMENTS = 3


class Coordinator:
    """One run.

    Args:
        storage: The book.
        job: What the workers run.
        environments: Variables of each worker; as many as there are workers.
        limits: What ends the run early.
        progress: Shows how it goes on.
        idling: What becomes of a worker that finds no trial to claim.
    """

    def __init__(
        self,
        storage: BookStorage,
        job: Job,
        environments: list[dict[str, str]],
        limits: Limits,
        progress: Progress,
        idling: Idling | None = None,
    ) -> None:
        self._storage = storage
        self._job = job
        self._environments = environments
        self._limits = limits
        self._progress = progress
        self._standing = Standing(storage, job.study_id, job.study, job.budget)
        self._employees: list[Employee] = []
        self._ended: list[TrialEnd] = []
        self._given_back: dict[int, str] = {}
        self._interruptions = Interruptions(storage.outage.give_up)
        self._heeded = 0
        self._end: RunEnd | None = None
        self._error: TrialbookError | None = None
        self._lost = 0
        self._noticed: set[str] = set()
        self._idling = idling or Idling()
        self._claims = 0

    def run(self) -> RunOutcome:
        """Run until the budget is met, or something else ends it."""
        state = self._standing.state(0)
        self._progress.began(state)
        if state.to_go == 0 and not self._idling.waits:
            self._progress.ended(state)
            return RunOutcome(self._job.study, RunEnd.BUDGET, state, ())
        with self._interruptions.counted():
            try:
                count = len(self._environments)
                useful = count if state.to_go is None else min(count, max(1, state.to_go))
                for number in range(useful):
                    self._employ(number)
                self._loop()
            finally:
                self._dismiss_all()
                state = self._standing.state(0)
                self._progress.ended(state)
        if self._error is not None:
            raise self._error
        return RunOutcome(
            self._job.study,
            self._end or RunEnd.BUDGET,
            state,
            tuple(self._ended),
            tuple(sorted(self._given_back)),
        )

    def _loop(self) -> None:
        shown_s = time.monotonic()
        refresh_s = _REFRESH_AMONG_MANY_S if self._job.joined else _REFRESH_S
        while self._employees:
            channels = [employee.run.channel for employee in self._employees]
            select.select(channels, [], [], _TICK_S)
            # Looked at before what the workers say: a signal finds all told that came before it.
            heard = self._interruptions.heard
            for employee in list(self._employees):
                for message in employee.run.channel.waiting():
                    self._take(employee, message)
                if employee.run.channel.ended:
                    self._gone(employee)
            self._heed_limits(heard)
            if time.monotonic() - shown_s > refresh_s:
                shown_s = time.monotonic()
                self._progress.changed(self._standing.state(self._running))
            self._standing.rest()

    @property
    def _running(self) -> int:
        return sum(employee.trial_id is not None for employee in self._employees)

    def _take(self, employee: Employee, message: object) -> None:
        match message:
            case Idle():
                employee.prepared = employee.is_idle = True
                self._standing.isolation = f"{message.isolation}: {message.reason}"
                self._order(employee)
            case Claimed():
                employee.trial_id = message.trial_id
                self._claims += 1
                self._idling.busy()
                self._given_back.pop(message.number, None)
            case NothingLeft():
                self._nothing_to_claim(employee, None)
            case NothingYet():
                self._nothing_to_claim(employee, message.wait_s)
            case Returned():
                employee.trial_id = None
                self._returned(message)
            case Asked():
                self._asked(employee, message.signal)
            case Recalled():
                self._recalled(employee)
            case Said():
                self._progress.said(message.text)
            case Noticed():
                for text in message.texts:
                    if text not in self._noticed:
                        self._noticed.add(text)
                        self._progress.said(text)
            case Finished():
                employee.trial_id = None
                if employee.leaving_s is not None:
                    employee.leaving_s = time.monotonic()
                self._trial_ended(message)
            case Refused():
                self._stop(None, error_of(message.fault))

    def _order(self, employee: Employee) -> None:
        """Let a worker that is free begin a trial, unless it has to wait for one."""
        if self._stopping or self._interruptions.heard > self._heeded:
            return
        if employee.is_leaving or not employee.is_idle:
            return
        if self._limits.trials is not None and self._claims >= self._limits.trials:
            self._stop(RunEnd.SHARE)
            return
        until_s = employee.waits_until_s
        if until_s is None or time.monotonic() >= until_s:
            budget = self._idling.budget(self._job.budget)
            employee.begin(more_to_come=self._more_to_come(), budget=budget)

    def _nothing_to_claim(self, employee: Employee, retry_s: float | None) -> None:
        """Let a worker look again after a while, or leave."""
        now_s = time.monotonic()
        pause_s = self._idling.pause_s(now_s, retry_s)
        if pause_s is not None:
            employee.waits_until_s = now_s + pause_s
            return
        if self._idling.waits and self._end is None:
            self._end = RunEnd.IDLE
        employee.drain()

    def _returned(self, message: Returned) -> None:
        """A trial is to be tried again, or another worker has it."""
        why = message.reason if message.error is None else f"{message.reason}: {message.error}"
        if message.reason == EndReason.FENCED:
            self._progress.said(f"trial {message.number} was taken over by another worker")
            return
        self._given_back[message.number] = message.reason
        self._progress.said(f"trial {message.number} {why}; it is tried again")

    def _asked(self, employee: Employee, name: str) -> None:
        """A worker was asked to stop by a signal of its own."""
        employee.leaves()
        if self._end is None and all(other.is_leaving for other in self._employees):
            self._end = RunEnd.PREEMPTED
        if not self._interruptions.requests.count:  # else every process of the run heard it
            self._progress.said(f"{name} asked worker {employee.number} to stop")

    def _recalled(self, employee: Employee) -> None:
        """A worker was asked through the book to leave."""
        employee.leaves()
        if self._end is None and all(other.is_leaving for other in self._employees):
            self._end = RunEnd.ASKED
        running = ", and finishes its trial first" if employee.trial_id is not None else ""
        self._progress.said(f"worker {employee.number} was asked to leave{running}")

    @property
    def _stopping(self) -> bool:
        return self._end is not None or self._error is not None

    def _more_to_come(self) -> bool:
        to_go = self._standing.to_go_roughly
        share = self._limits.trials
        if share is not None and self._claims + 1 >= share:
            return False
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

    def _heed_limits(self, heard: int) -> None:
        now = time.monotonic()
        limit_s = self._limits.time_s
        if limit_s is not None and not self._stopping and self._standing.elapsed_s > limit_s:
            self._stop(RunEnd.TIME)
        if heard > self._heeded:
            self._heeded = heard
            self._interrupted()
        for employee in list(self._employees):
            self._order(employee)
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
        running = self._running
        trials = "1 running trial" if running == 1 else f"{running} running trials"
        them = "it" if running == 1 else "them"
        if self._heeded == 1 and self._interruptions.requests.count:
            self._preempt()
            if running:
                name = self._interruptions.requests.name
                self._progress.said(
                    f"{name}: asking {trials} to stop; a second signal gives {them} back at once, "
                    f"Ctrl-C abandons {them}"
                )
            return
        if self._heeded == 1:
            self._stop(RunEnd.DRAINED)
            if running:
                self._progress.said(
                    f"finishing {trials}; press Ctrl-C again to abandon {them} at once"
                )
            return
        # A scheduler that asks twice has no time left, but wants the trials as before.
        gives_back = self._interruptions.presses == 0
        self._end = RunEnd.PREEMPTED if gives_back else RunEnd.ABANDONED
        for employee in self._employees:
            employee.dismiss(gives_back=gives_back)

    def _stop(self, end: RunEnd | None, error: TrialbookError | None = None) -> None:
        """Begin no more trials; those that run may finish."""
        if self._error is None and error is not None:
            self._error = error
        if self._end is None and end is not None:
            self._end = end
        for employee in self._employees:
            employee.drain()

    def _preempt(self) -> None:
        """Begin no more trials; those that run are asked to stop."""
        if self._end is None:
            self._end = RunEnd.PREEMPTED
        for employee in self._employees:
            employee.ask_to_stop()

    def _dismiss_all(self) -> None:
        """Whatever happened: no worker is left, and no trial of theirs is RUNNING."""
        for employee in self._employees:
            employee.dismiss()
        deadline = time.monotonic() + _LEAVE_S
        for employee in list(self._employees):
            while not employee.run.channel.ended and time.monotonic() < deadline:
                message = employee.run.channel.receive(deadline - time.monotonic())
                if message is not None:
                    self._take(employee, message)
            employee.run.kill()
            self._gone(employee)

    def _gone(self, employee: Employee) -> None:
        """A worker ended; when it was not asked to, its trial gets its end here."""
        employee.run.channel.close()
        self._employees.remove(employee)
        code = employee.run.process.wait()
        try:
            self._end_lost(employee, code)
        except TrialbookError as error:
            self._stop(None, error)  # the other workers' trials still get their end
        if employee.is_leaving or self._stopping:
            return
        self._lost += 1
        if self._lost > _REPLACEMENTS:
            what = f"{self._lost} workers died; the last one with status {code}"
            self._stop(None, TrialbookError(what, hint="run it again to go on to the budget"))
            return
        self._progress.said(f"worker {employee.number} died with status {code}; starting another")
        self._employ(employee.number)

    def _end_lost(self, employee: Employee, code: int) -> None:
        """Give the trial of a worker that died its end, at once and not when its lease is over."""
        is_abandoned = self._end is RunEnd.ABANDONED
        death = Death.of(code)
        outcome = OutcomeState(
            reason=EndReason.ABANDONED if is_abandoned else EndReason.LOST,
            signal=death.signal,
            exit_code=death.exit_code,
            message="the worker of this trial died",
            gaps=("the console was lost with the worker that kept it",),
            died=not is_abandoned,
        )
        if employee.trial_id is None and code == 0:
            return  # it has left by itself
        # A trial that it claimed without having said so is among them.
        ended = end_attempts_of(self._storage, self._job.study, {employee.worker_id}, outcome)
        for reaped in ended:
            self._tell_lost(reaped, outcome)
        if employee.trial_id is not None and not ended:
            self._tell_over(employee.trial_id)
        employee.trial_id = None
        self._storage.leases.leave(employee.worker_id, dead=True)

    def _tell_lost(self, reaped: Reaped, outcome: OutcomeState) -> None:
        trial_id, number = reaped.trial_id, reaped.number
        if reaped.fate is Fate.RETRIED:
            reason = str(outcome.reason)
            self._returned(Returned(trial_id, number, reaped.attempt, reason, outcome.message))
        else:
            self._trial_ended(Finished(trial_id, number, "FAIL", None, outcome.message, False))

    def _tell_over(self, trial_id: int) -> None:
        """Tell of a trial whose end was in the book when its worker died."""
        trial = self._storage.get_trial(trial_id)
        if trial.state.is_finished():
            values = None if trial.values is None else tuple(trial.values)
            state = trial.state.name
            self._trial_ended(Finished(trial_id, trial.number, state, values, None, False))

    def _employ(self, number: int) -> None:
        employee = Employee.hired(number, self._environments[number])
        self._employees.append(employee)  # so that it is seen to its end, whatever comes
        employee.employ(self._job)
