"""How many threads each of several workers on one machine takes, so that they share its cores.

A numeric library takes a thread for every core unless it is told otherwise; several workers then
fight for the same cores.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
"""What OpenMP and the numeric libraries read before they are loaded."""


def thread_shares(environment: Mapping[str, str], workers: int, cores: int) -> dict[str, str]:
    """Variables for each of the workers.

    Args:
        environment: Where the user may have set some already. Who has set one knows how many
            threads there are to be, and most libraries read ``OMP_NUM_THREADS`` when their own is
            not set: then none is added.
        workers: Number of workers, at least 1.
        cores: Cores that they share.
    """
    if any(environment.get(variable) for variable in THREAD_VARIABLES):
        return {}
    return dict.fromkeys(THREAD_VARIABLES, str(max(1, cores // workers)))


def usable_cores(root: Path = Path("/")) -> int:
    """Cores that this process may use: its affinity, and the quota of its control group.

    Args:
        root: Where the file system begins.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    quota = _quota(root)
    return cores if quota is None else max(1, min(cores, math.floor(quota)))


def _quota(root: Path) -> float | None:
    """CPU seconds a second that the control groups allow, ``None`` for no limit (Linux)."""
    try:
        line = next(
            line
            for line in (root / "proc/self/cgroup").read_text().splitlines()
            if line.startswith("0::")
        )
    except (OSError, StopIteration):
        return _quota_of_version_1(root / "sys/fs/cgroup/cpu")
    top = root / "sys/fs/cgroup"
    group = top / line[3:].strip("/")
    found: list[float] = []
    for place in (group, *group.parents):
        found += _limit_of(place / "cpu.max")
        if place == top:
            break
    return min(found, default=None)


def _limit_of(file: Path) -> list[float]:
    try:
        most, period = file.read_text().split()
        return [] if most == "max" else [int(most) / int(period)]
    except (OSError, ValueError):
        return []


def _quota_of_version_1(place: Path) -> float | None:
    try:
        most = int((place / "cpu.cfs_quota_us").read_text())
        period = int((place / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
    return most / period if most > 0 and period > 0 else None
