"""A gate between forks and the database: no fork while another thread is inside SQLite.

SQLite has mutexes of its own, in C. A child that is forked while another thread holds one can
never use SQLite. So whoever enters SQLite is counted, and a fork waits for the others to be out.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from types import TracebackType

PATIENCE_S = 10.0
"""How long a fork waits; then it takes its chance, as it would have without the gate."""


def abandon(thing: object) -> None:
    """Keep an object for ever: closing what a fork inherited would touch what is the parent's."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


class ForkGate:
    """Counts the threads that are inside; as a context manager, one of them.

    A thread may enter again when it is inside already, and may fork from there. A lock that is
    taken inside must not be held by anybody who enters: the fork would wait for both.
    """

    def __init__(self) -> None:
        self._own = threading.local()
        self._inside = 0
        self._start()

    def _start(self) -> None:
        self._changed = threading.Condition()
        self._forking: int | None = None

    def _depth(self) -> int:
        return getattr(self._own, "depth", 0)

    def __enter__(self) -> None:
        depth = self._depth()
        with self._changed:
            # The thread that forks may come here too, when garbage is collected meanwhile.
            while self._forking not in (None, threading.get_ident()) and not depth:
                self._changed.wait()
            self._inside += 1
        self._own.depth = depth + 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._own.depth = self._depth() - 1
        with self._changed:
            self._inside -= 1
            if self._forking is not None:
                self._changed.notify_all()

    def before_fork(self) -> None:
        """Keep others from entering, and wait until they are out."""
        deadline = time.monotonic() + PATIENCE_S
        with self._changed:
            self._forking = threading.get_ident()
            while self._inside > self._depth():
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    return

    def after_fork_in_parent(self) -> None:
        """Let the others in again."""
        with self._changed:
            self._forking = None
            self._changed.notify_all()

    def after_fork_in_child(self) -> None:
        """Only this thread is here."""
        self._inside = self._depth()
        self._start()


GATE = ForkGate()
"""The gate of this process."""

os.register_at_fork(
    before=GATE.before_fork,
    after_in_parent=GATE.after_fork_in_parent,
    after_in_child=GATE.after_fork_in_child,
)
