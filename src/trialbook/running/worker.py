"""A worker: claims trials, hands each to a child, and sees that every one gets its end.

It never executes the user's code, and starts its first child before it imports what it needs
itself, so that both get ready at the same time. What it begins and when is the coordinator's to
say; when the coordinator is gone or tells it to leave, it abandons the trial that runs, records
that, and ends.
"""

from __future__ import annotations

import select
import signal
import socket
import time
from typing import TYPE_CHECKING

from trialbook.records.coordinates import Snapshot
from trialbook.records.execution import EndReason
from trialbook.records.workers import Claim
from trialbook.running.child import fault_of
from trialbook.running.messages import (
    Channel,
    Claimed,
    Drain,
    Employ,
    Fault,
    Finished,
    Idle,
    Job,
    Leave,
    Next,
    NothingLeft,
    Refused,
    ToWorker,
)
from trialbook.running.supervision import SupervisedChild

if TYPE_CHECKING:
    from trialbook.book.storage import BookStorage

_TICK_S = 0.1
_LEAVING_S = 10.0
"""How long a child whose result is in the book may take to end by itself."""


class _DismissedError(Exception):
    """The coordinator told this worker to leave, or is gone."""


class _CannotPrepareError(Exception):
    """The objective cannot be prepared; the fault is on its way to the coordinator."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.what)
        self.fault = fault


def main(descriptor: int, parent: int) -> None:
    """Run as a worker of a coordinator.

    Args:
        descriptor: Number of the inherited socket to the coordinator.
        parent: The coordinator's process id; its end is noticed by the socket.
    """
    del parent
    # Ending is the coordinator's to ask for, by message or by going away: a signal that a
    # scheduler sends to every process of a job must not leave a trial without an end.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # A handler, and not SIG_IGN, which the objective's processes would inherit.
        signal.signal(number, lambda *_: None)
    channel = Channel(socket.socket(fileno=descriptor), ToWorker)
    employ = channel.receive()
    if not isinstance(employ, Employ):
        return
    worker = Worker(channel, employ.job)
    try:
        worker.work()
    except _DismissedError:
        pass
    except _CannotPrepareError as error:
        channel.send(Refused(error.fault))
    except Exception as error:
        channel.send(Refused(fault_of(error)))


class Worker:
    """One worker.

    Args:
        coordinator: Messages from and to the coordinator.
        job: What to run.
    """

    def __init__(self, coordinator: Channel, job: Job) -> None:
        self._coordinator = coordinator
        self._job = job
        self._child: SupervisedChild | None = SupervisedChild(job)
        self._opened: BookStorage | None = None
        self._ahead: SupervisedChild | None = None
        self._leaving: list[tuple[SupervisedChild, float]] = []
        self._orders: list[Next] = []
        self._draining = False
        self._busy = False

    def work(self) -> None:
        """Prepare, then run one trial for each time that the coordinator says so.

        Raises:
            _DismissedError: The coordinator wants no more, or is gone.
            _CannotPrepareError: The objective cannot be prepared.
            TrialbookError: The book refuses, or code or data changed.
        """
        try:
            self._storage.get_study_name_from_id(self._job.study_id)  # while the child prepares
            ready = self._prepared().ready
            assert ready is not None
            while True:
                # Free, though perhaps without a child: the last trial needs none after it.
                self._coordinator.send(Idle(ready.isolation, ready.reason))
                order = self._order()
                self._run_next(self._prepared(), order)
        finally:
            for child in self._children():
                child.kill()
                child.close()
            if self._opened is not None:
                self._opened.close()

    @property
    def _storage(self) -> BookStorage:
        if self._opened is None:
            from trialbook.book.storage import BookStorage

            self._opened = BookStorage(self._job.book, create=False)
        return self._opened

    def _children(self) -> list[SupervisedChild]:
        held = (self._child, self._ahead, *(child for child, _ in self._leaving))
        return [child for child in held if child is not None]

    def _prepared(self) -> SupervisedChild:
        """A child that is ready for a trial, and whose code and data may be run."""
        if self._child is not None and not self._child.usable:
            self._retire()
        if self._child is None:
            self._child, self._ahead = self._ahead or SupervisedChild(self._job), None
        child = self._child
        while child.ready is None:
            if child.failed is not None:
                raise _CannotPrepareError(child.failed.fault)
            if child.ended:
                raise _CannotPrepareError(self._died_preparing(child))
            self._wait()
        if not child.vetted:
            ready = child.ready
            here = [
                Snapshot.from_document(document.encode())
                for document in (ready.code, ready.data, ready.config)
            ]
            from trialbook.running.guard import require_unchanged

            job = self._job
            require_unchanged(self._storage, job.study_id, job.study, here, job.allowed)
            child.vetted = True
        return child

    def _died_preparing(self, child: SupervisedChild) -> Fault:
        return Fault(
            "ObjectiveNotFoundError",
            f"the process that imports the objective {child.death}",
            where=self._job.file or self._job.module,
            hint="import it by hand to see why; --debug shows what it wrote",
            traceback=child.written() or None,
        )

    def _order(self) -> Next:
        while not self._orders or self._draining:
            self._wait()
        return self._orders.pop(0)

    def _run_next(self, child: SupervisedChild, order: Next) -> None:
        claim = self._storage.claim(self._job.study_id, budget=self._job.budget)
        if not isinstance(claim, Claim):
            self._coordinator.send(NothingLeft())
            return
        trial_id = claim.trial_id
        self._busy = True
        try:
            number = self._storage.get_trial_number_from_id(trial_id)
            self._coordinator.send(Claimed(trial_id, number))
            child.begin(trial_id)
            if order.more and not child.usable_again and self._ahead is None:
                self._ahead = SupervisedChild(self._job)
            while not child.trial_over:
                self._wait()
            child.pump()
        except BaseException as error:
            child.kill()
            dismissed = isinstance(error, _DismissedError)
            reason = EndReason.ABANDONED if dismissed else EndReason.LOST
            why = "the run was interrupted" if dismissed else f"the worker failed: {error}"
            self._end_dead(child, trial_id, reason, why)
            self._report(child, trial_id)
            raise
        if child.told is None:
            child.end_trial()
            self._end_dead(child, trial_id, EndReason.FAILED, _why(child))
        self._busy = False
        self._report(child, trial_id)
        if not child.usable:
            self._retire()

    def _end_dead(
        self, child: SupervisedChild, trial_id: int, reason: EndReason, message: str
    ) -> None:
        outcome, blobs = child.outcome(reason, message)
        self._storage.end_dead_attempt(trial_id, outcome, blobs=blobs)

    def _report(self, child: SupervisedChild, trial_id: int) -> None:
        trial = self._storage.get_trial(trial_id)
        error = None
        if trial.state.name == "FAIL":
            error = child.told.error if child.told is not None else _why(child)
        self._coordinator.send(
            Finished(
                trial_id,
                trial.number,
                trial.state.name,
                None if trial.values is None else tuple(trial.values),
                error,
                child.told is not None and child.told.stop,
            )
        )

    def _retire(self) -> None:
        """Let go of the current child; it may take its time to end, but not for ever."""
        if self._child is not None:
            self._leaving.append((self._child, time.monotonic() + _LEAVING_S))
            self._child = None

    def _wait(self) -> None:
        """Wait until something happens, and take it in.

        Raises:
            _DismissedError: The coordinator wants this worker to leave, or is gone.
        """
        held = self._children()
        sources = [source for child in held for source in child.sources()]
        select.select([self._coordinator, *sources], [], [], _TICK_S)
        for child in held:
            child.pump()
        self._reap()
        for message in self._coordinator.waiting():
            match message:
                case Leave():
                    raise _DismissedError
                case Drain():
                    self._draining = True
                case Next():
                    self._orders.append(message)
        if self._coordinator.ended or (self._draining and not self._busy):
            raise _DismissedError

    def _reap(self) -> None:
        kept = []
        for child, deadline in self._leaving:
            if not child.ended and time.monotonic() < deadline:
                kept.append((child, deadline))
                continue
            child.kill()
            child.close()
        self._leaving = kept


def _why(child: SupervisedChild) -> str:
    """Why a trial has no result, in one line."""
    if child.failed is not None:
        return child.failed.fault.what
    death = child.death
    if death is None:
        return "the trial's process was killed"
    if death.exit_code is not None:
        return f"the trial's process {death} before the objective returned"
    return f"the trial's process {death}"
