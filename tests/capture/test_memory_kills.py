"""Kills for want of memory, as control groups of both versions count them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trialbook.capture.memory_kills import memory_kills

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")


def tree(root: Path, membership: str, counter: str, text: str) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(membership)
    file = root / "sys/fs/cgroup" / counter
    file.parent.mkdir(parents=True)
    file.write_text(text)
    return root


@pytest.mark.parametrize(
    ("membership", "counter", "text"),
    [
        ("0::/job/7\n", "job/7/memory.events", "low 0\noom 5\noom_kill 3\noom_group_kill 0\n"),
        ("0::/\n", "memory.events", "oom_kill 3\n"),
        ("0::/../job\n", "memory.events", "oom_kill 3\n"),
        ("5:cpu:/\n4:cpuset,memory:/job\n0::/\n", "memory/job/memory.oom_control", "oom_kill 3\n"),
        ("4:memory:/docker/abc\n", "memory/memory.oom_control", "under_oom 0\noom_kill 3\n"),
    ],
    ids=["v2", "v2 root of a container", "v2 outside", "v1", "v1 in a container"],
)
def test_the_count_is_found(tmp_path: Path, membership: str, counter: str, text: str) -> None:
    assert memory_kills(tree(tmp_path, membership, counter, text)) == 3


def test_where_nobody_counts_nothing_is_known(tmp_path: Path) -> None:
    assert memory_kills(tmp_path) is None
    assert memory_kills(tree(tmp_path, "0::/\n", "other", "oom_kill 3\n")) is None


V1 = Path("/sys/fs/cgroup/memory")


@pytest.mark.skipif(not os.access(V1 / "cgroup.procs", os.W_OK), reason="needs a writable group")
def test_a_kill_by_the_kernel_is_counted() -> None:
    """A process in a group of 32 MiB takes more; its sibling in the group sees the count rise."""
    group = V1 / f"trialbook-test-{os.getpid()}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(64 * 2**20))
        code = (
            "import os, subprocess, sys\n"
            f"open({str(group / 'cgroup.procs')!r}, 'w').write(str(os.getpid()))\n"
            "from trialbook.capture.memory_kills import memory_kills\n"
            "before = memory_kills()\n"
            "hungry = 'x = bytearray(2**28)\\nfor i in range(0, 2**28, 4096): x[i] = 1'\n"
            "end = subprocess.run([sys.executable, '-c', hungry]).returncode\n"
            "print(before, memory_kills(), end)\n"
        )
        seen = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
        )
        if seen.stdout.split()[2:] != ["-9"]:
            pytest.skip("this kernel does not keep the limit")
        assert seen.stdout.split() == ["0", "1", "-9"]
    finally:
        group.rmdir()
