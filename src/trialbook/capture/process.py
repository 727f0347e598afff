"""Which process this is, so that another one can tell later whether it is gone.

A process id alone says little: the number is used again, another container has its own numbers,
and a host that was started anew begins to count from one.
"""

from __future__ import annotations

import os
import secrets
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil

from trialbook.capture.imports import unwatched
from trialbook.capture.placement import batch_job
from trialbook.records.workers import Placement, WorkerIdentity

_TICKS_PER_S = 100
"""Unit of a start time where the kernel gives seconds."""


def observed_placement(environ: Mapping[str, str]) -> Placement:
    """The batch job that a process is part of.

    Args:
        environ: Its environment.
    """
    launcher, _, job = (batch_job(environ) or "local").partition(" ")
    return Placement(launcher, job or None)


def process_identity(
    worker_id: str | None = None, placement: Placement | None = None
) -> WorkerIdentity:
    """The identity of this process as a worker.

    Args:
        worker_id: Its id, ``None`` for a new random one.
        placement: What placed it, ``None`` for the batch job that it is part of.
    """
    pid = os.getpid()
    placed = observed_placement(os.environ) if placement is None else placement
    return WorkerIdentity(
        worker_id=worker_id or secrets.token_hex(16),
        host=socket.gethostname(),
        pid=pid,
        launcher=placed.launcher,
        job=placed.job,
        boot=boot_identity(),
        start_ticks=start_ticks(pid),
        launch=placed.launch,
    )


_own: WorkerIdentity | None = None


def own_identity() -> WorkerIdentity:
    """The identity of this process, the same at each call; a forked process has its own."""
    global _own
    if _own is None or _own.pid != os.getpid():
        _own = process_identity()
    return _own


def boot_identity() -> str | None:
    """Identity of this boot of the host and of the pid namespace; ``None`` where unknown."""
    with unwatched():
        if not sys.platform.startswith("linux"):
            return f"boot at {psutil.boot_time():.0f}"
        try:
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
            namespace = Path("/proc/self/ns/pid").stat().st_ino
        except OSError:
            return None
        return f"{boot} {namespace}"


def start_ticks(pid: int) -> int | None:
    """When the kernel started a process, in its own ticks; ``None`` where unknown or gone."""
    if sys.platform.startswith("linux"):
        fields = _stat_fields(pid)
        return None if fields is None else int(fields[_STARTTIME])
    try:
        return round(psutil.Process(pid).create_time() * _TICKS_PER_S)
    except psutil.Error:
        return None


def is_gone(worker: WorkerIdentity) -> bool:
    """Whether a worker's process has provably ended, as seen from here.

    ``False`` for whatever cannot be known: another host or container, and another boot, which may
    be that of another machine of the same name.
    """
    if worker.boot is None or (worker.host, worker.boot) != (socket.gethostname(), boot_identity()):
        return False
    try:
        os.kill(worker.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # it is there, and another user's
    if _is_zombie(worker.pid):
        return True
    now = start_ticks(worker.pid)
    return None not in (now, worker.start_ticks) and now != worker.start_ticks


_STATE = 0
_STARTTIME = 19
"""Places in ``/proc/PID/stat`` after the name in parentheses; field 3 is the first."""


def _stat_fields(pid: int) -> list[str] | None:
    with unwatched():
        try:
            text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        except OSError:
            return None
    # The name may hold spaces and parentheses.
    return text.rpartition(")")[2].split()


def _is_zombie(pid: int) -> bool:
    if sys.platform.startswith("linux"):
        fields = _stat_fields(pid)
        return fields is not None and fields[_STATE] in ("Z", "X")
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
