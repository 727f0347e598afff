"""What a user asks of workers that are elsewhere: to leave (drain), to stop (cancel), their logs.

Draining goes through the book, so it reaches a worker that the engine has lost. Cancelling goes
through the engine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from trialbook.book.activity import activity
from trialbook.book.storage import BookStorage
from trialbook.errors import NotFoundError, TrialbookError
from trialbook.records.launches import DRAIN, JobId, LaunchRecord, PlacedJob
from trialbook.records.workers import WorkerRecord
from trialbook.running.launch.engines import launcher
from trialbook.running.launch.jobs import JobRow, Seen, jobs, worker_now
from trialbook.running.launch.selecting import Selection, selected

_POLL_S = 1.0
_NO_QUEUE = ("local", "ssh")
_COME_S = 900.0
"""A worker waits for a server that is away, and builds its environment, before it comes."""


def drain(storage: BookStorage, name: str, *, undo: bool = False) -> int:
    """Ask workers to finish the trial that they run, and leave.

    Of a launch also those that have still to come; of a study those that are there, whoever
    started them.

    Args:
        storage: The book.
        name: ``STUDY``, ``LAUNCH`` or ``LAUNCH/INDEX``.
        undo: Take it back, from those who have not left yet.

    Returns:
        How many workers heard it.

    Raises:
        NotFoundError: There is none of that name.
    """
    chosen = selected(storage, name)
    what = None if undo else DRAIN
    if chosen.index is not None:
        return storage.launches.ask_job(str(chosen.names(chosen.launches[0])[0]), what)
    if chosen.is_study:
        assert chosen.study_id is not None
        if undo:
            for launch in chosen.launches:
                storage.launches.ask(launch.launch_id, None)
        return storage.launches.ask_workers(chosen.study_id, what)
    (launch,) = chosen.launches
    storage.launches.ask(launch.launch_id, what)
    return sum(storage.launches.ask_job(str(job), what) for job in chosen.names(launch))


def not_come(storage: BookStorage, name: str) -> dict[str, int]:
    """How many placed workers of a study nobody has seen in the book yet, by launch.

    Draining the study does not ask them. Those of launches that were told to drain are not among
    them, nor those that an engine without a queue has started long ago: they have ended before
    they came. Nobody asks the engine.

    Raises:
        NotFoundError: There is none of that name.
    """
    chosen = selected(storage, name)
    if chosen.study is None or not chosen.is_study:
        return {}
    seen = activity(storage.book, chosen.study)
    came = {worker.worker.identity.launch for worker in seen.workers}
    found = {
        launch.launch_id: sum(
            str(JobId(launch.launch_id, job.index)) not in came for job in launch.jobs
        )
        for launch in chosen.launches
        if launch.asked != DRAIN
        and (launch.engine not in _NO_QUEUE or time.time() - launch.created_s < _COME_S)
    }
    return {launch: count for launch, count in found.items() if count}


def remaining(storage: BookStorage, name: str) -> list[WorkerRecord]:
    """The workers of what was named that are still there.

    One that gave no sign of life for longer than the study's lease is not waited for.

    Raises:
        NotFoundError: There is none of that name.
    """
    chosen = selected(storage, name)
    assert chosen.study is not None
    wanted = _names_of(chosen)
    seen = activity(storage.book, chosen.study)
    now = [worker_now(worker.worker, seen) for worker in seen.workers]
    return [
        worker.record
        for worker in now
        if worker.seen is Seen.WORKING
        and (wanted is None or worker.record.identity.launch in wanted)
    ]


def _names_of(chosen: Selection) -> set[str] | None:
    """The jobs that are meant, ``None`` for every worker of the study."""
    if chosen.is_study:
        return None
    return {str(job) for launch in chosen.launches for job in chosen.names(launch)}


def wait_until_left(
    storage: BookStorage, name: str, changed: Callable[[int], None] = lambda _: None
) -> None:
    """Wait until the workers of what was named have left.

    Args:
        storage: The book.
        name: ``STUDY``, ``LAUNCH`` or ``LAUNCH/INDEX``.
        changed: Is told how many there are still, whenever that changes.
    """
    before = -1
    while True:
        count = len(remaining(storage, name))
        if count != before:
            changed(count)
        if not count:
            return
        before = count
        time.sleep(_POLL_S)


@dataclass(frozen=True, slots=True)
class Cancelled:
    """What became of asking the engine to end a job.

    Args:
        job: The job.
        engine: The engine's name.
        failure: Why it could not be asked; ``None`` when it was, or had ended already.
    """

    job: JobId
    engine: str
    failure: str | None


def to_cancel(storage: BookStorage, name: str) -> list[JobRow]:
    """The jobs of what was named that are not over.

    Raises:
        NotFoundError: There is none of that name.
    """
    return [row for row in jobs(storage, name) if not row.is_over and row.placed is not None]


def cancel(storage: BookStorage, rows: list[JobRow]) -> list[Cancelled]:
    """Let the engines end jobs: running workers give their trials back, pending ones never start.

    Args:
        storage: The book.
        rows: As ``to_cancel`` gives them.

    Returns:
        What became of each, in their order.
    """
    results: dict[JobId, Cancelled] = {}
    for launch_id in dict.fromkeys(row.job.launch for row in rows):
        launch = storage.launches.one(launch_id)
        wanted = [row for row in rows if row.job.launch == launch_id]
        for row, failure in zip(wanted, _failures(launch, wanted), strict=True):
            results[row.job] = Cancelled(row.job, launch.engine, failure)
    return [results[row.job] for row in rows]


def _failures(launch: LaunchRecord, rows: list[JobRow]) -> list[str | None]:
    try:
        told = launcher(launch.engine, launch.options).cancel(
            [row.placed for row in rows if row.placed is not None]
        )
    except TrialbookError as error:
        return [error.what for _ in rows]
    return [told.get(row.job.index, "the engine said nothing of it") for row in rows]


def logs(storage: BookStorage, name: str) -> dict[JobId, Callable[[bool], Iterator[bytes]]]:
    """How to read what the workers of a launch have printed, by job.

    Each value takes whether to follow until the job has ended, and raises ``LaunchError`` where
    there is no log.

    Raises:
        NotFoundError: There is no such launch, or nothing of it was placed.
    """
    chosen = selected(storage, name)
    found: dict[JobId, Callable[[bool], Iterator[bytes]]] = {}
    for launch in chosen.launches:
        for placed in chosen.jobs(launch):
            read = partial(_log, launch, placed)
            found[JobId(launch.launch_id, placed.index)] = read
    if not found:
        raise NotFoundError(
            f"nothing of {name!r} was placed by a launch", hint="'trialbook jobs' lists what was"
        )
    return found


def _log(launch: LaunchRecord, placed: PlacedJob, follow: bool) -> Iterator[bytes]:
    return launcher(launch.engine, launch.options).log(placed, follow=follow)
