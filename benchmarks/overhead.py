"""What recording costs: the standard trial on a book, beside plain Optuna, in one run.

    python benchmarks/overhead.py [--trials 300] [--directory DIR] [--json]

The standard trial: 5 params, 20 steps of 5 metrics and a report, 5 user attributes, an objective
that does nothing else, RandomSampler and NopPruner. Plain Optuna stores params, reports and
attributes of it (it has no place for the metrics); the book also stores the 100 points, the five
coordinates, the outcome and the digest of the record. Figures differ between machines (a disk's
fsync dominates); ratios of one run are what counts.

Rows: ``tracked`` is the whole of Trialbook (``@tracked_objective`` on a book); ``attempt`` is the
book alone, driven by hand; ``untracked`` is plain Optuna with a book for its storage. PostgreSQL is
a server of the benchmark's own, with fsync on, from the wheel of the development extra.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

STEPS = 20
METRICS = ("loss", "accuracy", "precision", "recall", "gradient")

BARS = {
    "Optuna, SQLite": ("tracked", 0.10),
    "Optuna, journal file": ("tracked", 0.30),
    "Optuna, PostgreSQL": ("tracked, PostgreSQL", 0.15),
}
"""For each peer the row that is held against it, and the ratio that it has to stay below."""


def suggest_and_report(trial: optuna.Trial, log: Callable[[dict[str, float], int], None]) -> float:
    """The standard trial; ``log`` takes the metrics of a step."""
    x = [trial.suggest_float(f"x{index}", 0.0, 1.0) for index in range(5)]
    for step in range(STEPS):
        log(dict.fromkeys(METRICS, x[0] + step), step)
        trial.report(x[0] + step, step)
        trial.should_prune()
    for index in range(5):
        trial.set_user_attr(f"a{index}", index)
    return x[0]


def plain(trial: optuna.Trial) -> float:
    """The standard trial without a place for its metrics."""
    return suggest_and_report(trial, lambda metrics, step: None)


def standard(trial: Any) -> float:
    """The standard trial under tracking."""
    return suggest_and_report(trial, trial.log)


def optimized(storage: Any, objective: Callable[[Any], float], trials: int) -> float:
    """Seconds a trial; a few trials come before, so that imports and tables are made."""
    study = optuna.create_study(
        storage=storage,
        study_name="standard",
        sampler=optuna.samplers.RandomSampler(seed=1),
        pruner=optuna.pruners.NopPruner(),
    )
    study.optimize(objective, n_trials=3)
    began = time.perf_counter()
    study.optimize(objective, n_trials=trials)
    return (time.perf_counter() - began) / trials


def tracked(place: Path | str, trials: int) -> float:
    """The whole of Trialbook, on a book at this place."""
    from trialbook import BookStorage, tracked_objective

    storage = BookStorage(place)
    try:
        return optimized(storage, tracked_objective(config={"layers": 2})(standard), trials)
    finally:
        storage.close()


def attempt(directory: Path, trials: int) -> float:
    """The book alone: begin an attempt, log, end it."""
    from trialbook.book.storage import BookStorage
    from trialbook.records.config import ConfigState
    from trialbook.records.coordinates import Kind, Snapshot
    from trialbook.records.coverage import Coverage
    from trialbook.records.execution import EndReason, OutcomeState, Seeds

    storage = BookStorage(directory / "attempt.db")
    snapshot = Snapshot.of(Kind.CONFIG, Coverage.of(()), ConfigState(resolved={"layers": 2}))

    def objective(trial: optuna.Trial) -> float:
        held = storage.begin_attempt(trial._trial_id, snapshots=[snapshot], seeds=Seeds(trial=1))
        value = suggest_and_report(trial, lambda m, step: held.log(m, step, time.time()))
        held.returned(value)
        held.end(OutcomeState(EndReason.COMPLETE))
        return value

    try:
        return optimized(storage, objective, trials)
    finally:
        storage.close()


def untracked(directory: Path, trials: int) -> float:
    """Plain Optuna with a book for its storage: every write a transaction."""
    from trialbook.book.storage import BookStorage

    storage = BookStorage(directory / "untracked.db")
    try:
        return optimized(storage, plain, trials)
    finally:
        storage.close()


def points_a_second(directory: Path, points: int = 2_000_000) -> float:
    """Points through ``log`` in one process, until they are in the book."""
    from trialbook.book.storage import BookStorage
    from trialbook.records.execution import Seeds

    storage = BookStorage(directory / "points.db")
    study = optuna.create_study(storage=storage)
    trial = study.ask()
    held = storage.begin_attempt(trial._trial_id, snapshots=[], seeds=Seeds(trial=1))
    metrics = dict.fromkeys(METRICS, 0.0)
    began = time.perf_counter()
    for step in range(points // len(METRICS)):
        metrics["loss"] = step * 0.5
        held.log(metrics, step, time.time())
    study.tell(trial, 1.0)
    elapsed = time.perf_counter() - began
    storage.close()
    return points / elapsed


def measured(directory: Path, server: Any, trials: int, rounds: int) -> dict[str, float]:
    """Milliseconds a trial, the best of some rounds; peers get fewer trials, they are slow.

    Both on PostgreSQL use databases of one server, through the same driver.
    """
    few = max(5, trials // 20)

    def sqlite(place: Path) -> float:
        return optimized(f"sqlite:///{place}/optuna.db", plain, few)

    def journal(place: Path) -> float:
        return optimized(JournalStorage(JournalFileBackend(str(place / "optuna.log"))), plain, few)

    def new_database() -> str:
        url: str = server.url(server.new_database())
        return url

    def postgres(place: Path) -> float:
        url = new_database().replace("postgresql:", "postgresql+psycopg:")
        return optimized(url, plain, few)

    rows: dict[str, Callable[[Path], float]] = {
        "tracked": lambda place: tracked(place / "tracked.db", trials),
        "tracked, PostgreSQL": lambda place: tracked(new_database(), trials),
        "attempt": lambda place: attempt(place, trials),
        "untracked": lambda place: untracked(place, few),
        "Optuna, SQLite": sqlite,
        "Optuna, PostgreSQL": postgres,
        "Optuna, journal file": journal,
        "Optuna, in memory": lambda place: optimized(None, plain, trials),
    }
    best: dict[str, float] = {}
    for number in range(rounds):
        for name, run in rows.items():
            place = directory / f"{number}-{name.replace(', ', '-').replace(' ', '-')}"
            place.mkdir()
            took = run(place) * 1000
            best[name] = min(took, best.get(name, took))
    return best


def main() -> int:
    """Print the figures; 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=300, help="trials of the fast rows")
    parser.add_argument("--rounds", type=int, default=3, help="of which the best counts")
    parser.add_argument("--directory", type=Path, help="where the files go (a real disk)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    chosen = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore")
    where: AbstractContextManager[Any] = (
        tempfile.TemporaryDirectory(prefix="overhead-", dir=Path.cwd())
        if chosen.directory is None
        else nullcontext(chosen.directory)
    )
    with where as name:
        directory = Path(name)
        sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
        from tests.postgres import Server

        with Server() as server:
            rows = measured(directory, server, chosen.trials, chosen.rounds)
        points = points_a_second(directory)
    ratios = {peer: rows[row] / rows[peer] for peer, (row, _) in BARS.items()}
    if chosen.json:
        print(json.dumps({"ms_per_trial": rows, "ratios": ratios, "points_per_s": points}))
    else:
        for name, milliseconds in rows.items():
            print(f"{name:<22}{milliseconds:>10.2f} ms a trial")
        for peer, ratio in ratios.items():
            row, bar = BARS[peer]
            print(f"{row + ' / ' + peer:<44}{ratio:>7.4f}   (bar {bar})")
        print(f"points through log, stored: {points:,.0f} a second   (bar 500,000)")
    return 0 if all(ratios[peer] <= bar for peer, (_, bar) in BARS.items()) else 1


if __name__ == "__main__":
    sys.exit(main())
