"""What an attempt used: CPU time, peak memory, GPU memory. Two readings, no thread, no sampling.

CPU time is that of the process, all its threads, and of the children that it has waited for. Peak
memory is the process's (``getrusage``), exact for the attempt when the process was never larger
before; where an earlier trial of the same process was, the gap says so. Nothing is reset, because
``/usr/bin/time`` and batch systems read the same counters.
"""

from __future__ import annotations

import os
import resource
import sys
from dataclasses import dataclass
from typing import Any

_RUSAGE_UNIT = 1 if sys.platform == "darwin" else 1024
_SLACK_BYTES = 2 * 2**20
_OTHER_GPU_LIBRARIES = ("cupy", "jax", "tensorflow", "numba.cuda")


@dataclass(frozen=True, slots=True)
class Resources:
    """What an attempt used.

    Args:
        cpu_s: CPU seconds, user and system, of the process and of children it waited for.
        peak_memory_bytes: Peak resident memory of the process, children left out.
        gpu_memory_bytes: Peak memory that PyTorch allocated on all devices; ``None`` when it did
            not use a GPU.
        gaps: What could not be observed, one sentence each.
    """

    cpu_s: float
    peak_memory_bytes: int
    gpu_memory_bytes: int | None
    gaps: tuple[str, ...] = ()


class ResourceMeter:
    """Measures one attempt; ``start`` and ``stop`` take some microseconds each."""

    def __init__(self) -> None:
        self._cpu_s = 0.0
        self._peak_bytes = 0
        self._resident_bytes: int | None = None
        self._gpu_peak_bytes: int | None = None

    def start(self) -> None:
        """Take the first reading, just before the objective runs."""
        self._gpu_peak_bytes = _gpu_peak_bytes()
        self._peak_bytes = _peak_bytes()
        self._resident_bytes = _resident_bytes()
        self._cpu_s = _cpu_s()

    def stop(self) -> Resources:
        """Take the second reading, just after the objective ended."""
        cpu_s = _cpu_s() - self._cpu_s
        gaps: list[str] = []
        peak = _peak_bytes()
        fresh = (
            self._resident_bytes is not None
            and self._peak_bytes <= self._resident_bytes + _SLACK_BYTES
        )
        if peak <= self._peak_bytes and not fresh:
            gaps.append(
                "peak memory is an upper bound: the process had reached it before this attempt"
            )
        gpu = _gpu_peak_bytes()
        if gpu is not None and self._gpu_peak_bytes and gpu <= self._gpu_peak_bytes:
            gaps.append("GPU memory is an upper bound: PyTorch had reached it before this attempt")
        others = [name for name in _OTHER_GPU_LIBRARIES if name in sys.modules]
        if others:
            gaps.append(f"GPU memory of {', '.join(others)} is not measured")
        return Resources(max(cpu_s, 0.0), peak, gpu, tuple(gaps))


def _cpu_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RUSAGE_UNIT


def _resident_bytes() -> int | None:
    """Resident memory now; ``None`` where the kernel does not say it cheaply."""
    try:
        descriptor = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return int(os.read(descriptor, 256).split()[1]) * resource.getpagesize()
    finally:
        os.close(descriptor)


def _gpu_peak_bytes() -> int | None:
    """Peak of PyTorch's allocations over all devices; ``None`` without an initialised GPU."""
    torch: Any = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    try:
        if cuda is None or not cuda.is_initialized():
            return None
        return sum(int(cuda.max_memory_allocated(i)) for i in range(cuda.device_count()))
    except (RuntimeError, AttributeError):  # a device that failed, or a torch being imported
        return None
