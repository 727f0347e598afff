"""Jobs as they stand: what the engine says, what the book knows, and where the two disagree.

The engine's word never ends a lease. Where it says that a worker is gone and the book has a lease
of it, the trial is another worker's when the lease is over; where it knows nothing of a worker that
is seen in the book, the worker works. ``docs/design/launchers.md`` has the table of the cases.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum

from trialbook.book.activity import RunningTrial, StudyActivity, WorkerActivity, activity
from trialbook.book.leases import DEAD, LEFT
from trialbook.book.storage import BookStorage
from trialbook.errors import TrialbookError
from trialbook.records.launches import (
    DRAIN,
    JobId,
    JobState,
    JobStatus,
    LaunchRecord,
    PlacedJob,
)
from trialbook.records.study import StudySpec
from trialbook.records.workers import WorkerRecord
from trialbook.running.launch.engines import launcher
from trialbook.running.launch.selecting import Selection, selected

_ENGINES_AT_ONCE = 8


class Seen(StrEnum):
    """What the book knows of a job's worker."""

    NEVER = "never came"
    WORKING = "working"
    SILENT = "silent"
    """It gave no sign of life for longer than a lease, and did not leave."""
    LEFT = "left"
    DEAD = "dead"


class Remark(StrEnum):
    """What is to be said of a job besides what the engine and the book say."""

    NOT_PLACED = "not placed"
    ENGINE_SILENT = "engine silent"
    """The engine could not be asked."""
    NOT_COME = "not come"
    """It runs and its worker has not come to the book yet."""
    NEVER_CAME = "never came"
    """It ended before its worker came to the book."""
    HOLDS_AFTER_END = "holds after end"
    """The engine says ended; the book has a lease of its worker."""
    NOT_LEFT = "not left"
    """The engine says ended; its worker did not leave the book, and holds nothing."""
    SILENT = "silent"
    """The engine says that it runs; the book has not seen it for longer than a lease."""
    SEEN_UNKNOWN = "seen, unknown"
    """The engine does not know it, or says that it waits; the book sees its worker."""
    UNKNOWN = "unknown"
    """The engine does not know it, and the book has not seen its worker leave."""
    ENDING = "ending"
    """Its worker has left, and the process has still to end."""
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class HeldTrial:
    """A trial that a job's worker holds: its number, and the seconds until its lease ends."""

    number: int
    lease_left_s: float


@dataclass(frozen=True, slots=True)
class JobWorker:
    """The newest worker of a job; one that was started again by its engine has had several.

    Args:
        record: The worker.
        seen: What is known of it.
        silent_s: Seconds since its last sign of life, on the book's clock.
        holds: The trials that it holds, by number.
    """

    record: WorkerRecord
    seen: Seen
    silent_s: float
    holds: tuple[HeldTrial, ...]


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job as it stands.

    Args:
        job: Its name.
        study: Name of the study.
        engine: Name of the engine.
        placed: What the engine took, ``None`` when it was not placed.
        status: What the engine says, ``None`` when it could not be asked.
        worker: What the book knows of its worker, ``None`` when none has come.
        came: How many workers of this job have come so far.
        finished: How many trials they have finished.
        remark: What there is to remark, ``None`` for nothing.
        text: The same as a sentence.
    """

    job: JobId
    study: str
    engine: str
    placed: PlacedJob | None
    status: JobStatus | None
    worker: JobWorker | None
    came: int
    finished: int
    remark: Remark | None
    text: str | None

    @property
    def is_over(self) -> bool:
        """Whether nothing of it is to be expected any more."""
        if self.worker is not None and self.worker.holds:
            return False
        gone = self.worker is None or self.worker.seen in (Seen.LEFT, Seen.DEAD, Seen.SILENT)
        if self.placed is None:
            return True
        if self.status is None:
            return gone and self.worker is not None
        return gone and self.status.state in (JobState.ENDED, JobState.UNKNOWN)


Answers = dict[str, "Mapping[int, JobStatus] | str"]
"""By launch: what its engine says of its jobs, or why it could not be asked."""


def jobs(storage: BookStorage, name: str | None = None) -> list[JobRow]:
    """The jobs of launches as they stand, oldest launch first, by index.

    Args:
        storage: The book.
        name: ``STUDY``, ``LAUNCH`` or ``LAUNCH/INDEX``; ``None`` for all.

    Raises:
        NotFoundError: There is none of that name.
    """
    chosen = selected(storage, name)
    answers = asked_engines(chosen)
    # After the engines, so that a worker that has just come is not taken for a missing one.
    names = {launch.study for launch in chosen.launches}
    studies = {name: activity(storage.book, name) for name in names}
    rows: list[JobRow] = []
    for launch in chosen.launches:
        came = _workers(studies[launch.study])
        for job in chosen.names(launch):
            rows.append(_row(launch, job, answers[launch.launch_id], studies[launch.study], came))
    return rows


def asked_engines(chosen: Selection) -> Answers:
    """Ask the engines about all that was chosen, several at a time: a host may take long."""

    def answer(launch: LaunchRecord) -> Mapping[int, JobStatus] | str:
        placed = chosen.jobs(launch)
        try:
            return launcher(launch.engine, launch.options).status(placed) if placed else {}
        except TrialbookError as error:
            return error.what
        except Exception as error:  # whatever an engine does, the others are to be listed
            return f"asking the engine failed: {type(error).__name__}: {error}"

    with ThreadPoolExecutor(_ENGINES_AT_ONCE) as pool:
        answers = pool.map(answer, chosen.launches)
        return {
            launch.launch_id: found for launch, found in zip(chosen.launches, answers, strict=True)
        }


def _workers(seen: StudyActivity) -> dict[str, list[WorkerActivity]]:
    """The workers of each job, oldest first."""
    found: dict[str, list[WorkerActivity]] = defaultdict(list)
    for worker in seen.workers:
        if worker.worker.identity.launch is not None:
            found[worker.worker.identity.launch].append(worker)
    return found


def _row(
    launch: LaunchRecord,
    job: JobId,
    answer: Mapping[int, JobStatus] | str,
    seen: StudyActivity,
    came: Mapping[str, Sequence[WorkerActivity]],
) -> JobRow:
    placed = next((p for p in launch.jobs if p.index == job.index), None)
    workers = came.get(str(job), ())
    worker = worker_now(workers[-1].worker, seen) if workers else None
    status = None
    if placed is not None and not isinstance(answer, str):
        status = answer.get(job.index, JobStatus(JobState.UNKNOWN))
    if placed is None:
        found: tuple[Remark, str] | None = (Remark.NOT_PLACED, "the engine did not take it")
    elif status is None:
        found = (Remark.ENGINE_SILENT, str(answer))
    else:
        found = remark(status, worker, launch, job)
    return JobRow(
        job=job,
        study=launch.study,
        engine=launch.engine,
        placed=placed,
        status=status,
        worker=worker,
        came=len(workers),
        finished=sum(worker.finished for worker in workers),
        remark=None if found is None else found[0],
        text=None if found is None else found[1],
    )


def worker_now(record: WorkerRecord, seen: StudyActivity) -> JobWorker:
    """A worker of a study as the book knows it now."""
    holds = tuple(_held(seen.running, record.identity.worker_id, seen.now_s))
    silent_s = max(0.0, seen.now_s - record.seen_s)
    if record.state in (LEFT, DEAD):
        state = Seen(record.state)
    else:
        lease_s = (seen.study.spec or StudySpec()).lease_s
        alive = any(h.lease_left_s >= 0 for h in holds) if holds else silent_s <= lease_s
        state = Seen.WORKING if alive else Seen.SILENT
    return JobWorker(record, state, silent_s, holds)


def _held(running: Iterable[RunningTrial], worker_id: str, now_s: float) -> Iterable[HeldTrial]:
    for trial in running:
        if trial.worker_id == worker_id and trial.lease_s is not None:
            yield HeldTrial(trial.number, trial.lease_s - now_s)


def remark(
    status: JobStatus, worker: JobWorker | None, launch: LaunchRecord, job: JobId
) -> tuple[Remark, str] | None:
    """What there is to say where the engine and the book are put side by side.

    Args:
        status: What the engine says.
        worker: What the book knows.
        launch: The launch, for what was asked of it.
        job: The job, for the next step.
    """
    if worker is None:
        return _of_nobody(status.state, job)
    if worker.seen is Seen.WORKING and status.state in (JobState.PENDING, JobState.UNKNOWN):
        word = "waits" if status.state is JobState.PENDING else "is unknown"
        return (
            Remark.SEEN_UNKNOWN,
            f"the engine says that it {word}, but its worker was seen {_s(worker.silent_s)} ago: "
            "it works",
        )
    match status.state:
        case JobState.ENDED:
            return _of_ended(worker)
        case JobState.RUNNING:
            return _of_running(worker, launch)
        case JobState.UNKNOWN if worker.seen is Seen.SILENT:
            return (Remark.UNKNOWN, f"the engine does not know it; {_silence(worker)}")
    return None


def _of_nobody(state: JobState, job: JobId) -> tuple[Remark, str] | None:
    match state:
        case JobState.RUNNING:
            return (Remark.NOT_COME, "its worker has not come to the book yet")
        case JobState.ENDED:
            return (
                Remark.NEVER_CAME,
                f"it ended before its worker came to the book: 'trialbook logs {job}'",
            )
        case JobState.UNKNOWN:
            return (Remark.UNKNOWN, "the engine does not know it, and no worker has come")
    return None


def _of_ended(worker: JobWorker) -> tuple[Remark, str] | None:
    if worker.holds:
        return (Remark.HOLDS_AFTER_END, f"it ended without giving back {_leases(worker)}")
    if worker.seen in (Seen.WORKING, Seen.SILENT):
        return (Remark.NOT_LEFT, "it ended without leaving the book; it holds no trial")
    return None


def _of_running(worker: JobWorker, launch: LaunchRecord) -> tuple[Remark, str] | None:
    match worker.seen:
        case Seen.SILENT:
            return (Remark.SILENT, _silence(worker))
        case Seen.LEFT | Seen.DEAD:
            said = "has left" if worker.seen is Seen.LEFT else "was found dead"
            return (Remark.ENDING, f"its worker {said}; the process has still to end")
    if DRAIN in (worker.record.asked, launch.asked):
        what = f"after trial {_numbers(worker)}" if worker.holds else "now"
        return (Remark.DRAINING, f"it leaves {what}")
    return None


def _silence(worker: JobWorker) -> str:
    told = f"its worker gave no sign of life for {_s(worker.silent_s)}"
    return f"{told}, and holds {_leases(worker)}" if worker.holds else told


def _leases(worker: JobWorker) -> str:
    """The trials that a worker holds, and what becomes of them."""
    left_s = max(trial.lease_left_s for trial in worker.holds)
    trials = f"trial {_numbers(worker)}"
    if left_s >= 0:
        return f"{trials}: its lease ends in {_s(left_s)}, then another worker takes it over"
    return f"{trials}: its lease is over, the next worker or 'trialbook reap' takes it over"


def _numbers(worker: JobWorker) -> str:
    return ", ".join(str(trial.number) for trial in worker.holds)


def _s(seconds: float) -> str:
    return f"{seconds:.0f} s"
