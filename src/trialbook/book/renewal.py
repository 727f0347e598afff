"""The thread that renews the leases of attempts which this process itself holds.

It serves ``study.optimize`` in the user's own process, and sees to expired leases of others at the
same time. Code that holds the interpreter's lock for longer than a lease stops it; a supervised
worker renews from another process.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from typing import Protocol

from trialbook.book.leases import Leases
from trialbook.records.workers import RENEWALS_PER_LEASE, Holder

_AGAIN_S = 2.0
"""Seconds until a renewal that failed is tried again, if that is sooner."""

_PARKED_S = 5.0


class Drowsiness:
    """Whether this process has just been asleep: stopped, or together with its machine.

    Whoever wakes up finds the leases of all expired that slept beside it. It leaves them alone for
    a while, so that their owners, who wake up at the same time, renew them first.

    Args:
        interval_s: How often ``lasts`` is asked at the least.
    """

    def __init__(self, interval_s: float) -> None:
        self._longest_s = 2 * interval_s
        self._looked_s = time.time()
        self._until_s = 0.0

    def lasts(self) -> bool:
        """Whether expired leases of others are to be left alone for now."""
        # The time of day goes on while a machine sleeps; the monotonic clock of Linux does not.
        now = time.time()
        passed_s, self._looked_s = now - self._looked_s, now
        if not 0 <= passed_s <= self._longest_s:
            self._until_s = time.monotonic() + self._longest_s
        return time.monotonic() < self._until_s


class Held(Protocol):
    """What is needed of an attempt."""

    attempt_id: int
    study_id: int
    holder: Holder | None


class Renewal:
    """Renews leases in time.

    Args:
        leases: The book's leases.
        held: Gives the attempts that this process holds now; ``None`` when nobody can hold any
            more, which ends the thread.
        reap: Ends the expired leases of a study.
        failed: Called with the error of a renewal that failed; it is tried again soon.
    """

    def __init__(
        self,
        leases: Leases,
        held: Callable[[], Collection[Held] | None],
        reap: Callable[[int], object],
        failed: Callable[[Exception], None],
    ) -> None:
        self._leases = leases
        self._held = held
        self._reap = reap
        self._failed = failed
        self._start_lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._interval_s = _PARKED_S
        self._drowsiness = Drowsiness(_PARKED_S)

    def begin(self, holder: Holder) -> None:
        """An attempt with a lease has begun: see that it is renewed."""
        due_s = holder.lease_s / RENEWALS_PER_LEASE
        if self._thread is None:
            with self._start_lock:
                if self._thread is None:
                    self._interval_s = due_s
                    self._drowsiness = Drowsiness(due_s)
                    self._start()
        elif due_s < self._interval_s:
            self._interval_s = due_s
            self._drowsiness = Drowsiness(due_s)
            self._wake.set()

    def _start(self) -> None:
        # Each thread has a sign of its own, so that one that is to stop does.
        self._stopping = stopping = threading.Event()
        thread = threading.Thread(
            target=self._run, args=(stopping,), name="trialbook-leases", daemon=True
        )
        thread.start()
        self._thread = thread

    def stop(self) -> None:
        """End the thread; leases run out by themselves."""
        with self._start_lock:
            thread, self._thread = self._thread, None
            self._stopping.set()
        self._wake.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self, stopping: threading.Event) -> None:
        wait_s = self._interval_s
        while True:
            self._wake.wait(wait_s)
            self._wake.clear()
            if stopping.is_set():
                return
            held = self._held()
            if held is None:
                return
            wait_s = self._interval_s
            try:
                self._renew(held)
            except Exception as error:
                self._failed(error)
                wait_s = min(wait_s, _AGAIN_S)

    def _renew(self, held: Collection[Held]) -> None:
        by_holder: dict[Holder, list[Held]] = {}
        for attempt in held:
            if attempt.holder is not None:
                by_holder.setdefault(attempt.holder, []).append(attempt)
        for holder, attempts in by_holder.items():
            ids = [attempt.attempt_id for attempt in attempts]
            self._leases.renew(holder.worker.worker_id, ids, holder.lease_s)
        if self._drowsiness.lasts():
            return
        for study_id in {attempt.study_id for attempt in held}:
            self._reap(study_id)
