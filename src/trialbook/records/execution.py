"""The execution coordinate: the launch, known before the trial starts, and the outcome after."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from trialbook.records.code import EntryPoint

Isolation = Literal["fork", "fresh", "none"]


@dataclass(frozen=True, slots=True)
class LaunchState:
    """What is known before the objective starts. The same for all trials of one process.

    Args:
        host: Host name.
        user: User name, ``None`` where unknown.
        pid: Process that ran the objective's worker.
        python: Path of the interpreter.
        argv: ``sys.orig_argv`` of a script, or the worker's command; credentials redacted.
        cwd: Working directory.
        entry: How the objective is found again.
        bases: Base label to absolute directory: ``"."`` is the root of the code.
        sys_path: Module search path: entries under a base as ``BASE:relative`` (``".:"`` is the
            root itself), others absolute.
        isolation: ``fork``, ``fresh`` or ``none`` (in the caller's process).
        launcher: Engine that placed the worker, ``local`` by default.
        job_id: The engine's id of the job.
        gpus: ``CUDA_VISIBLE_DEVICES`` of the worker, ``None`` when unset.
        redacted: Where credentials were left out, such as ``argv[3]``.
        differs: How code, data or environment of this process differ from the study's, when it was
            let in all the same: ``code: train.py``, ``environment: numpy 2.1.0 -> 2.2.0``.
    """

    host: str
    user: str | None
    pid: int
    python: str
    argv: tuple[str, ...]
    cwd: str
    entry: EntryPoint
    bases: dict[str, str]
    sys_path: tuple[str, ...]
    isolation: Isolation
    launcher: str = "local"
    job_id: str | None = None
    gpus: str | None = None
    redacted: tuple[str, ...] = ()
    differs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Seeds:
    """The seeds of one trial.

    Args:
        trial: Derived from the study's seed and the trial's number, of a replicate from the number
            of its seed; 0 <= trial < 2**32.
        study: The study's seed, ``None`` when the study has none.
        decorator: The decorator's ``seed``, ``None`` when not given.
        set_globals: Global generators that were seeded: ``random``, ``numpy``, ``torch``.
    """

    trial: int
    study: int | None = None
    decorator: int | None = None
    set_globals: tuple[str, ...] = ()


class EndReason(StrEnum):
    """Why an attempt ended."""

    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"
    ABANDONED = "abandoned"
    LOST = "lost"
    PREEMPTED = "preempted"
    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"
    STALLED = "stalled"
    FENCED = "fenced"


@dataclass(frozen=True, slots=True)
class Console:
    """What the attempt wrote to one stream.

    Args:
        digest: Blob of the kept text (UTF-8, credentials redacted).
        size_bytes: Length of everything written.
        kept_bytes: Length of the kept text; less than ``size_bytes`` when the middle was cut.
    """

    digest: str
    size_bytes: int
    kept_bytes: int


@dataclass(frozen=True, slots=True)
class OutcomeState:
    """What is known after the objective ended.

    Args:
        reason: Why the attempt ended.
        exit_code: Exit status of the process, when it ran in one of its own and exited.
        signal: Name of the signal that killed it, such as ``SIGKILL``.
        exception: Dotted type of the exception that left the objective.
        message: Its text, credentials redacted.
        traceback: Its traceback, credentials redacted.
        stdout: Standard output, ``None`` when not captured.
        stderr: Standard error, ``None`` when not captured.
        cpu_s: CPU seconds, user and system, of the attempt.
        peak_memory_bytes: Peak resident memory of the process.
        gpu_memory_bytes: Peak GPU memory, ``None`` without a GPU.
        redacted: Where credentials were left out.
        gaps: What could not be observed, one sentence each.
        died: Whether the process died without a word: killed, crashed, or gone with its machine.
    """

    reason: EndReason
    exit_code: int | None = None
    signal: str | None = None
    exception: str | None = None
    message: str | None = None
    traceback: str | None = None
    stdout: Console | None = None
    stderr: Console | None = None
    cpu_s: float | None = None
    peak_memory_bytes: int | None = None
    gpu_memory_bytes: int | None = None
    redacted: tuple[str, ...] = field(default_factory=tuple)
    gaps: tuple[str, ...] = field(default_factory=tuple)
    died: bool = False
