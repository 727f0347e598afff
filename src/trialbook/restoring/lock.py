"""A lock between processes of this user, for what several of them would make at the same time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Tell = Callable[[str], None]


@contextmanager
def locked(path: Path, tell: Tell, what: str) -> Iterator[None]:
    """Hold a lock; the kernel lets go of it when this process dies.

    Args:
        path: Its file, made when it is not there.
        tell: Is told when another process has to be waited for.
        what: What that one does: ``builds the same environment``.

    Raises:
        OSError: The file cannot be made, or its file system has no locks.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell(f"waiting for another process that {what}")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
