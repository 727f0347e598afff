"""Workers: who holds a trial, and whether that process can still be there."""

from __future__ import annotations

from dataclasses import dataclass

LEASE_S = 60.0
"""How long a lease lasts when a study says nothing else."""

RENEWALS_PER_LEASE = 4
"""A lease is renewed every quarter of it."""


@dataclass(frozen=True, slots=True)
class Placement:
    """What placed a worker.

    Args:
        launcher: The engine, or the batch system around it; ``local`` for neither.
        job: Its id of the job, ``None`` when there is none.
        launch: ``LAUNCH/INDEX`` when ``trialbook launch`` placed it.
    """

    launcher: str = "local"
    job: str | None = None
    launch: str | None = None


@dataclass(frozen=True, slots=True)
class WorkerIdentity:
    """A process that holds trials.

    Args:
        worker_id: Random, 32 hexadecimal digits.
        host: Name of its host.
        pid: Its process id there.
        launcher: What placed it, ``local`` by default.
        job: The launcher's id of the job, ``None`` when there is none.
        boot: Identity of the host's boot and of the pid namespace; ``None`` where unknown.
        start_ticks: When the kernel started the process, in its own clock ticks; with ``boot`` and
            ``pid`` it tells a process from a later one of the same number.
        launch: ``LAUNCH/INDEX`` when a launcher placed it, see ``records/launches.py``.
    """

    worker_id: str
    host: str
    pid: int
    launcher: str = "local"
    job: str | None = None
    boot: str | None = None
    start_ticks: int | None = None
    launch: str | None = None


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    """A worker as the book knows it. Times are seconds since the epoch, on the book's clock.

    Args:
        identity: Which process it is.
        study_id: The study that it works on, ``None`` when it is no study's.
        state: ``working``, or how it ended: ``left`` or ``dead``.
        started_s: When it was registered, by its own clock.
        seen_s: Its last sign of life.
        ended_s: When it left or was found dead, ``None`` before.
        asked: What somebody asked of it through the book, ``None`` for nothing.
    """

    identity: WorkerIdentity
    study_id: int | None
    state: str
    started_s: float
    seen_s: float
    ended_s: float | None
    asked: str | None = None


@dataclass(frozen=True, slots=True)
class Holder:
    """Who is to hold a trial, and for how long without a sign of life."""

    worker: WorkerIdentity
    lease_s: float = LEASE_S


@dataclass(frozen=True, slots=True)
class Claim:
    """A trial that was claimed.

    Args:
        trial_id: The book's id of the trial.
        number: Its number in the study.
        attempt: Number of the claimed attempt; 0 when the claim has no lease.
        attempt_id: The book's id of the attempt; 0 when the claim has no lease.
    """

    trial_id: int
    number: int
    attempt: int = 0
    attempt_id: int = 0


@dataclass(frozen=True, slots=True)
class WaitFor:
    """Nothing can be claimed yet, but a trial that is tried again can be after so many seconds."""

    seconds: float
