"""What a killed process loses: points, params and results that it had been told are kept.

    python benchmarks/loss.py [--kills 200] [--parallel 4] [--storage URL] [--json]

Processes run a plain ``study.optimize`` on one book, a study each, and log a point every
millisecond. Each is killed with SIGKILL at a random moment. After every call of ``trial.log``
and ``suggest_float``, and after every result, it writes down that the call has returned and when;
what is written down and not in the book is lost. Design, section 5: an acknowledged result is
never lost, and of points and params at most those of the flush interval, which is 0.5 s.

The age of a lost point is the time from the return of its call to the kill. A machine that is
too busy to run the flusher in time adds to it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna

import trialbook
from trialbook.book.book import Book
from trialbook.book.reading import Reader

FLUSH_INTERVAL_S = 0.5
LONGEST_LIFE_S = 2.0

_RECORD = struct.Struct("<cqdd")  # what, trial, step or value, when (monotonic)
_POINT, _PARAM, _RESULT = b"p", b"x", b"r"

_OBJECTIVE = """
import time
from trialbook import tracked_objective

told = None

@tracked_objective(config={"layers": 2})
def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    told(b"x", trial.number, x)
    for step in range(1500 if trial.number % 2 else 150):  # longer than any flush may take
        trial.log({"loss": x + step}, step=step)
        told(b"p", trial.number, step)
        time.sleep(0.001)
    return x
"""


@dataclass
class Losses:
    """What one kill, or all of them, cost.

    Args:
        acknowledged: Points whose call had returned.
        lost: Those of them that are not in the book.
        oldest_s: Age of the oldest lost point or param at the kill, seconds; 0 when none is lost.
        params_lost: Params whose call had returned that are not in the book.
        results: Results whose call had returned.
        results_lost: Those of them that are not in the book as they were; must be 0.
        torn: Trials whose points have a hole; must be 0.
    """

    acknowledged: int = 0
    lost: int = 0
    oldest_s: float = 0.0
    params_lost: int = 0
    results: int = 0
    results_lost: int = 0
    torn: int = 0


@dataclass
class _Life:
    pid: int
    number: int
    log: Path
    ends_s: float
    killed_s: float = field(default=0.0)


def _live(url: str, number: int, log: Path) -> None:
    """Run trials until killed."""
    import objective  # type: ignore[import-not-found]

    # A file, and not a pipe: what a write call was given outlives the process there, too, and
    # nobody has to read in time.
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def told(what: bytes, trial: int, value: float) -> None:
        os.write(file, _RECORD.pack(what, trial, value, time.monotonic()))

    def ended(_: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        assert trial.value is not None
        told(_RESULT, trial.number, trial.value)

    objective.told = told
    study = trialbook.load_study(study_name=f"s{number}", storage=url)
    study.optimize(objective.objective, callbacks=[ended])


def _forked(url: str, number: int, log: Path) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            _live(url, number, log)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    return pid


def _killed(url: str, kills: int, parallel: int, place: Path, seed: int) -> Iterator[_Life]:
    """Start processes and kill each at a random moment after its first acknowledgement."""
    chance = random.Random(seed)
    living: list[_Life] = []
    started = 0
    while started < kills or living:
        while started < kills and len(living) < parallel:
            log = place / f"log{started}"
            pid = _forked(url, started, log)
            living.append(_Life(pid, started, log, 0.0))
            started += 1
        now = time.monotonic()
        for life in list(living):
            ended, _ = os.waitpid(life.pid, os.WNOHANG)
            if ended:
                raise RuntimeError(f"process {life.number} ended by itself")
            if not life.ends_s and life.log.exists() and life.log.stat().st_size:
                life.ends_s = now + chance.uniform(0.0, LONGEST_LIFE_S)
            if life.ends_s and now >= life.ends_s:
                life.killed_s = time.monotonic()
                os.kill(life.pid, signal.SIGKILL)
                os.waitpid(life.pid, 0)
                living.remove(life)
                yield life
        time.sleep(0.002)


def _lost(reader: Reader, life: _Life) -> Losses:
    losses = Losses()
    content = life.log.read_bytes()
    whole = len(content) // _RECORD.size * _RECORD.size
    told = list(_RECORD.iter_unpack(content[:whole]))
    trials = {trial.number: trial for trial in reader.trials(f"s{life.number}")}
    kept: dict[int, int] = {}
    for number, trial in trials.items():
        series = {} if trial.attempt is None else reader.series(trial.attempt.attempt_id)
        steps = series["loss"].steps.tolist() if "loss" in series else []
        kept[number] = len(steps)
        losses.torn += steps != list(range(len(steps)))
    for what, number, value, when_s in told:
        trial = trials[number]
        if what == _RESULT:
            losses.results += 1
            params = [param.value for param in trial.params]
            losses.results_lost += trial.values != (value,) or params != [value]
            continue
        if what == _PARAM:
            gone = [param.value for param in trial.params] != [value]
            losses.params_lost += gone
        else:
            gone = value >= kept[number]
            losses.acknowledged += 1
            losses.lost += gone
        if gone:
            losses.oldest_s = max(losses.oldest_s, life.killed_s - when_s)
    return losses


def measured(url: str, kills: int, parallel: int, place: Path, seed: int) -> list[Losses]:
    """Kill so many processes on a book; what each kill cost."""
    (place / "code").mkdir()
    (place / "code" / "objective.py").write_text(_OBJECTIVE)
    sys.path.insert(0, str(place / "code"))
    import objective

    if os.fork() == 0:  # so that this process, which forks, never has the book open before
        for number in range(kills):
            trialbook.create_study(storage=url, study_name=f"s{number}", seed=number)
        os._exit(0)
    os.wait()
    # Every process has the environment observed already, as the trials of a worker have.
    objective.objective.prepare(trialbook.records.config.SearchSettings(), url)
    lives = list(_killed(url, kills, parallel, place, seed))
    book = Book.open(url, create=False)
    try:
        return [_lost(Reader(book), life) for life in lives]
    finally:
        book.close()


def summary(losses: list[Losses]) -> dict[str, Any]:
    """The figures of all kills together."""
    lost = sorted(loss.lost for loss in losses)
    ages = sorted(loss.oldest_s for loss in losses)

    def share(values: list[Any], part: float) -> Any:
        return values[min(len(values) - 1, int(part * len(values)))]

    return {
        "kills": len(losses),
        "points_acknowledged": sum(loss.acknowledged for loss in losses),
        "points_lost": sum(lost),
        "lost_a_kill": {p: share(lost, float(p)) for p in ("0.5", "0.9", "0.99", "1")},
        "oldest_lost_s": {p: round(share(ages, float(p)), 4) for p in ("0.5", "0.9", "0.99", "1")},
        "params_lost": sum(loss.params_lost for loss in losses),
        "results_acknowledged": sum(loss.results for loss in losses),
        "results_lost": sum(loss.results_lost for loss in losses),
        "torn": sum(loss.torn for loss in losses),
    }


def main() -> int:
    """Print the figures; 1 when a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--parallel", type=int, default=4, help="processes at a time")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument("--storage", help="an empty database; default: an SQLite file")
    parser.add_argument("--tolerance", type=float, default=0.1, help="seconds above the interval")
    parser.add_argument("--json", action="store_true", help="print JSON")
    chosen = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory(prefix="loss-", dir=Path.cwd()) as name:
        place = Path(name)
        url = chosen.storage or f"sqlite:///{place / 'book.db'}"
        found = summary(measured(url, chosen.kills, chosen.parallel, place, chosen.seed))
    if chosen.json:
        print(json.dumps(found))
    else:
        for key, value in found.items():
            print(f"{key:<22}{value}")
    broken = (
        found["results_lost"]
        or found["torn"]
        or found["oldest_lost_s"]["1"] > FLUSH_INTERVAL_S + chosen.tolerance
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
