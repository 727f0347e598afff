"""What is left to do for a job that SLURM takes away, or has given a place again: the book knows.

A worker's own share (``--trials``, ``--hours``) is one for all runs of its job.
"""

from __future__ import annotations

from dataclasses import dataclass

from trialbook.book.location import book_url
from trialbook.book.reading import Reader
from trialbook.book.storage import BookStorage
from trialbook.errors import BookError, TrialbookError
from trialbook.records.launches import DRAIN, JobId
from trialbook.records.workers import WorkerRecord
from trialbook.running.budget import recorded_budget
from trialbook.running.launch.slurm_order import SlurmOrder
from trialbook.running.standing import Standing


@dataclass(frozen=True, slots=True)
class Left:
    """What is left for one job.

    Args:
        work: Whether there is anything to do for it.
        trials: Trials of its share, ``None`` where it has none.
        hours: Hours of its share, ``None`` where it has none.
        trouble: Why the book could not be asked, ``None`` when it could.
    """

    work: bool
    trials: int | None = None
    hours: float | None = None
    trouble: str | None = None


def left(order: SlurmOrder, index: int) -> Left:
    """What is left for a job; when the book cannot be reached, all that was asked for.

    Args:
        order: What the job was told.
        index: Its number in the launch.
    """
    share_trials, share_hours = order.share
    try:
        storage = BookStorage(book_url(None), create=False)
    except BookError as error:
        return Left(True, share_trials, share_hours, str(error.what))
    try:
        return _left(storage, order, str(JobId(order.launch_id, index)))
    except BookError as error:
        return Left(True, share_trials, share_hours, str(error.what))
    except (TrialbookError, KeyError) as error:
        return Left(False, trouble=str(getattr(error, "what", error)))
    finally:
        storage.close()


def _left(storage: BookStorage, order: SlurmOrder, job: str) -> Left:
    study_id = storage.get_study_id_from_name(order.study)
    workers = [w for w in storage.leases.workers(study_id) if w.identity.launch == job]
    trials, hours = order.share
    if trials is not None:
        trials = max(0, trials - _finished_by(storage, order.study, workers))
    if hours is not None:
        hours = max(0.0, hours - sum(map(_worked_s, workers)) / 3600)
    # What was asked of an earlier run of the job may have been taken back since.
    asked = {storage.launches.one(order.launch_id).asked, *(w.asked for w in workers[-1:])}
    budget = recorded_budget(storage, study_id)
    to_go = Standing(storage, study_id, order.study, budget).state(0).to_go
    is_left = to_go != 0 and trials != 0 and hours != 0 and DRAIN not in asked
    return Left(is_left, trials, hours)


def _finished_by(storage: BookStorage, study: str, workers: list[WorkerRecord]) -> int:
    ids = {worker.identity.worker_id for worker in workers}
    return sum(
        trial.attempt is not None
        and trial.attempt.worker_id in ids
        and trial.state not in ("RUNNING", "WAITING")
        for trial in Reader(storage.book).trials(study)
    )


def _worked_s(worker: WorkerRecord) -> float:
    return max(0.0, (worker.ended_s or worker.seen_s) - worker.started_s)
