"""A worker: claims trials, hands each to a child, and sees that every one gets its end.

It never executes the user's code, and starts its first child before it imports what it needs
itself, so that both get ready at the same time. What it begins and when is the coordinator's to
say. It holds each trial by a lease (``leasing.py``), looks at the clock (``watch.py``), and writes
the end of a trial whose process could not (``endings.py``). Told to leave, it abandons the trial
that runs; when the coordinator is gone it gives the trial back.
"""

from __future__ import annotations

import select
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from trialbook.records.execution import EndReason
from trialbook.records.replicates import runs_given_trials
from trialbook.records.workers import Claim, WaitFor
from trialbook.running.child import fault_of
from trialbook.running.endings import (
    Ending,
    abandoned,
    asked_again,
    coordinator_gone,
    ending_of,
    report_of,
)
from trialbook.running.messages import (
    Asked,
    Channel,
    Claimed,
    Drain,
    Employ,
    Fault,
    Idle,
    Leave,
    Next,
    NothingLeft,
    NothingYet,
    Noticed,
    Recalled,
    Refused,
    Said,
    Stop,
    ToWorker,
)
from trialbook.running.signals import StopRequests, hear
from trialbook.running.supervision import SupervisedChild
from trialbook.running.watch import TrialWatch

if TYPE_CHECKING:
    from trialbook.records.references import StudyReference
    from trialbook.running.leasing import LeaseKeeper

_TICK_S = 0.1
_LEAVING_S = 10.0
"""How long a child whose result is in the book may take to end by itself."""

_KILLING_S = 2.0
"""How long the end of a killed trial may take to be known."""

_COMPARE_S = 1.0
"""Whether the study has moved is looked for no more often before a claim."""

_LOST_S = 2.0
"""How long a trial that is no longer held may take to end; its own process may have ended it."""


class _DismissedError(Exception):
    """This worker is to end now.

    Args:
        ending: What becomes of a trial that runs.
    """

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.message)
        self.ending = ending


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
    requests = StopRequests()
    hear(requests.heard)
    # A Ctrl-C is the coordinator's to hear. A handler, and not SIG_IGN, which the objective's
    # processes would inherit.
    signal.signal(signal.SIGINT, lambda *_: None)
    channel = Channel(socket.socket(fileno=descriptor), ToWorker)
    employ = channel.receive()
    if not isinstance(employ, Employ):
        return
    worker = Worker(channel, employ, requests)
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
        employ: What to run, and under which id.
        requests: Signals that ask this process to stop.
    """

    def __init__(self, coordinator: Channel, employ: Employ, requests: StopRequests) -> None:
        self._coordinator = coordinator
        self._employ = employ
        self._job = employ.job
        self._requests = requests
        self._heeded = 0
        self._told_digests = False
        self._held_against: StudyReference | None = None
        self._compared_s = time.monotonic()
        self._child: SupervisedChild | None = self._new_child()
        self._keeper: LeaseKeeper | None = None
        self._ahead: SupervisedChild | None = None
        self._leaving: list[tuple[SupervisedChild, float]] = []
        self._orders: list[Next] = []
        self._watch: TrialWatch | None = None
        self._draining = False

    def work(self) -> None:
        """Prepare, then run one trial for each time that the coordinator says so.

        Raises:
            _DismissedError: The coordinator wants no more, or is gone.
            _CannotPrepareError: The objective cannot be prepared.
            TrialbookError: The book refuses, or code or data changed.
        """
        try:
            with self._leases.book() as storage:  # while the child prepares
                storage.get_study_name_from_id(self._job.study_id)
            ready = self._prepared().ready
            assert ready is not None
            while True:
                # Free, though perhaps without a child: the last trial needs none after it.
                self._coordinator.send(Idle(ready.isolation, ready.reason))
                order = self._order()
                if self._is_all_begun(order):
                    self._coordinator.send(NothingLeft())
                else:
                    self._run_next(self._prepared(), order)
        finally:
            for child in self._children():
                child.kill()
                child.close()
            if self._keeper is not None:
                self._keeper.stop()
                self._tell_troubles()
                self._keeper.close()

    @property
    def _leases(self) -> LeaseKeeper:
        if self._keeper is None:
            from trialbook.book.outlasting import PATIENCE_S
            from trialbook.book.storage import BookStorage
            from trialbook.running.leasing import LeaseKeeper

            job = self._job
            storage = BookStorage(job.book, create=False, patience_s=PATIENCE_S)
            worker_id = self._employ.worker_id
            self._keeper = LeaseKeeper(storage, job.study_id, worker_id, job.lease_s, job.placement)
            self._keeper.start()
        return self._keeper

    def _new_child(self) -> SupervisedChild:
        return SupervisedChild(self._job, self._known_digests)

    def _known_digests(self, keys: Sequence[str]) -> Mapping[str, str]:
        with self._leases.book() as storage:
            return storage.known_digests(keys)

    def _children(self) -> list[SupervisedChild]:
        held = (self._child, self._ahead, *(child for child, _ in self._leaving))
        return [child for child in held if child is not None]

    def _prepared(self) -> SupervisedChild:
        """A child that is ready for a trial, and whose code and data may be run."""
        if self._child is not None and not self._child.usable:
            self._retire()
        if self._child is None:
            self._child, self._ahead = self._ahead or self._new_child(), None
        child = self._child
        while child.ready is None:
            if child.failed is not None:
                raise _CannotPrepareError(child.failed.fault)
            if child.ended:
                raise _CannotPrepareError(self._died_preparing(child))
            self._wait()
        if not child.vetted or self._study_moved():
            from trialbook.running.guard import admitted

            with self._leases.book() as storage:
                admission = admitted(storage, self._job, child.ready)
                if not self._told_digests:
                    storage.learn_digests(child.ready.hashed)
                    self._told_digests = True
            child.vetted, child.differs = True, admission.differs
            self._held_against = admission.held_against
            if admission.told:
                self._coordinator.send(Noticed(admission.told))
            if admission.moves:
                self._make_reference(child)
        return child

    def _study_moved(self) -> bool:
        """Whether the study has gone on with something else since the guard let a child in."""
        now_s = time.monotonic()
        if self._held_against is None or now_s - self._compared_s < _COMPARE_S:
            return False
        self._compared_s = now_s
        with self._leases.book() as storage:
            return storage.reference(self._job.study_id) != self._held_against

    def _make_reference(self, child: SupervisedChild) -> None:
        """Let a child write down that the study goes on with what it has observed."""
        child.pin()
        while not child.pinned:
            if child.failed is not None:
                raise _CannotPrepareError(child.failed.fault)
            if child.ended:
                raise _CannotPrepareError(self._died_preparing(child))
            self._wait()

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

    def _is_all_begun(self, order: Next) -> bool:
        """Whether another child would find nothing to run; it may take long to get ready."""
        if order.budget is None or self._ahead is not None:
            return False
        if self._child is not None and self._child.usable:
            return False
        self._leases.reap()  # a trial whose worker was lost is to be tried again
        with self._leases.book() as storage:
            use = storage.budget_use(self._job.study_id)
        return use.taken >= order.budget and not use.waiting

    def _run_next(self, child: SupervisedChild, order: Next) -> None:
        keeper = self._leases
        keeper.reap()
        keeper.look()
        if self._heed_recall():
            return
        with keeper.book() as storage:
            claim = storage.claim(
                self._job.study_id,
                budget=order.budget,
                holder=keeper.holder,
                only_waiting=runs_given_trials(self._job.search),
            )
            if isinstance(claim, Claim):
                keeper.hold(claim)
        if claim is None:
            self._coordinator.send(NothingLeft())
            return
        if isinstance(claim, WaitFor):
            self._coordinator.send(NothingYet(claim.seconds))
            return
        self._watch = watch = TrialWatch(child, self._job.limits, self._job.grace_s)
        try:
            self._coordinator.send(Claimed(claim.trial_id, claim.number, claim.attempt))
            child.begin(claim.trial_id, claim.attempt)
            if order.more and not child.usable_again and self._ahead is None:
                self._ahead = self._new_child()
            self._see_to_its_end(child, watch)
        except BaseException as error:
            child.kill()
            failure = Ending(EndReason.LOST, f"the worker failed: {error}")
            self._end(claim, child, getattr(error, "ending", failure))
            raise
        ending = None if child.told is not None else ending_of(child, watch.cause)
        if ending is not None:
            child.end_trial()
        self._end(claim, child, ending)
        if not child.usable:
            self._retire()

    def _see_to_its_end(self, child: SupervisedChild, watch: TrialWatch) -> None:
        """Wait until a trial is over; end it when its time is over or it is held no more."""
        keeper = self._leases
        lost_s: float | None = None
        killed_s: float | None = None
        while not child.trial_over:
            self._wait()
            now = time.monotonic()
            if keeper.is_lost and lost_s is None:
                lost_s = now
            if watch.is_overdue() or (lost_s is not None and now - lost_s > _LOST_S):
                killed_s = killed_s or now
                # What forked the trial tells of its end, unless it hangs itself.
                if now - killed_s > _KILLING_S:
                    child.kill()
                else:
                    child.kill_trial()
        child.pump()

    def _end(self, claim: Claim, child: SupervisedChild, ending: Ending | None) -> None:
        """Write a trial's end unless its own process has, and report what came of it."""
        with self._leases.book() as storage:
            report = report_of(storage, claim, child, ending)
        self._leases.let_go()
        self._watch = None
        self._coordinator.send(report)

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
        self._reap_children()
        self._tell_troubles()
        if self._keeper is not None:
            self._keeper.rest()
        for message in self._coordinator.waiting():
            match message:
                case Leave():
                    raise _DismissedError(asked_again() if message.gives_back else abandoned())
                case Drain():
                    self._draining = True
                case Stop():
                    self._stop()
                case Next():
                    self._orders.append(message)
        self._heed_signals()
        self._heed_recall()
        if self._coordinator.ended:
            raise _DismissedError(coordinator_gone())
        if self._draining and self._watch is None:
            raise _DismissedError(abandoned())

    def _heed_signals(self) -> None:
        if self._requests.count == self._heeded:
            return
        self._heeded = self._requests.count
        if self._heeded > 1:
            raise _DismissedError(asked_again())
        self._coordinator.send(Asked(self._requests.name))
        self._stop()

    def _heed_recall(self) -> bool:
        """Whether this worker was asked through the book to leave; then it begins no trial."""
        if self._keeper is None or not self._keeper.is_recalled:
            return False
        if not self._draining:
            self._draining = True
            self._coordinator.send(Recalled())
        return True

    def _stop(self) -> None:
        """Begin no trial any more, and let the one that runs know."""
        self._draining = True
        if self._watch is not None:
            self._watch.ask_to_stop()

    def _tell_troubles(self) -> None:
        """Tell what the keeper of the leases has found since."""
        if self._keeper is None:
            return
        for text in self._keeper.troubles():
            self._coordinator.send(Said(text))
        for reaped in self._keeper.reaped():
            from trialbook.running.reaping import reaped_text

            self._coordinator.send(Said(reaped_text(reaped)))

    def _reap_children(self) -> None:
        kept = []
        for child, deadline in self._leaving:
            if not child.ended and time.monotonic() < deadline:
                kept.append((child, deadline))
                continue
            child.kill()
            child.close()
        self._leaving = kept
