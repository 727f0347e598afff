"""The lock that orders the writers of an SQLite book: one ``flock``, a thread lock in front.

SQLite lets its writers poll, so that some starve; a ``flock`` queues them in their order. It lies
on a file of its own: closing another handle on the database would drop SQLite's own locks.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trialbook.errors import BookBusyError, BookReadOnlyError


class WriteLock:
    """One writer at a time, over all threads and processes of this machine.

    Args:
        path: The lock file; made when it is missing.
        timeout_s: How long to wait before the book counts as busy.
    """

    def __init__(self, path: Path, timeout_s: float) -> None:
        self._path = path
        self._timeout_s = timeout_s
        # One that knows its owner: a Ctrl-C may come right after it was acquired, when nothing
        # else says yet that it was.
        self._threads = threading.RLock()
        self._descriptor: int | None = None

    def after_fork(self) -> None:
        """In a forked child: leave the parent's lock alone and start anew."""
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None
        self._threads = threading.RLock()

    def close(self) -> None:
        """Close the lock file."""
        with self._threads:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock.

        Raises:
            BookBusyError: Another thread or process did not let go of it in time.
            BookReadOnlyError: The lock file cannot be made.
        """
        try:
            if not self._threads.acquire(timeout=self._timeout_s):
                raise self._busy()
            descriptor = self._acquired()
            try:
                yield
            finally:
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            # Not suppress(), within which another Ctrl-C could come first.
            try:  # noqa: SIM105
                self._threads.release()
            except RuntimeError:  # it was not acquired
                pass

    def _acquired(self) -> int:
        if self._descriptor is None:
            self._descriptor = self._opened()
        descriptor = self._descriptor
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._wait(descriptor)
        return descriptor

    def _opened(self) -> int:
        try:
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except PermissionError as error:
            raise self._unwritable(error) from error
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> BookReadOnlyError:
        return BookReadOnlyError(
            f"the book cannot be written ({error.strerror})",
            where=str(self._path.parent),
            hint="make the directory writable, or name another book with --storage",
        )

    def _wait(self, descriptor: int) -> None:
        """Queue for the lock in a thread, since ``flock`` itself knows no time limit."""
        waiter = _Waiter(descriptor)
        try:
            waiter.start()
        except RuntimeError:  # no new threads while the interpreter ends
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            return
        try:
            waiter.join(self._timeout_s)
        except BaseException:  # Ctrl-C: the thread must not come by a lock that nobody uses
            self._descriptor = None
            if not waiter.gave_up():
                os.close(descriptor)
            raise
        if not waiter.gave_up():
            return
        self._descriptor = None  # it now belongs to the waiter, which closes it
        raise self._busy()

    def _busy(self) -> BookBusyError:
        return BookBusyError(
            f"another process held the book for more than {self._timeout_s:g} s",
            where=str(self._path),
            hint="look for a stopped process that has the book open, then try again",
        )


class _Waiter(threading.Thread):
    def __init__(self, descriptor: int) -> None:
        super().__init__(name="trialbook-lock", daemon=True)
        self._descriptor = descriptor
        self._decision = threading.Lock()
        self._acquired = False
        self._given_up = False

    def run(self) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        with self._decision:
            self._acquired = True
            if self._given_up:
                os.close(self._descriptor)  # releases it

    def gave_up(self) -> bool:
        """Settle the matter: whether nobody waits any more for what has not come."""
        with self._decision:
            self._given_up = not self._acquired
            return self._given_up
