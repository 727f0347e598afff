"""What a run is asked by signals: Ctrl-C, counted, and those that ask it to stop.

What is done about it is decided in ``coordinator.py``.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from trialbook.running.signals import STOP_SIGNALS, Handler, StopRequests


class Interruptions:
    """Counts what the user and a scheduler ask.

    Args:
        give_up: Called when it is asked twice: who does so waits for no server either.

    Attributes:
        presses: How often Ctrl-C was pressed.
        requests: The signals that asked to stop.
    """

    def __init__(self, give_up: Callable[[], None]) -> None:
        self._give_up = give_up
        self.presses = 0
        self.requests = StopRequests()

    @property
    def heard(self) -> int:
        """How often it was asked, in which way ever."""
        return self.presses + self.requests.count

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count Ctrl-C instead of raising, and the signals that ask a run to stop."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def heard(number: int, frame: FrameType | None) -> None:
            if number == signal.SIGINT:
                self.presses += 1
            else:
                self.requests.heard(number, frame)
            if self.heard > 1:
                self._give_up()

        handlers: dict[signal.Signals, Handler] = dict.fromkeys(
            (signal.SIGINT, *STOP_SIGNALS), heard
        )
        before = {
            number: signal.signal(number, handler)
            for number, handler in handlers.items()
            if signal.getsignal(number) is not signal.SIG_IGN  # as under nohup
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
