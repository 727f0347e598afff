"""Whether a process that has imported an objective may be forked for each of its trials.

A fork costs milliseconds, and hangs for ever in the child when the parent has used OpenMP (libgomp
keeps its pool but not its threads), has initialised CUDA, or holds locks in threads. So nothing is
assumed: threads are counted, open GPU devices looked for, and each OpenMP runtime that is mapped
is made to run a parallel region in a child that may hang without harm. What is not shown safe
gets a fresh interpreter instead.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

PROBE_DEADLINE_S = 2.0
"""How long a probe may take before it counts as hanging; it takes a millisecond otherwise."""

_OPENMP = ("libgomp", "libomp", "libiomp5")
_GPU_DEVICES = ("/dev/nvidia", "/dev/kfd")
_SETTLE_S = 0.05


@dataclass(frozen=True, slots=True)
class ForkSafety:
    """Whether this process may be forked, and why or why not, in one sentence."""

    safe: bool
    reason: str


def fork_safety() -> ForkSafety:
    """Look at this process and try what forked children of it would do.

    Call it in the main thread, after the objective was imported. Forks short-lived children.
    """
    if not sys.platform.startswith("linux"):
        return ForkSafety(False, "fork is shown safe on Linux only")
    for check in (_python_threads, _gpu_in_use, _other_threads, _openmp_hangs):
        reason = check()
        if reason is not None:
            return ForkSafety(False, reason)
    tried = len(mapped_openmp())
    probes = f"{tried} OpenMP {'runtime' if tried == 1 else 'runtimes'} tried" if tried else ""
    return ForkSafety(True, "no threads, no GPU in use" + (f", {probes}" if probes else ""))


def forked() -> int:
    """``os.fork`` without Python's remark about threads, which ``fork_safety`` has looked into."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _python_threads() -> str | None:
    names = [t.name for t in threading.enumerate() if t is not threading.main_thread()]
    if not names:
        return None
    return f"importing the objective started {len(names)} Python thread(s): {', '.join(names[:3])}"


def _gpu_in_use() -> str | None:
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    if cuda is not None and cuda.is_initialized():
        return "importing the objective initialised CUDA"
    for entry in _entries("/proc/self/fd"):
        try:
            target = str(Path(entry).readlink())
        except OSError:
            continue  # the descriptor of the listing itself
        if target.startswith(_GPU_DEVICES):
            return f"importing the objective opened a GPU ({target})"
    return None


def _other_threads() -> str | None:
    """Threads below Python that a fork does not stop.

    OpenBLAS ends its pool in a ``pthread_atfork`` handler, which runs in the parent, so right
    after a fork what is left in the parent are the threads that know nothing of forks.
    """
    pid = forked()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    deadline = time.monotonic() + _SETTLE_S
    while True:
        left = len(_entries("/proc/self/task")) - threading.active_count()
        if left <= 0:
            return None
        if time.monotonic() > deadline:
            used = mapped_openmp()
            by = f" (OpenMP was used: {Path(used[0]).name})" if used else ""
            return f"importing the objective left {left} thread(s) running below Python{by}"
        time.sleep(0.001)  # a joined thread leaves /proc a moment after it was joined


def _openmp_hangs() -> str | None:
    for path in mapped_openmp():
        if not hasattr(ctypes.CDLL(path), "GOMP_parallel"):
            return f"the OpenMP runtime {Path(path).name} cannot be tried"
        if not parallel_region_returns(path):
            return f"OpenMP was used before ({Path(path).name}): a forked trial would hang"
    return None


def parallel_region_returns(library: str, deadline_s: float = PROBE_DEADLINE_S) -> bool:
    """Whether a parallel region of two threads ends in a forked child of this process.

    Args:
        library: Path of a mapped OpenMP runtime that has ``GOMP_parallel``.
        deadline_s: Seconds until the child counts as hanging and is killed.
    """
    runtime = ctypes.CDLL(library)
    harmless = ctypes.cast(ctypes.CDLL(None).free, ctypes.c_void_p)
    pid = forked()
    if pid == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(int(deadline_s) + 5)  # never outlives a killed parent
        try:
            # void GOMP_parallel(void (*fn)(void *), void *data, unsigned threads, unsigned flags)
            runtime.GOMP_parallel(harmless, None, ctypes.c_uint(2), ctypes.c_uint(0))
        finally:
            os._exit(0)
    return _ended_well(pid, deadline_s)


def _ended_well(pid: int, deadline_s: float) -> bool:
    deadline = time.monotonic() + deadline_s
    pause_s = 0.0005
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status) == 0
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return False
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, 0.02)


def mapped_openmp() -> tuple[str, ...]:
    """Paths of the OpenMP runtimes in this process's memory, sorted."""
    paths: set[str] = set()
    with Path("/proc/self/maps").open(encoding="utf-8", errors="surrogateescape") as maps:
        for line in maps:
            path = line.rstrip("\n").partition("/")
            if path[1] and Path(path[2]).name.startswith(_OPENMP):
                paths.add("/" + path[2])
    return tuple(sorted(paths))


def _entries(directory: str) -> list[str]:
    with os.scandir(directory) as entries:
        return [entry.path for entry in entries]
