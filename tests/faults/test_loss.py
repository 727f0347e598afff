"""What a killed process loses, measured: results never, of points what the interval says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "loss.py"


@pytest.mark.slow
def test_a_kill_loses_no_result_and_no_point_older_than_the_interval(tmp_path: Path) -> None:
    # Half a second more than the interval: the tests beside this one keep every core busy.
    command = [sys.executable, BENCHMARK, "--kills", "20", "--tolerance", "0.5", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    found = json.loads(done.stdout)
    assert done.returncode == 0, found
    assert found["kills"] == 20
    assert found["results_acknowledged"] > 5
    assert (found["results_lost"], found["torn"]) == (0, 0)
    assert found["points_acknowledged"] > 2500
    assert 0 < found["oldest_lost_s"]["1"] <= 1.0
