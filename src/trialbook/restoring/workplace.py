"""A directory of one process, gone with it: where a worker's copy of the code lies.

Each worker has a copy of its own, since a trial may write into its working directory. The process
holds a lock on it; one that nobody holds was left behind by a process that was killed, and the next
worker of the same user on this machine removes it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "trialbook-worker-"
_YOUNG_S = 60.0
"""A directory this young may have been made by a process that is about to lock it."""


@contextmanager
def workplace() -> Iterator[Path]:
    """A new directory, removed at the end with everything in it.

    Raises:
        OSError: It cannot be made.
    """
    remove_left_behind(Path(tempfile.gettempdir()))
    directory = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        os.close(descriptor)


def remove_left_behind(directory: Path, young_s: float = _YOUNG_S) -> None:
    """Remove this user's workplaces below a directory that no process holds any more.

    Args:
        directory: Where they are made.
        young_s: Those that were changed in the last so many seconds stay.
    """
    try:
        found = [entry for entry in os.scandir(directory) if entry.name.startswith(PREFIX)]
    except OSError:
        return
    for entry in found:
        try:
            descriptor = os.open(
                entry.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            )
        except OSError:
            continue  # gone by now, or another user's
        try:
            status = os.fstat(descriptor)
            is_old = time.time() - status.st_mtime >= young_s
            if status.st_uid == os.geteuid() and is_old and _is_free(descriptor):
                shutil.rmtree(entry.path, ignore_errors=True)
        finally:
            os.close(descriptor)


def _is_free(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
