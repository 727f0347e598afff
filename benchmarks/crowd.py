"""Many `trialbook worker` processes on one PostgreSQL server: errors, connections, time, memory.

    python benchmarks/crowd.py [--workers 16 64] [--seconds 0 2] [--trials 10] [--json]

Each row launches so many workers on this machine (`trialbook launch --on local`), each a process
with a supervisor and a child, as on any machine. A trial suggests two params, reports five values
and sleeps for so many seconds: with 0 all that is measured is the book and the processors. Counted
are the errors of the workers, the server's connections (looked at five times a second), the
transactions and processor time that the server needed for each trial, and the memory of a worker.
The server is the wheel's, on this machine, with 300 connections allowed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
_OBJECTIVE = """
import time


def objective(trial):
    x = trial.suggest_float("x", 0, 1) + trial.suggest_float("y", 0, 1)
    for step in range(5):
        trial.report(x + step, step)
    time.sleep({seconds})
    return x
"""
_STUDY = """
study: crowd
objective: train.py:objective
sampler: RandomSampler
pruner: NopPruner
seed: 7
budget: {{trials: {trials}}}
"""


def _trialbook(place: Path, url: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "trialbook", *arguments],
        cwd=place,
        env={**os.environ, "TRIALBOOK_STORAGE": url, "XDG_STATE_HOME": str(place / "state")},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"trialbook {' '.join(arguments)}: {done.stderr}")
    return done.stdout


def _jobs(place: Path, url: str) -> list[dict[str, Any]]:
    """The jobs of the launch once all their processes have ended; a worker leaves a bit earlier."""
    until = time.monotonic() + 60
    while True:
        rows: list[dict[str, Any]] = json.loads(_trialbook(place, url, "jobs", "--format", "json"))
        if all(row["status"]["state"] == "ended" for row in rows) or time.monotonic() > until:
            return rows
        time.sleep(0.5)


def _server_cpu_s(server: Any) -> float:
    """Processor seconds of the server's processes, ended ones too."""
    mine = psutil.Process(server._process.pid)
    times = [mine.cpu_times(), *(child.cpu_times() for child in mine.children())]
    ended = mine.cpu_times()
    total = sum(each.user + each.system for each in times)
    return float(total + ended.children_user + ended.children_system)


def crowd(server: Any, workers: int, seconds: float, trials: int) -> dict[str, Any]:
    """So many workers at once, until the budget is met."""
    database = server.new_database()
    url = server.url(database)
    with tempfile.TemporaryDirectory(prefix="crowd-") as name, server.connection() as admin:
        place = Path(name)
        total = workers * trials
        (place / "train.py").write_text(_OBJECTIVE.format(seconds=seconds))
        (place / "study.yaml").write_text(_STUDY.format(trials=total))
        _trialbook(place, url, "launch", "study.yaml", "--on", "local", "-w", str(workers))
        free_before = psutil.virtual_memory().available
        cpu_before = _server_cpu_s(server)
        most = least_free = 0
        began: float | None = None
        done, ended = 0, False
        query = (
            "SELECT count(*) FILTER (WHERE datname = %s AND pid <> pg_backend_pid()) "
            "FROM pg_stat_activity WHERE backend_type = 'client backend'"
        )
        while not ended:
            time.sleep(0.2)
            most = max(most, admin.execute(query, (database,)).fetchone()[0])
            least_free = min(least_free or free_before, psutil.virtual_memory().available)
            with server.connection(database) as book:
                finished = "SELECT count(*) FROM tb_trial WHERE finish_seq IS NOT NULL"
                done = book.execute(finished).fetchone()[0]
                came = book.execute("SELECT count(*), count(ended) FROM tb_worker").fetchone()
            if began is None and came[0] == workers:
                began, at = time.monotonic(), done
            ended = done >= total and came[0] == came[1]
            until = time.monotonic()
        rows = _jobs(place, url)
        took_s = until - (began or until)
        statistics = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = %s"
        return {
            "workers": workers,
            "trial_s": seconds,
            "trials": done,
            "errors": [row for row in rows if row["status"]["says"] != "exit 0"],
            "trials_per_s": (done - at) / took_s if began is not None and took_s > 0 else None,
            "connections": most,
            "transactions_per_trial": admin.execute(statistics, (database,)).fetchone()[0] / done,
            "server_ms_per_trial": (_server_cpu_s(server) - cpu_before) / done * 1000,
            "mib_per_worker": (free_before - least_free) / workers / 2**20,
        }


def main() -> int:
    """Print the figures; 1 when a worker met an error."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--seconds", type=float, nargs="+", default=[0.0, 2.0], help="of a trial")
    parser.add_argument("--trials", type=int, default=10, help="of each worker")
    parser.add_argument("--json", action="store_true", help="print JSON")
    chosen = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    from tests.postgres import Server

    with Server() as server:
        rows = [
            crowd(server, workers, seconds, chosen.trials)
            for workers in chosen.workers
            for seconds in chosen.seconds
        ]
    if chosen.json:
        print(json.dumps(rows))
    else:
        for row in rows:
            print(
                f"{row['workers']:>4} workers, trials of {row['trial_s']:g} s: "
                f"{row['trials']} trials, {len(row['errors'])} errors, "
                f"{row['trials_per_s'] or 0:.1f} a second, "
                f"at most {row['connections']} connections, "
                f"{row['transactions_per_trial']:.1f} transactions and "
                f"{row['server_ms_per_trial']:.1f} ms of the server a trial, "
                f"{row['mib_per_worker']:.0f} MiB a worker"
            )
    return int(any(row["errors"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
