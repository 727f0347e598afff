"""Stopping processes (``SIGSTOP``) where they cannot hold a book up."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from trialbook.book.storage import BookStorage


def stop_outside_a_transaction(storage: BookStorage, *pids: int) -> None:
    """Stop processes while none of them can have the book's write lock, which all would wait for.

    A process that is stopped in the middle of a transaction holds up an SQLite book until it goes
    on (docs/limits.md); no test can outlast that. The lock is kept until every thread has stopped:
    one that waits for it would otherwise still get it on its way to the stop.
    """
    with storage.book.writing():
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        deadline_s = time.monotonic() + 60
        while not all(_stopped(pid) for pid in pids):
            assert time.monotonic() < deadline_s, "they do not stop"
            time.sleep(0.001)


def _stopped(pid: int) -> bool:
    """Whether every thread of a process is stopped, or has ended."""
    states = set()
    for thread in Path(f"/proc/{pid}/task").glob("*/stat"):
        try:
            states.add(thread.read_text().rsplit(")", 1)[1].split()[0])
        except (FileNotFoundError, ProcessLookupError):
            continue
    return states <= {"T", "t", "Z", "X"}
