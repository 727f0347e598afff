"""What SLURM knows of jobs, asked with its own programs: squeue, and sacct for what has left it.

Every answer comes as fields between bars, and what a user can choose (a job's name, a comment) is
never among them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from trialbook.errors import LaunchError, MissingEngineError
from trialbook.records.launches import JobState, JobStatus

ANSWER_S = 60.0
_ID = re.compile(r"[0-9]+_[0-9]+", re.ASCII)
_OWN_SETTINGS = ("SQUEUE_", "SACCT_", "SCANCEL_", "SLURM_TIME_FORMAT")
_PREFIX = re.compile(r"\A[a-z_]+: (error|fatal): ")
_NO_SUCH_JOB = "Invalid job id"

_PENDING = frozenset(
    {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT"}
    | {"RESV_DEL_HOLD"}
)
_RUNNING = frozenset(
    {"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "RESIZING", "STAGE_OUT"}
)
_ENDED = frozenset(
    {"COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "BOOT_FAIL"}
    | {"DEADLINE", "OUT_OF_MEMORY", "REVOKED", "LAUNCH_FAILED", "RECONFIG_FAIL"}
)


def require(program: str) -> None:
    """Refuse to go on without one of SLURM's programs.

    Raises:
        MissingEngineError: It is not installed here.
    """
    if shutil.which(program) is None:
        raise MissingEngineError(
            f"SLURM's {program} is not installed here",
            hint="give the command on a login node of the cluster",
        )


def answer(
    *command: str, environment: Mapping[str, str] | None = None, text: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run one of SLURM's programs to its end; its status is for the caller to judge.

    Args:
        command: The program and its arguments.
        environment: Its variables; without them this process's, save for what would change the
            form of the answer.
        text: What it reads.

    Raises:
        LaunchError: It cannot be run, or does not end.
    """
    if environment is None:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(_OWN_SETTINGS)
        }
    require(command[0])
    try:
        return subprocess.run(
            command,
            env=environment,
            input=text,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=ANSWER_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise LaunchError(
            f"SLURM's {command[0]} has not answered for {ANSWER_S:.0f} s",
            hint="see 'scontrol ping'",
        ) from error


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """What a program of SLURM said was wrong, on one line."""
    said = [_PREFIX.sub("", line.strip()) for line in done.stderr.splitlines() if line.strip()]
    return "; ".join(said) or f"exit {done.returncode}"


def is_id(engine_id: str) -> bool:
    """Whether a text is the id of a job in an array, such as ``4711_3``."""
    return _ID.fullmatch(engine_id) is not None


def statuses(engine_ids: Iterable[str]) -> dict[str, JobStatus]:
    """What SLURM says of jobs of arrays, by id; those that it does not know are not among them.

    Raises:
        LaunchError: It cannot be asked.
    """
    asked = sorted({engine_id for engine_id in engine_ids if is_id(engine_id)})
    if not asked:
        return {}
    arrays = ",".join(sorted({engine_id.partition("_")[0] for engine_id in asked}))
    done = answer(
        *("squeue", "--noheader", "--array", "--all", "--states=all", f"--jobs={arrays}"),
        "--format=%i|%T|%N|%r",
    )
    if done.returncode != 0 and _NO_SUCH_JOB not in done.stderr:
        raise LaunchError(f"SLURM cannot be asked: {refusal(done)}", hint="see 'scontrol ping'")
    rows = [line.strip().split("|", 3) for line in done.stdout.splitlines()]
    known = {row[0]: _status(row[1], row[2], row[3]) for row in rows if len(row) == 4}
    missing = [engine_id for engine_id in asked if engine_id not in known]
    if missing:
        # Of an array that it knows the controller forgets the jobs that were cancelled before they
        # began, and in time those that have ended.
        arrays_known = {engine_id.partition("_")[0] for engine_id in known}
        ended = [job for job in missing if job.partition("_")[0] in arrays_known]
        known |= dict.fromkeys(ended, JobStatus(JobState.ENDED)) | accounted(missing)
    return {engine_id: known[engine_id] for engine_id in asked if engine_id in known}


def accounted(engine_ids: Iterable[str]) -> dict[str, JobStatus]:
    """What SLURM's accounts say of jobs that its controller has forgotten; nothing without any."""
    if shutil.which("sacct") is None:
        return {}
    done = answer(
        *("sacct", "--noheader", "--parsable2", "--allocations"),
        *("--format=JobID,State,NodeList", f"--jobs={','.join(engine_ids)}"),
    )
    return accounts_of(done.stdout) if done.returncode == 0 else {}


def accounts_of(text: str) -> dict[str, JobStatus]:
    """Jobs in what sacct printed: ``JobID|State|NodeList``, a line each."""
    rows = [line.strip().split("|") for line in text.splitlines()]
    return {row[0]: _status(row[1], row[2], "") for row in rows if len(row) == 3}


def _status(state: str, nodes: str, reason: str) -> JobStatus:
    word = state.split(" ", 1)[0].rstrip("+")  # sacct: "CANCELLED by 1000"
    place = nodes if nodes and nodes not in ("(null)", "None assigned") else None
    if word in _PENDING:
        said = [] if word == "PENDING" else [word]
        said += [] if reason in ("", "None") else [reason]
        return JobStatus(JobState.PENDING, ", ".join(said) or None, place)
    if word in _RUNNING:
        return JobStatus(JobState.RUNNING, None if word == "RUNNING" else word, place)
    kind = JobState.ENDED if word in _ENDED else JobState.UNKNOWN
    return JobStatus(kind, word or None, place)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a job stands with its controller, as the job itself asks.

    Args:
        runs: Whether it is meant to run: it is not being ended.
        restarts: How often it was put back into the queue, this time included.
        preempted: Whether its place is wanted for another job.
        time_is_over: Whether it has had all its time.
    """

    runs: bool
    restarts: int
    preempted: bool
    time_is_over: bool


_FIELDS = ("State", "RestartCnt", "PreemptTime", "TimeUsed", "TimeLimit")


def standing(engine_id: str) -> Standing | None:
    """How one job stands; ``None`` when the controller cannot be asked or does not know it."""
    fields = ",".join(f"{field}:|" for field in _FIELDS)
    try:
        done = answer("squeue", "--noheader", "--all", f"--jobs={engine_id}", f"--Format={fields}")
    except LaunchError:
        return None
    return standing_of(done.stdout) if done.returncode == 0 else None


def standing_of(text: str) -> Standing | None:
    """How a job stands by what squeue printed; ``None`` when it printed something else."""
    row = [field.strip() for field in text.strip().split("|")]
    if len(row) != len(_FIELDS) + 1 or not row[1].isdecimal():
        return None
    state, restarts, preempted, used, limit = row[: len(_FIELDS)]
    used_s, limit_s = _seconds(used), _seconds(limit)
    return Standing(
        runs=state == "RUNNING",
        restarts=int(restarts),
        preempted=preempted[:1].isdecimal(),
        time_is_over=used_s is not None and limit_s is not None and used_s >= limit_s,
    )


def _seconds(text: str) -> int | None:
    """A length of time as SLURM writes it, ``1-02:03:04`` or ``3:04``; ``None`` for no limit."""
    days, _, clock = text.rpartition("-")
    try:
        parts = [int(part) for part in clock.split(":")]
        seconds = int(days or 0) * 86400
    except ValueError:
        return None
    for place, part in enumerate(reversed(parts)):
        seconds += part * 60**place
    return seconds
