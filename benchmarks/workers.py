"""Many processes on one study, beside Optuna's own storage; and how fast trials are claimed.

    python benchmarks/workers.py [--workers 8] [--trials 60] [--directory DIR] [--json]

First part: worker processes run ``study.optimize`` on one study: a trial of 2 params and 5 reports
that does nothing else, RandomSampler and NopPruner. Trialbook's are tracked in full; Optuna's are
plain. Both use the same PostgreSQL server (the wheel's, fsync on, on this machine), then SQLite
files in one directory. They take turns, and of some rounds the best counts. What is measured is the
time from the moment at which all processes are ready to the last told trial.

Second part: claims of one study through ``BookStorage.claim``: one transaction that makes the
trial. So many clients as are named, each with a connection of its own and never idle: processes up
to 8, then 8 processes of several threads each. With few cores, many clients measure the queue for
the processors more than the book.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna

ROOT = Path(__file__).resolve().parents[1]
BAR = 10.0
"""How many times Optuna's trials a second eight workers have to reach on PostgreSQL."""

CLIENTS = (1, 8, 32, 128)
PROCESSES = 8


def objective(trial: Any) -> float:
    """The trivial trial."""
    x = float(trial.suggest_float("x", 0.0, 1.0)) + float(trial.suggest_float("y", 0.0, 1.0))
    for step in range(5):
        trial.report(x + step, step)
        trial.should_prune()
    return x


def _study(kind: str, url: str) -> tuple[optuna.Study, Callable[[Any], float]]:
    """The study of a worker, and what it runs."""
    sampler, pruner = optuna.samplers.RandomSampler(), optuna.pruners.NopPruner()
    storage: Any = url.replace("postgresql:", "postgresql+psycopg:")
    run: Callable[[Any], float] = objective
    if kind == "trialbook":
        from trialbook import BookStorage, tracked_objective

        storage, run = BookStorage(url), tracked_objective(objective)
    return optuna.load_study(
        study_name="trivial", storage=storage, sampler=sampler, pruner=pruner
    ), run


def _silence() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")


def _ready() -> None:
    """Say that this process is ready and wait for all others."""
    print("ready", flush=True)
    sys.stdin.readline()


def work(kind: str, url: str, trials: int) -> None:
    """One worker process: one trial to import and capture, then those that are measured."""
    study, run = _study(kind, url)
    study.optimize(run, n_trials=1)
    _ready()
    study.optimize(run, n_trials=trials)
    print(time.time(), flush=True)


def claim(url: str, clients: int, seconds: float) -> None:
    """One process of the second part: prints the seconds that each claim took."""
    from trialbook.book.storage import BookStorage

    storages = [BookStorage(url, create=False) for _ in range(clients)]
    study_id = storages[0].get_study_id_from_name("trivial")
    took: list[list[float]] = [[] for _ in storages]
    for storage in storages:
        storage.claim(study_id)
    _ready()
    until = time.perf_counter() + seconds

    def run(storage: BookStorage, mine: list[float]) -> None:
        while (began := time.perf_counter()) < until:
            storage.claim(study_id)
            mine.append(time.perf_counter() - began)

    threads = [threading.Thread(target=run, args=each) for each in zip(storages, took, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps([took_s for each in took for took_s in each]), flush=True)


def _in_processes(count: int, *arguments: str) -> tuple[float, list[str]]:
    """Start this file so often, let all go at one moment; that moment, and what each printed."""
    started = [
        subprocess.Popen(
            [sys.executable, __file__, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT / "benchmarks",
        )
        for _ in range(count)
    ]
    for process in started:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("a worker did not start")
    began = time.time()
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise RuntimeError("a worker failed")
    return began, said


def trials_a_second(kind: str, url: str, workers: int, trials: int) -> float:
    """Trials a second of so many workers on a new study."""
    storage: Any = url.replace("postgresql:", "postgresql+psycopg:")
    if kind == "trialbook":
        from trialbook import BookStorage

        storage = BookStorage(url)
    optuna.create_study(storage=storage, study_name="trivial")
    if kind == "trialbook":
        storage.close()
    began, said = _in_processes(workers, "work", kind, url, str(trials))
    return workers * trials / (max(map(float, said)) - began)


def claims(url: str, clients: int, seconds: float) -> dict[str, float]:
    """Claims a second, and percentiles of their latency in milliseconds."""
    import numpy as np

    from trialbook import BookStorage

    storage = BookStorage(url)
    optuna.create_study(storage=storage, study_name="trivial")
    storage.close()
    processes = min(clients, PROCESSES)
    _, said = _in_processes(processes, "claim", url, str(clients // processes), str(seconds))
    took = np.array([one for text in said for one in json.loads(text)])
    return {
        "claims_per_s": len(took) / seconds,
        "median_ms": float(np.percentile(took, 50)) * 1000,
        "p99_ms": float(np.percentile(took, 99)) * 1000,
    }


def measured(chosen: argparse.Namespace, directory: Path) -> dict[str, Any]:
    """Both parts."""
    sys.path.insert(0, str(ROOT))
    from tests.postgres import Server

    rates: dict[str, float] = {}
    latencies: dict[str, dict[str, float]] = {}
    with Server() as server:

        def url(database: str, name: str) -> str:
            if database == "PostgreSQL":
                return server.url(server.new_database())
            return f"sqlite:///{directory}/{name}.db"

        for database in ("PostgreSQL", "SQLite"):
            for number in range(chosen.rounds):
                for kind in ("trialbook", "optuna"):
                    trials = chosen.trials if kind == "trialbook" else max(3, chosen.trials // 10)
                    place = url(database, f"{kind}-{number}")
                    rate = trials_a_second(kind, place, chosen.workers, trials)
                    name = f"{kind}, {database}"
                    rates[name] = max(rate, rates.get(name, 0.0))
        for database in ("PostgreSQL", "SQLite"):
            for clients in CLIENTS:
                place = url(database, f"claims-{clients}")
                latencies[f"{clients}, {database}"] = claims(place, clients, chosen.seconds)
    ratios = {
        database: rates[f"trialbook, {database}"] / rates[f"optuna, {database}"]
        for database in ("PostgreSQL", "SQLite")
    }
    return {"trials_per_s": rates, "ratios": ratios, "claims": latencies}


def _print(found: dict[str, Any], workers: int) -> None:
    for name, rate in found["trials_per_s"].items():
        print(f"{name:<24}{rate:>10.1f} trials a second, {workers} workers")
    for database, ratio in found["ratios"].items():
        bar = f"   (bar {BAR:g})" if database == "PostgreSQL" else ""
        print(f"trialbook / optuna, {database:<12}{ratio:>6.1f}{bar}")
    for name, row in found["claims"].items():
        clients, database = name.split(", ")
        print(
            f"{clients:>4} clients claim, {database:<12}{row['claims_per_s']:>8.0f} a second,"
            f"  median {row['median_ms']:>7.1f} ms,  99th percentile {row['p99_ms']:>7.1f} ms"
        )


def main() -> int:
    """Print the figures; 1 when the bar is missed."""
    _silence()
    match sys.argv[1:]:
        case ["work", kind, url, trials]:
            work(kind, url, int(trials))
            return 0
        case ["claim", url, clients, seconds]:
            claim(url, int(clients), float(seconds))
            return 0
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--trials", type=int, default=60, help="of each worker on a book")
    parser.add_argument("--rounds", type=int, default=2, help="of which the best counts")
    parser.add_argument("--seconds", type=float, default=5.0, help="of claiming, for each row")
    parser.add_argument("--directory", type=Path, help="where SQLite files go (a real disk)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="workers-", dir=chosen.directory or Path.cwd()) as name:
        found = measured(chosen, Path(name))
    if chosen.json:
        print(json.dumps(found))
    else:
        _print(found, chosen.workers)
    return 0 if found["ratios"]["PostgreSQL"] >= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
