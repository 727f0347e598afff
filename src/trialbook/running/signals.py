"""Signals that ask a run to stop: heard by every process of it, never fatal to one.

A scheduler sends them to all processes of a job at once, so each of them must stay alive to do its
part. They are blocked while a process is started, until it hears them.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

Handler = Callable[[int, FrameType | None], None]

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)

TOGETHER_S = 1.0
"""Signals within this time are one request: ``timeout`` and init systems send two at once."""


class StopRequests:
    """Counts how often this process was asked to stop.

    Attributes:
        count: How often.
        name: Name of the last signal.
    """

    def __init__(self) -> None:
        self.count = 0
        self.name = ""
        self._last_s: float | None = None

    def heard(self, number: int, _: FrameType | None) -> None:
        """A signal handler."""
        now = time.monotonic()
        if self._last_s is None or now - self._last_s >= TOGETHER_S:
            self._last_s = now
            self.name = signal.Signals(number).name
            self.count += 1


def hear(handler: Handler) -> None:
    """Let a handler have the signals, except those that are ignored here, as under ``nohup``.

    It is a handler and not ``SIG_IGN`` even for a process that is to do nothing, because what is
    ignored stays so in the processes that the user's code starts.
    """
    for number in STOP_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


@contextmanager
def held_back() -> Iterator[None]:
    """Block the signals in this thread, and in a process that is started meanwhile."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class TrialSignals:
    """The signals in a process that runs the user's code.

    Processes that the user's code forks get the default dispositions back: a data loader's worker
    is ended by SIGTERM, even by one that comes at once.

    Args:
        asked: Called when the process is asked to stop.
    """

    def __init__(self, asked: Callable[[], None]) -> None:
        self._asked = asked
        self._forking = threading.local()

    def install(self) -> None:
        """Hear the signals in this process, and in none that is forked from it."""
        self.hear()
        os.register_at_fork(
            before=self._block, after_in_parent=self._unblock, after_in_child=self._forget
        )

    def hear(self) -> None:
        """Hear them in a fork that runs a trial."""
        hear(self._heard)

    def _heard(self, _: int, __: FrameType | None) -> None:
        self._asked()

    def _block(self) -> None:
        # What comes in between would be heard by a handler that is about to go.
        self._forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)

    def _unblock(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._forking.mask)

    def _forget(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in STOP_SIGNALS:
                if signal.getsignal(number) == self._heard:
                    signal.signal(number, signal.SIG_DFL)
        self._unblock()
