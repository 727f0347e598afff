"""Ending what dead workers held: at once when they are provably gone, else when the lease is over.

A worker of this host whose process has ended is known to be gone. Of one on another host, or in
another container, only silence tells: its lease has to run out first. A bare ``ask`` has no lease
and is left alone.
"""

from __future__ import annotations

from collections.abc import Container

from trialbook.book.reading import Reader
from trialbook.book.retrying import Fate, Reaped
from trialbook.book.storage import BookStorage
from trialbook.capture.process import is_gone
from trialbook.records.execution import EndReason, OutcomeState
from trialbook.records.study import TrialState

GONE = OutcomeState(
    EndReason.LOST,
    message="the process that held this trial was gone",
    gaps=("how the process ended, and its console, are not known",),
    died=True,
)
"""The outcome of an attempt whose worker is provably gone."""


def reap(storage: BookStorage, study: str | None = None) -> tuple[Reaped, ...]:
    """End every attempt whose worker is gone or whose lease is over.

    Args:
        storage: The book.
        study: Only of this study; ``None`` for all studies of the book.

    Returns:
        What was ended, and what became of each trial.

    Raises:
        NotFoundError: There is no such study.
    """
    reader = Reader(storage.book)
    names = [record.name for record in reader.studies()] if study is None else [study]
    ended: list[Reaped] = []
    for name in names:
        study_id = storage.get_study_id_from_name(name)
        gone = {
            worker.identity.worker_id
            for worker in storage.leases.workers(study_id)
            if worker.state == "working" and is_gone(worker.identity)
        }
        if gone:
            ended += end_attempts_of(storage, name, gone, GONE)
        for worker_id in sorted(gone):
            storage.leases.leave(worker_id, dead=True)
        ended += storage.reap(study_id)
    return tuple(ended)


def end_attempts_of(
    storage: BookStorage, study: str, workers: Container[str], outcome: OutcomeState
) -> list[Reaped]:
    """End the attempts that dead workers held.

    Args:
        storage: The book.
        study: The study.
        workers: Ids of the workers.
        outcome: How these attempts ended.
    """
    reader = Reader(storage.book)
    running: tuple[TrialState, ...] = ("RUNNING",)
    ended: list[Reaped] = []
    for trial in list(reader.trials(study, states=running, brief=True)):
        attempt = trial.attempt
        if attempt is None or attempt.worker_id is None or attempt.worker_id not in workers:
            continue
        fate = storage.end_dead_attempt(trial.trial_id, outcome, attempt=attempt.number)
        if fate is not Fate.OVER:
            ended.append(
                Reaped(trial.trial_id, trial.number, study, attempt.number, attempt.worker_id, fate)
            )
    return ended


def reaped_text(reaped: Reaped) -> str:
    """``trial 3: its worker was lost; it is tried again``, in one line."""
    became = {
        Fate.RETRIED: "it is tried again",
        Fate.FAILED: "it has failed, its tries are used up",
        Fate.QUARANTINED: "it is in quarantine, too many processes died of it",
    }
    return f"trial {reaped.number}: its worker was lost; {became[reaped.fate]}"
