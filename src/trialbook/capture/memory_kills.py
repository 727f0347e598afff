"""How many processes near this one the kernel has killed for want of memory.

A process that the kernel kills cannot tell; SIGKILL alone may have come from anybody. The control
group that a process belongs to counts such kills (``oom_kill`` of ``memory.events`` in version 2,
of ``memory.oom_control`` in version 1), so a count that rose while a trial died is the evidence.
"""

from __future__ import annotations

import sys
from pathlib import Path

from trialbook.capture.imports import unwatched

_KEY = "oom_kill"


def memory_kills(root: Path = Path("/")) -> int | None:
    """Kills for want of memory in this process's control group; ``None`` where nobody counts.

    Args:
        root: Where the file system begins.
    """
    if not sys.platform.startswith("linux"):
        return None
    with unwatched():
        for file in _counters(root):
            try:
                text = file.read_text()
            except OSError:
                continue
            for line in text.splitlines():
                name, _, count = line.partition(" ")
                if name == _KEY and count.strip().isdecimal():
                    return int(count)
    return None


def _counters(root: Path) -> list[Path]:
    """Files that may count, the most particular first."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    mounts = root / "sys/fs/cgroup"
    files: list[Path] = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        inside = path.lstrip("/")
        if "memory" in controllers.split(","):
            # In a container the path may be the host's, while the mount shows the container's own.
            files = [mounts / "memory" / place / "memory.oom_control" for place in (inside, "")]
            break
        if not controllers:
            files += [
                mounts / mount / place / "memory.events"
                for mount in ("", "unified")
                for place in (inside, "")
            ]
    return files
