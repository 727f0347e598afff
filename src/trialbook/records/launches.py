"""Launches: workers that one command placed, through an engine such as SSH or SLURM.

An engine only places workers; which trial a worker gets is the book's to say. What an engine says
of a job and what the book says of its worker are kept apart, since they can disagree.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from trialbook.errors import BadReferenceError

DRAIN = "drain"
"""What can be asked of a worker through the book: finish the trial that runs, and leave."""


class JobState(StrEnum):
    """What an engine says of a job."""

    PENDING = "pending"
    RUNNING = "running"
    ENDED = "ended"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class JobId:
    """One job of a launch: ``LAUNCH/INDEX``, as users and workers name it.

    Args:
        launch: Id of the launch, 8 hexadecimal digits.
        index: From 0 up.
    """

    launch: str
    index: int

    def __str__(self) -> str:
        return f"{self.launch}/{self.index}"

    @classmethod
    def of(cls, text: str) -> JobId:
        """Parse ``LAUNCH/INDEX``.

        Raises:
            BadReferenceError: The text has another form.
        """
        launch, _, index = text.partition("/")
        if not (launch.isalnum() and launch.isascii() and index.isdecimal() and index.isascii()):
            raise BadReferenceError(
                f"{text!r} names no job", hint="write LAUNCH/INDEX, as 'trialbook jobs' shows it"
            )
        return cls(launch, int(index))


@dataclass(frozen=True, slots=True)
class PlacedJob:
    """A job as the engine took it.

    Args:
        index: Its number in the launch, from 0 up.
        engine_id: The engine's own id (``4711_3`` in SLURM, ``HOST PID`` over SSH).
        place: The host that it was put on, ``None`` where the engine chooses later.
        log: Where what it prints is kept, in the engine's own terms.
    """

    index: int
    engine_id: str
    place: str | None = None
    log: str | None = None


@dataclass(frozen=True, slots=True)
class JobStatus:
    """What an engine says of a job now.

    Args:
        state: Pending, running, ended or unknown.
        says: The engine's own word, such as ``NODE_FAIL`` or ``exit 3``; ``None`` without one.
        place: The host on which it runs or ran, ``None`` where unknown.
    """

    state: JobState
    says: str | None = None
    place: str | None = None


@dataclass(frozen=True, slots=True)
class LaunchPin:
    """What a launcher pinned: a worker that finds just this runs the book's code unasked.

    Args:
        book_id: Identity of the book.
        code: Digest of the study's code snapshot.
    """

    book_id: str
    code: str

    def __str__(self) -> str:
        return f"{self.book_id}:{self.code}"

    @classmethod
    def of(cls, text: str) -> LaunchPin:
        """Parse ``BOOK:CODE``.

        Raises:
            BadReferenceError: The text has another form.
        """
        book_id, _, code = text.partition(":")
        if not book_id or len(code) != 64:
            raise BadReferenceError(
                f"{text!r} pins nothing", hint="it is BOOK-ID:CODE-DIGEST, as a launcher writes it"
            )
        return cls(book_id, code)


@dataclass(frozen=True, slots=True)
class LaunchRecord:
    """A launch. Times are seconds since the epoch.

    Args:
        launch_id: 8 hexadecimal digits.
        study_id: The book's id of the study.
        study: Its name.
        engine: ``local``, ``ssh``, ``slurm`` or ``ray``.
        created_s: When.
        host: The machine on which the command was given.
        user: Who gave it, ``None`` where unknown.
        workers: How many workers were asked for.
        options: The engine's options as they were given; credentials redacted.
        place: Directory of the launch's own files on ``host``.
        pin: What the workers are held to.
        jobs: Those that the engine took, by index.
        asked: What was asked of all its workers, ``None`` for nothing.
    """

    launch_id: str
    study_id: int
    study: str
    engine: str
    created_s: float
    host: str
    user: str | None
    workers: int
    options: dict[str, Any] = field(default_factory=dict)
    place: str | None = None
    pin: LaunchPin | None = None
    jobs: tuple[PlacedJob, ...] = ()
    asked: str | None = None
