"""What it costs to observe the code: a repository of 1,000 files, in fresh processes.

    python benchmarks/capture.py [--repeat 5]

Prints the first observation of a worker, cold (an empty cache) and warm, the check before each
trial, and what the import watch adds to opening a file. ``git status`` on the same tree is the
peer: it lists and compares the same files, and reads none that did not change.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FILES = 1000
LINES = 120

CHILD = """
import json, os, sys, time
from pathlib import Path
sys.path.insert(0, os.getcwd())
import part_0.module_0, part_1.module_1
from trialbook.capture.code import CodeProbe
began = time.perf_counter()
probe = CodeProbe(Path.cwd())
probe.observe()
first = time.perf_counter() - began
began = time.perf_counter()
for _ in range(10_000):
    probe.changed()
check = (time.perf_counter() - began) / 10_000
print(json.dumps([first, check]))
"""

OPENING = """
import sys, time
{install}
began = time.perf_counter()
for _ in range(20_000):
    open({path!r}).close()
print((time.perf_counter() - began) / 20_000)
"""


def made_repository(root: Path) -> None:
    """A repository with files of about 5 KiB in 25 packages."""
    for number in range(FILES):
        package = root / f"part_{number % 25}"
        package.mkdir(parents=True, exist_ok=True)
        lines = [f"def function_{n}(x):  # {number}\n    return x + {n}\n" for n in range(LINES)]
        (package / f"module_{number}.py").write_text("".join(lines))
    for command in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=b", "-c", "user.email=b@example.org", "commit", "-q", "-m", "all"],
    ):
        subprocess.run(["git", *command], cwd=root, check=True)


def measured(root: Path, cache: Path) -> tuple[float, float]:
    """Seconds of the first observation, and of one check afterwards."""
    output = subprocess.run(
        [sys.executable, "-c", CHILD],
        cwd=root,
        env=os.environ | {"XDG_CACHE_HOME": str(cache)},
        check=True,
        capture_output=True,
    ).stdout
    first, check = json.loads(output)
    return first, check


def opening(path: Path, *, watched: bool) -> float:
    """Seconds to open and close a file once."""
    install = "from trialbook.capture.imports import install_import_watch; install_import_watch()"
    program = OPENING.format(install=install if watched else "", path=str(path))
    return float(
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout
    )


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeat", type=int, default=5, help="runs of each, the median is shown")
    repeat: int = parser.parse_args().repeat
    with tempfile.TemporaryDirectory() as folder:
        root, cache = Path(folder) / "repository", Path(folder) / "cache"
        made_repository(root)
        time.sleep(2.1)  # until no file is racy
        cold, _ = measured(root, cache)
        runs = [measured(root, cache) for _ in range(repeat)]
        status = []
        for _ in range(repeat):
            began = time.perf_counter()
            subprocess.run(["git", "status", "--porcelain"], cwd=root, check=True)
            status.append(time.perf_counter() - began)
        plain = statistics.median(
            opening(root / ".git/config", watched=False) for _ in range(repeat)
        )
        watched = statistics.median(
            opening(root / ".git/config", watched=True) for _ in range(repeat)
        )
    print(f"files in the repository           {FILES}")
    print(f"git status                        {statistics.median(status) * 1e3:8.1f} ms")
    print(f"first observation, empty cache    {cold * 1e3:8.1f} ms")
    print(
        f"first observation, warm           {statistics.median(f for f, _ in runs) * 1e3:8.1f} ms"
    )
    print(
        f"check before a trial, unchanged   {statistics.median(c for _, c in runs) * 1e6:8.1f} us"
    )
    print(f"open() and close()                {plain * 1e6:8.1f} us")
    print(f"the same, watched                 {watched * 1e6:8.1f} us")


if __name__ == "__main__":
    main()
