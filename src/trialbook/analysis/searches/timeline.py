"""When each worker ran what, and which share of its time it was busy.

Spans are attempts that ran under tracking, lost, preempted and fenced ones too. Times are those of
the workers' own clocks. Trials that nobody ran under tracking have no worker: only how many of them
there are is known here.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from trialbook.analysis.columns import Column, Holds, Table
from trialbook.analysis.searches.history import cells
from trialbook.analysis.searches.search import Floats, Ints, Search
from trialbook.errors import NotApplicableError

RUNNING = "running"
"""The outcome of an attempt that has not ended."""


@dataclass(frozen=True, slots=True, eq=False)
class WorkerTime:
    """How one worker spent its time between the first start and the last end of its attempts.

    Args:
        worker_id: The worker's id, ``None`` for attempts of which no worker is recorded.
        host: Its host, likewise.
        attempts: How many attempts it ran.
        first_s: When the first began, in seconds since the epoch.
        last_s: When the last one ended.
        busy_s: For how long at least one ran.
        gaps: How many times it ran nothing in between.
        longest_gap_s: The longest of these; 0 without any.
    """

    worker_id: str | None
    host: str | None
    attempts: int
    first_s: float
    last_s: float
    busy_s: float
    gaps: int
    longest_gap_s: float

    @property
    def present_s(self) -> float:
        """Seconds from the first start to the last end."""
        return self.last_s - self.first_s

    @property
    def utilisation(self) -> float:
        """Share of that time in which it was busy; 1 for an instant."""
        return self.busy_s / self.present_s if self.present_s > 0 else 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """The attempts of a study over time. Arrays have one entry an attempt, by its start.

    Args:
        workers: In the order in which they first began; one more at the end, without an id, when
            there are attempts of which no worker is recorded.
        worker: Shape (n,): index into ``workers``.
        numbers: Shape (n,): number of the attempt's trial.
        attempts: Shape (n,): number of the attempt.
        outcomes: Why each ended (``complete``, ``pruned``, ``failed``, ``lost``, ...), or
            ``running``.
        start_s: Shape (n,): seconds since the epoch.
        end_s: Shape (n,): the same; of a running attempt the last moment that the study's record
            knows of.
        untracked: How many started trials nobody ran under tracking; they are not here.
    """

    workers: tuple[WorkerTime, ...]
    worker: Ints
    numbers: Ints
    attempts: Ints
    outcomes: tuple[str, ...]
    start_s: Floats
    end_s: Floats
    untracked: int

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def busy_s(self) -> float:
        """For how long workers were busy, all together."""
        return sum(worker.busy_s for worker in self.workers)

    @property
    def utilisation(self) -> float:
        """Share of the workers' time in which they were busy."""
        present_s = sum(worker.present_s for worker in self.workers)
        return self.busy_s / present_s if present_s > 0 else 1.0

    def at_once(self) -> tuple[Floats, Floats]:
        """When the number of running attempts changed, and what it then was, shape (m,) each."""
        return running_at_once(self.start_s, self.end_s)

    def table(self, *, named: bool = True) -> Table:
        """One row an attempt.

        Args:
            named: Whether workers and hosts are named; else workers are numbered.
        """
        owners = self.worker.tolist()
        names = [w.worker_id if named else f"worker {n}" for n, w in enumerate(self.workers, 1)]
        hosts = [worker.host if named else None for worker in self.workers]
        return Table(
            (
                Column("worker"),
                Column("host"),
                Column("trial", Holds.INTEGER),
                Column("attempt", Holds.INTEGER),
                Column("ended as"),
                Column("start", Holds.EXACT, "s since 1970"),
                Column("took", Holds.NUMBER, "s"),
            ),
            tuple(
                zip(
                    [names[at] for at in owners],
                    [hosts[at] for at in owners],
                    self.numbers.tolist(),
                    self.attempts.tolist(),
                    self.outcomes,
                    self.start_s.tolist(),
                    cells(self.end_s - self.start_s),
                    strict=True,
                )
            ),
        )

    def utilisation_table(self) -> Table:
        """One row a worker."""
        return Table(
            (
                Column("worker"),
                Column("host"),
                Column("attempts", Holds.INTEGER),
                Column("present", Holds.NUMBER, "s"),
                Column("busy", Holds.NUMBER, "s"),
                Column("utilisation", Holds.NUMBER),
                Column("idle gaps", Holds.INTEGER),
                Column("longest gap", Holds.NUMBER, "s"),
            ),
            tuple(
                (
                    worker.worker_id,
                    worker.host,
                    worker.attempts,
                    worker.present_s,
                    worker.busy_s,
                    worker.utilisation,
                    worker.gaps,
                    worker.longest_gap_s,
                )
                for worker in self.workers
            ),
        )


def timeline(search: Search) -> Timeline:
    """When each worker of a study ran what.

    Args:
        search: The study's search.

    Raises:
        NotApplicableError: Nothing ran under tracking.
    """
    executed = [
        (attempt.started_s, at) for at, attempt in enumerate(search.attempts) if attempt.executed
    ]
    tracked = {int(search.attempt_trial[at]) for _, at in executed}
    untracked = int(np.sum(search.states != "WAITING")) - len(tracked)
    if not executed:
        raise NotApplicableError(
            "no trial has run under tracking: when and where each ran is not known",
            hint="decorate the objective with @tracked_objective and run trials",
        )
    order = [at for _, at in sorted(executed)]
    chosen = [search.attempts[at] for at in order]
    last_s = _last_moment_s(search)
    start_s = np.array([attempt.started_s for attempt in chosen], np.float64)
    end_s = np.array(
        [last_s if attempt.ended_s is None else attempt.ended_s for attempt in chosen], np.float64
    )
    end_s = np.maximum(start_s, end_s)  # a clock may have been set back
    indices: dict[str | None, list[int]] = defaultdict(list)
    for index, attempt in enumerate(chosen):
        indices[attempt.worker_id].append(index)
    nobody = indices.pop(None, None)
    if nobody is not None:
        indices[None] = nobody
    worker = np.empty(len(chosen), np.int64)
    workers: list[WorkerTime] = []
    for place, (worker_id, own) in enumerate(indices.items()):
        worker[own] = place
        host = chosen[own[0]].host
        workers.append(_worker_time(worker_id, host, start_s[own], end_s[own]))
    return Timeline(
        workers=tuple(workers),
        worker=worker,
        numbers=search.numbers[search.attempt_trial[order]],
        attempts=np.array([attempt.number for attempt in chosen], np.int64),
        outcomes=tuple(
            RUNNING if attempt.ended_s is None else str(attempt.end_reason or "unknown")
            for attempt in chosen
        ),
        start_s=start_s,
        end_s=end_s,
        untracked=untracked,
    )


def running_at_once(start_s: Floats, end_s: Floats) -> tuple[Floats, Floats]:
    """When the number of spans that run at once changes, and what it then is.

    Args:
        start_s: Shape (n,).
        end_s: Shape (n,), none before its start.

    Returns:
        Moments, growing, each once, and the number from each on until the next; shape (m,).
    """
    moments = np.concatenate([start_s, end_s])
    change = np.concatenate([np.ones(len(start_s)), -np.ones(len(end_s))])
    found, place = np.unique(moments, return_inverse=True)
    return found, np.cumsum(np.bincount(place, change, len(found)))


def _worker_time(
    worker_id: str | None, host: str | None, start_s: Floats, end_s: Floats
) -> WorkerTime:
    """Of spans in the order of their starts; those that overlap count once."""
    covered_s = np.maximum.accumulate(end_s)
    idle_s = np.maximum(0.0, start_s[1:] - covered_s[:-1])
    return WorkerTime(
        worker_id=worker_id,
        host=host,
        attempts=len(start_s),
        first_s=float(start_s[0]),
        last_s=float(covered_s[-1]),
        busy_s=float(covered_s[-1] - start_s[0] - idle_s.sum()),
        gaps=int(np.sum(idle_s > 0)),
        longest_gap_s=float(idle_s.max(initial=0.0)),
    )


def _last_moment_s(search: Search) -> float:
    """The last moment that the record of an executed attempt knows of."""
    moments = [-np.inf]
    for attempt in search.attempts:
        if attempt.executed:
            moments.append(attempt.started_s if attempt.ended_s is None else attempt.ended_s)
    reported = search.reports.seconds
    running = np.repeat(search.states == "RUNNING", np.diff(search.reports.offsets))
    return max(*moments, float(reported[running].max(initial=-np.inf)))
