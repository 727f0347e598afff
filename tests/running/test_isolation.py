"""When a fork is shown safe: real interpreters that used OpenMP, threads, or nothing."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="fork is used on Linux only")

PLAIN = "import json"
NUMPY = "import numpy as np; a = np.ones((600, 600)); a @ a"
FITTED = """
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
X = np.random.default_rng(0).random((300, 4))
HistGradientBoostingClassifier(max_iter=2).fit(X, X[:, 0] > 0.5)
# joblib's threads are told to end, and end a moment later: they are not what is looked for here.
import threading, time
while threading.active_count() > 1:
    time.sleep(0.01)
"""
THREAD = """
import threading, time
threading.Thread(target=time.sleep, args=(60,), name="poller", daemon=True).start()
"""


def safety_after(code: str, *, threads: str = "2") -> str:
    program = code + (
        "\nfrom trialbook.running.isolation import fork_safety"
        "\nsafety = fork_safety()\nprint(safety.safe, safety.reason)"
    )
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        env={**__import__("os").environ, "OMP_NUM_THREADS": threads},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.mark.parametrize("code", [PLAIN, NUMPY], ids=["plain", "blas"])
def test_what_used_blas_may_fork(code: str) -> None:
    assert safety_after(code).startswith("True")


def test_what_used_openmp_may_not_fork() -> None:
    said = safety_after(FITTED)
    assert said.startswith("False")
    assert "OpenMP was used" in said


def test_what_runs_threads_may_not_fork() -> None:
    said = safety_after(THREAD)
    assert said.startswith("False")
    assert "poller" in said


def test_what_only_imported_openmp_may_fork_and_the_probe_tells_when_a_region_would_hang() -> None:
    """The probe is the last line of defence: hide the threads that give OpenMP away."""
    program = (
        "import sklearn.ensemble, ctypes\n"
        "from trialbook.running import isolation\n"
        "imported = isolation.fork_safety().safe\n"
        "path, = isolation.mapped_openmp()\n"
        "before = isolation.parallel_region_returns(path, 30)\n"
        "region = ctypes.CDLL(path).GOMP_parallel\n"
        "free = ctypes.cast(ctypes.CDLL(None).free, ctypes.c_void_p)\n"
        "region(free, None, ctypes.c_uint(2), ctypes.c_uint(0))\n"
        "isolation._other_threads = lambda: None\n"
        "isolation.parallel_region_returns.__defaults__ = (1,)\n"
        "after = isolation.fork_safety()\n"
        "print(imported, before, after.safe, 'would hang' in after.reason)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert result.stdout.split() == ["True", "True", "False", "True"], result.stderr
