"""A worker's leases: its own renewed in time, the expired ones of others ended.

A thread does it, so that neither the child nor a slow message holds it up. It and the worker take
turns at the book, which keeps a worker at one connection.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from trialbook.book.renewal import Drowsiness
from trialbook.capture.process import process_identity
from trialbook.errors import TrialbookError
from trialbook.records.launches import DRAIN
from trialbook.records.workers import RENEWALS_PER_LEASE, Claim, Holder, Placement

if TYPE_CHECKING:
    from trialbook.book.retrying import Reaped
    from trialbook.book.storage import BookStorage

_AGAIN_S = 1.0
"""Seconds until a renewal that failed is tried again, if that is sooner."""

_REST_S = 1.0
"""A connection that was not used for so long is closed: the trial's process has its own."""

_LOOK_S = 1.0
"""Whether something is asked of the worker is looked for no more often before a claim."""

_REAP_S = 0.2
"""Expired leases are looked for no more often."""


class LeaseKeeper:
    """Keeps one worker's lease while it runs trials, and shows that it lives while it does not.

    Args:
        storage: The book.
        study_id: The study that it works on.
        worker_id: The worker's id.
        lease_s: How long a lease lasts.
        placement: What placed the worker, ``None`` for the batch job that it is part of.
    """

    def __init__(
        self,
        storage: BookStorage,
        study_id: int,
        worker_id: str,
        lease_s: float,
        placement: Placement | None = None,
    ) -> None:
        self._storage = storage
        self._study_id = study_id
        self.holder = Holder(process_identity(worker_id, placement), lease_s)
        self._turn = threading.RLock()
        self._wake = threading.Event()
        self._drowsiness = Drowsiness(lease_s / RENEWALS_PER_LEASE)
        self._stopping = False
        self._claim: Claim | None = None
        self._is_lost = False
        self._used_s = time.monotonic()
        self._resting = False
        self._reaped_s = self._looked_s = -_LOOK_S
        self._is_recalled = False
        self._reaped: deque[Reaped] = deque()
        self._troubles: deque[str] = deque()
        self._troubled = False
        self._thread = threading.Thread(target=self._run, name="trialbook-leases", daemon=True)

    def start(self) -> None:
        """Make the worker known to the book, and begin."""
        with self.book() as storage:
            storage.leases.register(self.holder.worker, self._study_id)
        self._thread.start()

    def stop(self) -> None:
        """End; the book learns that the worker has left."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        try:
            with self.book() as storage:
                storage.leases.leave(self.holder.worker.worker_id)
        except TrialbookError as error:
            # It ends for this very reason, or the book learns by the silence that it has left.
            self._troubles.append(f"the book was not told that the worker left: {error.what}")

    def close(self) -> None:
        """Close the book."""
        self._storage.close()

    @contextmanager
    def book(self) -> Iterator[BookStorage]:
        """The book, for as long as the block lasts; the thread waits meanwhile."""
        with self._turn:
            self._resting = False
            try:
                yield self._storage
            finally:
                self._used_s = time.monotonic()

    def hold(self, claim: Claim) -> None:
        """A trial was claimed: renew its lease from now on."""
        with self._turn:
            self._claim = claim
            self._is_lost = False

    def let_go(self) -> None:
        """The trial is over."""
        with self._turn:
            self._claim = None
            self._is_lost = False

    @property
    def is_lost(self) -> bool:
        """Whether the trial that is held here has been given to another, or has ended."""
        return self._is_lost

    @property
    def is_recalled(self) -> bool:
        """Whether somebody has asked the worker through the book to leave, as last looked."""
        return self._is_recalled

    def look(self) -> None:
        """See whether something is asked of the worker, unless that was done a moment ago."""
        if time.monotonic() - self._looked_s < _LOOK_S:
            return
        with self.book() as storage:
            self._look(storage)

    def _look(self, storage: BookStorage) -> None:
        self._is_recalled = storage.launches.asked(self.holder.worker.worker_id) == DRAIN
        self._looked_s = time.monotonic()

    def reaped(self) -> list[Reaped]:
        """Trials of others that were ended here since the last call."""
        return [self._reaped.popleft() for _ in range(len(self._reaped))]

    def troubles(self) -> list[str]:
        """What did not work since the last call, in words."""
        return [self._troubles.popleft() for _ in range(len(self._troubles))]

    def rest(self) -> None:
        """Close a connection that has been idle for a while; call it while waiting."""
        if self._resting or time.monotonic() - self._used_s < _REST_S:
            return
        self._rest()

    def _rest(self) -> None:
        if self._turn.acquire(blocking=False):
            try:
                self._resting = True
                self._storage.book.rest()
            finally:
                self._turn.release()

    def reap(self) -> None:
        """End the expired leases of the study, unless this process has just been asleep.

        A moment after the last time there is nothing to be done: trials may take milliseconds.
        """
        if self._drowsiness.lasts() or time.monotonic() - self._reaped_s < _REAP_S:
            return
        with self.book() as storage:
            self._reaped.extend(storage.reap(self._study_id))
        self._reaped_s = time.monotonic()

    def _run(self) -> None:
        interval_s = self.holder.lease_s / RENEWALS_PER_LEASE
        wait_s = interval_s
        while not self._wake.wait(wait_s) and not self._stopping:
            wait_s = interval_s
            try:
                self._renew()
                self.reap()
                self._troubled = False
                if self._claim is not None:
                    self._rest()
            except Exception as error:  # whatever it is, the lease must not run out in silence
                wait_s = min(interval_s, _AGAIN_S)
                if not self._troubled:
                    what = error.what if isinstance(error, TrialbookError) else repr(error)
                    self._troubles.append(f"a lease could not be renewed: {what}")
                self._troubled = True

    def _renew(self) -> None:
        with self.book() as storage:
            claim = self._claim
            attempts = [] if claim is None else [claim.attempt_id]
            worker = self.holder.worker.worker_id
            held = storage.leases.renew(worker, attempts, self.holder.lease_s)
            self._is_lost = claim is not None and claim.attempt_id not in held
            self._look(storage)
