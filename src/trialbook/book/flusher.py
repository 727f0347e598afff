"""The thread that writes what attempts have pending, so that a killed process loses little.

It sleeps while nobody holds a trial. It polls, so that a trial which is over in milliseconds does
not have to wake it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from typing import Protocol

POLL_S = 0.1
WAIT_S = 0.3
"""How long a report may wait, seen from a poll: with the poll and the write below 0.5 s."""
URGENT_S = 0.01
"""How long params and system attributes are gathered before they are written."""
_IDLE_POLLS = 20
_RETRY_S = 2.0


class Pending(Protocol):
    """What the flusher needs of an attempt."""

    def due(self, now: float) -> bool:
        """Whether something has waited long enough."""

    def urgent(self) -> bool:
        """Whether something is pending that others look at."""

    def flush(self) -> None:
        """Write what is pending."""


class Flusher:
    """Flushes attempts in time.

    Args:
        held: Gives the attempts that this process holds now.
        failed: Called with the error of a flush that failed; it is tried again later.
    """

    def __init__(
        self, held: Callable[[], Collection[Pending]], failed: Callable[[Exception], None]
    ) -> None:
        self._held = held
        self._failed = failed
        self._start_lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._parked = True
        self._stopping = False

    def begin(self) -> None:
        """An attempt has begun: see that the thread looks."""
        if self._parked:
            self._parked = False
            with self._start_lock:
                if self._thread is None:
                    self._stopping = False
                    self._thread = threading.Thread(
                        target=self._run, name="trialbook-flusher", daemon=True
                    )
                    self._thread.start()
            self._wake.set()

    def urgent(self) -> None:
        """Something is pending that other processes look at."""
        if not self._wake.is_set():
            self._wake.set()

    def stop(self) -> None:
        """End the thread; what is pending stays pending."""
        with self._start_lock:
            thread, self._thread = self._thread, None
            self._stopping = True
            self._parked = True
        self._wake.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        idle = 0
        while not self._stopping:
            if self._wake.wait(None if self._parked else POLL_S):
                self._wake.clear()
                time.sleep(URGENT_S)
            try:
                held = self._held()
                idle = 0 if held else idle + 1
                self._flush(held)
            except Exception as error:
                self._failed(error)
                time.sleep(_RETRY_S)
            if idle >= _IDLE_POLLS:
                self._parked = True
                if self._held():  # one may have begun just before it was said
                    self._parked = False
                idle = 0

    def _flush(self, held: Collection[Pending]) -> None:
        now = time.monotonic()
        for attempt in held:
            if attempt.due(now):
                attempt.flush()
            elif attempt.urgent():
                self._wake.set()
