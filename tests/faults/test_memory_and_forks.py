"""Trials that the kernel kills for want of memory, and objectives that fork and use threads."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trialbook.records.execution import EndReason
from trialbook.testing import invariants

from .supervised import Lab

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's"),
]

LIMIT_BYTES = 600 << 20


@pytest.fixture
def memory_group() -> Iterator[Path]:
    """A control group with a limit of memory, for those who may make one."""
    group: Path | None = None
    for root, limit in (
        (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
        (Path("/sys/fs/cgroup"), "memory.max"),
    ):
        group = root / f"trialbook-test-{os.getpid()}"
        try:
            group.mkdir()
            (group / limit).write_text(str(LIMIT_BYTES))
            break
        except OSError:
            if group.exists():
                group.rmdir()
            group = None
    if group is None:
        pytest.skip("no control group of memory can be made here")
    yield group
    group.rmdir()


def test_a_trial_that_the_kernel_kills_for_memory_is_tried_once_more(
    tmp_path: Path, url: str, memory_group: Path
) -> None:
    lab = Lab(tmp_path, url)
    lab.write(
        """
        def objective(trial):
            trial.log({"loss": 1.0})
            held = []
            while trial.number == 0:
                held.append(bytearray(b"x" * (16 << 20)))
            return 0.0
        """,
        "budget: {trials: 2}\nretries: {backoff_s: 0}\n",
    )
    shell = shutil.which("sh")
    assert shell is not None
    enter = f'echo $$ > {memory_group}/cgroup.procs; exec "$@"'
    run = lab.begin(before=[shell, "-c", enter, "sh"])
    try:
        said, _ = run.communicate(timeout=120)
    finally:
        lab.end()
    assert run.returncode == 0, said
    first, second = lab.trials()
    assert (first.state, second.state) == ("FAIL", "COMPLETE")
    assert [a.end_reason for a in first.attempts] == [EndReason.OUT_OF_MEMORY] * 2
    assert first.attempts[0].outcome is not None
    assert first.attempts[0].outcome.signal == "SIGKILL"
    assert invariants(url, overdue_s=0.25) == []


def test_forks_and_threads_of_an_objective_that_die_cost_nothing(tmp_path: Path, url: str) -> None:
    """Threads log beside a forked process, which is killed wherever it happens to be."""
    lab = Lab(tmp_path, url)
    lab.write(
        """
        import os, signal, threading, time
        def objective(trial):
            x = trial.suggest_float("x", 0, 1)
            read, write = os.pipe()
            pid = os.fork()
            if pid == 0:
                try:
                    for step in range(10**9):
                        trial.log({"child": x}, step=step)
                        os.write(write, b".")
                finally:
                    os._exit(1)
            def log(name):
                for step in range(300):
                    trial.log({name: x}, step=step)
            threads = [threading.Thread(target=log, args=(f"t{k}",)) for k in range(3)]
            for thread in threads:
                thread.start()
            seen = 0
            while seen < 5:
                seen += len(os.read(read, 100))
            time.sleep(0.01 * trial.number)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(write)
            while more := os.read(read, 1000):
                seen += len(more)
            for thread in threads:
                thread.join()
            trial.set_user_attr("seen", seen)
            return x
        """,
        "budget: {trials: 4}\n",
    )
    status, said = lab.run()
    assert status == 0, said
    for trial in lab.trials():
        assert trial.state == "COMPLETE"
        counts = {s.metric: s.count for s in trial.series}
        assert [counts[f"t{k}"] for k in range(3)] == [300] * 3
        # What the forked process was told to be kept, and at most one point whose answer it missed.
        assert trial.user_attrs["seen"] <= counts["child"] <= trial.user_attrs["seen"] + 1
    assert invariants(url, overdue_s=0.25) == []
