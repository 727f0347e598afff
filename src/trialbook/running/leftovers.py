"""Trials that a run which was killed as a whole left RUNNING: given their end by the next run.

Only what is certain is ended: a trial whose process ran on this host, in this container or
outside any, and is gone. Trials of other hosts, and those that were never under tracking (a bare
``ask``), are left alone.
"""

from __future__ import annotations

import os
import socket

import psutil

from trialbook.book.reading import Reader
from trialbook.book.storage import BookStorage
from trialbook.capture.placement import container
from trialbook.records.environment import EnvironmentState
from trialbook.records.execution import EndReason, LaunchState, OutcomeState
from trialbook.records.study import AttemptRecord, TrialState

_CLOCK_S = 2.0
"""How far a process's start and an attempt's may seem apart by the granularity of clocks."""


def end_leftovers(storage: BookStorage, study: str) -> tuple[int, ...]:
    """End the RUNNING trials of a study whose process on this machine is gone.

    Returns:
        Numbers of the trials that were ended, as FAIL with the reason ``lost``.
    """
    reader = Reader(storage.book)
    ended: list[int] = []
    running: tuple[TrialState, ...] = ("RUNNING",)
    for trial in list(reader.trials(study, states=running, brief=True)):
        attempt = trial.attempt
        if attempt is None or not _is_gone(reader, attempt):
            continue
        outcome = OutcomeState(
            EndReason.LOST,
            message="the process of this trial was gone when the next run began",
            gaps=("how the process ended, and its console, are not known",),
        )
        if storage.end_dead_attempt(trial.trial_id, outcome):
            ended.append(trial.number)
    return tuple(ended)


def _is_gone(reader: Reader, attempt: AttemptRecord) -> bool:
    digests = attempt.coordinates
    if digests.execution is None or digests.environment is None:
        return False
    launch = reader.snapshot(digests.execution).state_as(LaunchState)
    place = reader.snapshot(digests.environment).state_as(EnvironmentState).container
    if launch.host != socket.gethostname() or place != container(os.environ):
        return False
    try:
        process = psutil.Process(launch.pid)
        # Another process may have got the number since.
        another = process.create_time() > attempt.started_s + _CLOCK_S
        return another or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False
