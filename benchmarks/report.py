"""What a report of a large study costs, beside Optuna's own plots of the same study.

    python benchmarks/report.py [--trials 20000] [--directory DIR] [--all] [--json]

The study: 5 params, 20 reports a trial, two fifths of the trials pruned. Ours: ``report.write`` of
the whole document as HTML, all figures among it, in a fresh process on a book. The peer: Optuna's
``plot_*`` functions for the same kinds of figure on Optuna's SQLite storage, each written with
plotly's ``to_html``, in a fresh process too.

``plot_contour`` and ``plot_param_importances`` are left out of the peer's sum unless ``--all`` is
given: at 20,000 trials the first wrote 3.6 GB and took 19 GiB of memory, and the second asks
a random forest. Ours has both. Figures differ between machines; ratios of one run are what counts.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

NAME = "large"
STEPS = 20
BARS = {"seconds": 30.0, "processor_s": 30.0, "peak_mib": 1024.0, "size_mb": 15.0}
"""What a report of 20,000 trials has to stay below."""
PLOTS = (
    "plot_optimization_history",
    "plot_intermediate_values",
    "plot_slice",
    "plot_parallel_coordinate",
    "plot_rank",
    "plot_edf",
    "plot_timeline",
)
COSTLY = ("plot_param_importances", "plot_contour")

_SPACE: dict[str, BaseDistribution] = {
    "lr": FloatDistribution(1e-5, 1e-1, log=True),
    "momentum": FloatDistribution(0.0, 1.0),
    "layers": IntDistribution(1, 6),
    "units": IntDistribution(8, 512, log=True),
    "optimizer": CategoricalDistribution(["adam", "sgd", "rmsprop"]),
}

_OURS = """
import json, resource, sys, time
began = time.perf_counter()
from trialbook import report
written = report.write(sys.argv[2], ("html",), sys.argv[3], storage=sys.argv[1])
seconds = time.perf_counter() - began
used = resource.getrusage(resource.RUSAGE_SELF)
peak, processor = used.ru_maxrss, used.ru_utime + used.ru_stime
size = sum(path.stat().st_size for path in written.files)
print(json.dumps({
    "seconds": seconds, "processor_s": processor, "peak_mib": peak / 1024, "size_mb": size / 1e6
}))
"""
_PEER = """
import json, resource, sys, time, warnings
from pathlib import Path
began = time.perf_counter()
import optuna
from optuna import visualization
warnings.simplefilter("ignore")
optuna.logging.set_verbosity(optuna.logging.WARNING)
study = optuna.load_study(study_name=sys.argv[2], storage=sys.argv[1])
size, each = 0, {}
for name in sys.argv[4:]:
    started = time.perf_counter()
    page = Path(sys.argv[3]) / f"{name}.html"
    page.write_text(getattr(visualization, name)(study).to_html(include_plotlyjs=not size))
    size += page.stat().st_size
    each[name] = time.perf_counter() - started
seconds = time.perf_counter() - began
used = resource.getrusage(resource.RUSAGE_SELF)
peak, processor = used.ru_maxrss, used.ru_utime + used.ru_stime
print(json.dumps({
    "seconds": seconds, "processor_s": processor, "peak_mib": peak / 1024, "size_mb": size / 1e6,
    "each": each,
}))
"""


def trials(count: int) -> list[FrozenTrial]:
    """The study's trials, the same each time."""
    rng = random.Random(1)
    begun = datetime(2026, 1, 1)  # noqa: DTZ001 - Optuna's times are naive
    return [_trial(number, rng, begun + timedelta(seconds=7 * number)) for number in range(count)]


def _trial(number: int, rng: random.Random, begun: datetime) -> FrozenTrial:
    params: dict[str, Any] = {
        "lr": 10 ** rng.uniform(-5, -1),
        "momentum": rng.random(),
        "layers": rng.randint(1, 6),
        "units": rng.randint(8, 512),
        "optimizer": rng.choice(["adam", "sgd", "rmsprop"]),
    }
    value = 1 - abs(math.log10(params["lr"]) + 3) / 4 + rng.gauss(0, 0.02)
    pruned = rng.random() < 0.4
    steps = rng.randint(2, 10) if pruned else STEPS
    trial = create_trial(
        state=TrialState.PRUNED if pruned else TrialState.COMPLETE,
        value=value,
        params=params,
        distributions=_SPACE,
        intermediate_values={
            step: value * (1 - math.exp(-(step + 1) / 5)) + rng.gauss(0, 0.01)
            for step in range(steps)
        },
    )
    trial.datetime_start = begun
    trial.datetime_complete = begun + timedelta(seconds=3 * steps)
    return trial


def filled(storage: Any, count: int) -> None:
    """Put the study into a storage by Optuna's API."""
    study = optuna.create_study(storage=storage, study_name=NAME, direction="maximize")
    study.add_trials(trials(count))


def filled_tables(path: Path, count: int) -> None:
    """Put the same study into Optuna's SQLite tables, whose API takes 30 ms a trial."""
    storage = RDBStorage(f"sqlite:///{path}")
    study = optuna.create_study(storage=storage, study_name=NAME, direction="maximize")
    tables: dict[str, list[tuple[Any, ...]]] = {
        "trials (trial_id, number, study_id, state, datetime_start, datetime_complete)": [],
        "trial_values (trial_id, objective, value, value_type)": [],
        "trial_params (trial_id, param_name, param_value, distribution_json)": [],
        "trial_intermediate_values"
        " (trial_id, step, intermediate_value, intermediate_value_type)": [],
    }
    heads, values, params, reports = tables.values()
    for number, trial in enumerate(trials(count)):
        key = number + 1
        times = [str(time) for time in (trial.datetime_start, trial.datetime_complete)]
        heads.append((key, number, study._study_id, trial.state.name, *times))
        values.append((key, 0, trial.value, "FINITE"))
        for name, distribution in trial.distributions.items():
            internal = distribution.to_internal_repr(trial.params[name])
            params.append((key, name, internal, distribution_to_json(distribution)))
        reports += [(key, s, value, "FINITE") for s, value in trial.intermediate_values.items()]
    with closing(sqlite3.connect(path)) as connection, connection:
        for table, rows in tables.items():
            marks = ", ".join("?" * len(rows[0]))
            connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)


def measured(program: str, *arguments: str) -> dict[str, Any]:
    """What a fresh process says of itself."""
    ended = subprocess.run(
        [sys.executable, "-c", program, *arguments], check=True, capture_output=True, text=True
    )
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def compared(directory: Path, count: int, plots: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Ours and the peer, on storages of their own with the same trials."""
    from trialbook import BookStorage

    book = BookStorage(directory / "book.db")
    filled(book, count)
    book.close()
    ours = measured(_OURS, str(directory / "book.db"), NAME, str(directory / "report"))
    url = f"sqlite:///{directory / 'optuna.db'}"
    filled_tables(directory / "optuna.db", count)
    pages = directory / "plots"
    pages.mkdir()
    return {"ours": ours, "peer": measured(_PEER, url, NAME, str(pages), *plots)}


def main() -> int:
    """Measure, print, and say whether the bars hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=20_000)
    parser.add_argument("--directory", type=Path, help="where the storages are made")
    parser.add_argument("--all", action="store_true", help="the peer draws its costly plots too")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    plots = PLOTS + COSTLY if chosen.all else PLOTS
    with tempfile.TemporaryDirectory(dir=chosen.directory) as made:
        found = compared(Path(made), chosen.trials, plots)
    if chosen.json:
        print(json.dumps(found, indent=2))
    else:
        _print(found, chosen.trials)
    return int(any(found["ours"][what] > bar for what, bar in BARS.items()))


def _print(found: dict[str, dict[str, Any]], count: int) -> None:
    print(f"A report of {count:,} trials x {STEPS} reports as HTML, beside Optuna's plots")
    print(f"{'':12}{'report':>10}{'Optuna':>10}{'ratio':>8}{'bar':>8}")
    for what, bar in BARS.items():
        ours, peer = found["ours"][what], found["peer"][what]
        print(f"{what:12}{ours:10.1f}{peer:10.1f}{ours / peer:8.3f}{bar:8.0f}")
    for name, seconds in found["peer"]["each"].items():
        print(f"  {name:28}{seconds:8.1f} s")


if __name__ == "__main__":
    raise SystemExit(main())
