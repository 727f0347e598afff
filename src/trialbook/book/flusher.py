"""The thread that writes what attempts have pending, so that a killed process loses little.

It sleeps while nobody holds a trial. While trials are busy it polls often, so that nothing has to
wake it: a trial that is over in milliseconds costs no thread switch. Only when it has slowed down
does a write that others look at wake it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from typing import Protocol

FAST_POLL_S = 0.02
SLOW_POLL_S = 0.1
WAIT_S = 0.3
"""How long a report may wait, seen from a poll: with the poll and the write below 0.5 s."""
URGENT_S = 0.005
"""How long params and system attributes are gathered before they are written."""

_FAST_FOR_S = 1.0
_IDLE_FOR_S = 2.0
_PARKED_S = 5.0
"""How often a thread without work looks whether its storage is still there."""

_RETRY_S = 2.0


class Flushable(Protocol):
    """What the flusher needs of an attempt."""

    def due(self, now: float) -> bool:
        """Whether something has waited long enough; ``now`` is monotonic time in seconds."""

    def flush(self) -> None:
        """Write what is pending."""


class Flusher:
    """Flushes attempts in time.

    Args:
        held: Gives the attempts that this process holds now; ``None`` when nobody can hold any
            more, which ends the thread.
        failed: Called with the error of a flush that failed; it is tried again later.
    """

    def __init__(
        self, held: Callable[[], Collection[Flushable] | None], failed: Callable[[Exception], None]
    ) -> None:
        self._held = held
        self._failed = failed
        self._start_lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._touched = False
        self._slow = True
        self._stopping = threading.Event()

    def attend(self) -> None:
        """Something is pending: see that the thread is there, also after it was stopped."""
        if self._thread is None:
            with self._start_lock:
                if self._thread is None:
                    self._start()

    def _start(self) -> None:
        # Each thread has a sign of its own, so that one that is to stop does.
        self._stopping = stopping = threading.Event()
        thread = threading.Thread(
            target=self._run, args=(stopping,), name="trialbook-flusher", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # no new threads while the interpreter ends: it goes with the result
            return
        self._thread = thread

    def urgent(self) -> None:
        """An attempt has begun, others look at what is pending, or a buffer is full."""
        self.attend()
        self._touched = True
        if self._slow and not self._wake.is_set():
            self._wake.set()

    def stop(self) -> None:
        """End the thread; what is pending stays pending."""
        with self._start_lock:
            thread, self._thread = self._thread, None
            self._stopping.set()
        self._wake.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self, stopping: threading.Event) -> None:
        touched_at = busy_at = time.monotonic()
        while not stopping.is_set():
            now = time.monotonic()
            if self._touched:
                self._touched = False
                touched_at = busy_at = now
            self._slow = now - touched_at > _FAST_FOR_S
            if not self._slow:
                time.sleep(FAST_POLL_S)
            elif not self._touched:  # else it was touched while it was not said to be slow
                parked = now - busy_at > _IDLE_FOR_S
                self._wake.wait(_PARKED_S if parked else SLOW_POLL_S)
                self._wake.clear()
            try:
                held = self._held()
                if held is None:
                    return
                if held:
                    busy_at = time.monotonic()
                self._flush(held)
            except Exception as error:
                self._failed(error)
                time.sleep(_RETRY_S)

    def _flush(self, held: Collection[Flushable]) -> None:
        now = time.monotonic()
        for attempt in held:
            if attempt.due(now):
                attempt.flush()
