"""Best value so far against the compute it took: worker-hours and GPU-hours.

A worker-hour is an hour that one worker spent on attempts. Every attempt that ran under tracking
and has ended counts, whatever came of it: pruned, failed, lost, preempted and fenced ones, and each
retry. A lost attempt took until somebody noticed. What workers did between trials is no attempt's.
GPU-hours are worker-hours times the GPUs that the worker saw (see ``analysis/compute.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trialbook.analysis.columns import Column, Holds, Table
from trialbook.analysis.opening import Storage, opened
from trialbook.analysis.places import Places
from trialbook.analysis.searches.history import best_so_far, cells, require_objective
from trialbook.analysis.searches.search import Floats, Ints, Search
from trialbook.book.computing import attempt_places
from trialbook.book.reading import Reader
from trialbook.errors import NotApplicableError

_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True, eq=False)
class ComputeHistory:
    """The best value so far after each attempt that ended, in the order in which they ended.

    Args:
        objective: Index of the objective.
        name: What it is called.
        numbers: Shape (n,): number of the attempt's trial.
        attempts: Shape (n,): number of the attempt.
        outcomes: Why each ended.
        ended_s: Shape (n,): when, in seconds since the epoch, by its worker's clock.
        worker_h: Shape (n,): worker-hours of all attempts up to and with this one.
        gpu_h: Shape (n,): GPU-hours likewise, of the attempts whose GPUs are known; ``None`` when
            they are known of none.
        values: Shape (n,): the trial's value where this attempt is the one that counts and its
            value does; else NaN.
        best: Shape (n,): the best of these so far; NaN before the first.
        best_number: Number of the trial with the last of these, ``None`` without any.
        running: How many attempts have not ended; nothing of them is counted.
        without_gpus: Of how many of the n attempts it is not known what GPUs they saw.
        untracked: Numbers of complete trials that count in the study and that nobody executed under
            tracking: what they took is not known, and they are not here.
    """

    objective: int
    name: str
    numbers: Ints
    attempts: Ints
    outcomes: tuple[str, ...]
    ended_s: Floats
    worker_h: Floats
    gpu_h: Floats | None
    values: Floats
    best: Floats
    best_number: int | None
    running: int
    without_gpus: int
    untracked: tuple[int, ...]

    def table(self) -> Table:
        """One row an attempt."""
        hours = [Column("worker-hours", Holds.NUMBER)]
        columns = [self.worker_h.tolist()]
        if self.gpu_h is not None:
            hours.append(Column("GPU-hours", Holds.NUMBER))
            columns.append(self.gpu_h.tolist())
        return Table(
            (
                Column("trial", Holds.INTEGER),
                Column("attempt", Holds.INTEGER),
                Column("ended as"),
                *hours,
                Column(self.name, Holds.NUMBER),
                Column("best so far", Holds.NUMBER),
            ),
            tuple(
                zip(
                    self.numbers.tolist(),
                    self.attempts.tolist(),
                    self.outcomes,
                    *columns,
                    cells(self.values),
                    cells(self.best),
                    strict=True,
                )
            ),
        )


def compute_history(
    search: Search, objective: int = 0, *, gpus: Mapping[int, int | None] | None = None
) -> ComputeHistory:
    """The best value so far against the compute that it took.

    Args:
        search: The study's search.
        objective: Index of the objective, when there are several.
        gpus: How many GPUs each attempt saw, by its id (see ``attempt_gpus``); ``None`` leaves
            GPU-hours out.

    Raises:
        InvalidInputError: There is no such objective.
        NotApplicableError: No attempt has ended under tracking.
    """
    require_objective(search, objective)
    order = ended_attempts(search)
    if not len(order):
        raise NotApplicableError(
            "no attempt has ended under tracking: what the trials took is not known",
            hint="decorate the objective with @tracked_objective and run trials; see 'history' for "
            "the values without the time",
        )
    chosen = [search.attempts[at] for at in order]
    trials = search.attempt_trial[order]
    number = np.array([attempt.number for attempt in chosen], np.int64)
    took_h = durations_s(search)[order] / _HOUR_S
    counts = (number == search.counting[trials]) & search.eligible[trials]
    values = np.where(counts, search.values[trials, objective], np.nan)
    best = best_so_far(values, search.study.directions[objective] == "maximize")
    reached = search.numbers[trials[values == best[-1]]]
    seen = [None if gpus is None else gpus.get(attempt.attempt_id) for attempt in chosen]
    untracked = search.eligible.copy()
    untracked[trials[counts]] = False
    return ComputeHistory(
        objective=objective,
        name=search.objective_names[objective],
        numbers=search.numbers[trials],
        attempts=number,
        outcomes=tuple(str(attempt.end_reason or "unknown") for attempt in chosen),
        ended_s=np.array([attempt.ended_s for attempt in chosen], np.float64),
        worker_h=np.cumsum(took_h),
        gpu_h=_gpu_h(took_h, seen),
        values=values,
        best=best,
        best_number=int(reached.min()) if len(reached) else None,
        running=sum(attempt.executed and attempt.ended_s is None for attempt in search.attempts),
        without_gpus=sum(count is None for count in seen),
        untracked=tuple(search.numbers[untracked].tolist()),
    )


def ended_attempts(search: Search) -> Ints:
    """Indices of the attempts that ran under tracking and have ended, by their end."""
    over = [
        (attempt.ended_s, at)
        for at, attempt in enumerate(search.attempts)
        if attempt.executed and attempt.ended_s is not None
    ]
    return np.array([at for _, at in sorted(over)], np.int64)


def durations_s(search: Search) -> Floats:
    """Shape (attempts,): how long each attempt took; NaN while it runs, 0 where a clock jumped."""
    return np.array(
        [
            np.nan if attempt.ended_s is None else max(0.0, attempt.ended_s - attempt.started_s)
            for attempt in search.attempts
        ],
        np.float64,
    )


def attempt_gpus(search: Search, *, storage: Storage = None) -> dict[int, int | None]:
    """How many GPUs each attempt of a search saw.

    Args:
        search: The study's search.
        storage: Where its book is.

    Returns:
        By the attempt's id; ``None`` where it is not known.

    Raises:
        BookNotFoundError: There is no book at that place.
    """
    with opened(storage) as reader:
        return attempt_gpus_of(reader, search)


def attempt_gpus_of(reader: Reader, search: Search) -> dict[int, int | None]:
    """The same from a book that is open."""
    places = Places(reader)
    found: dict[int, int | None] = {}
    for place in attempt_places(reader.book, search.study.study_id):
        gpus = places.hardware(place.environment, place.execution).gpus
        count = None if gpus is None else len(gpus)
        found.update(dict.fromkeys(place.attempts, count))
    return found


def _gpu_h(took_h: Floats, gpus: Sequence[int | None]) -> Floats | None:
    if all(count is None for count in gpus):
        return None
    return np.cumsum(took_h * np.array([count or 0 for count in gpus], np.float64))
