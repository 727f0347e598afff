"""Options of the engine SLURM: which are the launcher's own, and which go to sbatch as they are.

What goes to sbatch is one argument each, ``--KEY=VALUE``; no shell reads it. sbatch understands an
option by any beginning of its name, so what is refused is refused by its beginnings too.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trialbook.errors import InvalidInputError

WARN_S = 60
"""How long before the time limit a worker hears of it, when nothing else was asked for."""

REQUEUES = 100

_LONGEST_WARNING_S = 65535
_KEY = re.compile(r"[a-z][a-z0-9-]*", re.ASCII)
_OWN = ("python", "gpus_per_worker", "signal", "requeues")

_SET_HERE = "Trialbook sets it"
_NOT_FOR_JOBS = "it submits no job, or more than one"
_REFUSED = {
    "array": "the number of workers sets it (-w)",
    "output": "it is the job's log, which 'trialbook logs' shows",
    "error": "it is the job's log, which 'trialbook logs' shows",
    "open-mode": _SET_HERE,
    "parsable": _SET_HERE,
    "requeue": "requeues=0 keeps jobs from being requeued",
    "no-requeue": "requeues=0 keeps jobs from being requeued",
    "export": "the worker needs the environment of the command",
    "export-file": "the worker needs the environment of the command",
    "get-user-env": "the worker needs the environment of the command",
    "wrap": "the job is a worker",
    "input": "the job is a worker",
    "clusters": "give the command on a machine of that cluster",
    "uid": "jobs are the user's who gives the command",
    "gid": "jobs are the user's who gives the command",
    "wait": "'trialbook jobs' says how they are doing",
    "test-only": _NOT_FOR_JOBS,
    "help": _NOT_FOR_JOBS,
    "usage": _NOT_FOR_JOBS,
    "version": _NOT_FOR_JOBS,
    "hosts": "write -o nodelist=NAMES",
    "address": "SLURM's own configuration says where it is",
}


@dataclass(frozen=True, slots=True)
class SlurmOptions:
    """What the user asked of SLURM.

    Args:
        python: The interpreter on the nodes.
        warn_s: Seconds before the time limit at which a worker is to hear of it; 0 for never.
        requeues: How often a job may be requeued.
        passed: Arguments for sbatch.
    """

    python: str
    warn_s: int
    requeues: int
    passed: tuple[str, ...]

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> SlurmOptions:
        """From a launcher's options.

        Raises:
            InvalidInputError: Some cannot be taken; all of them are named.
        """
        faults: list[str] = []
        python = options.get("python", sys.executable)
        if not isinstance(python, str) or not python or python[0] == "-" or "\0" in python:
            faults.append(f"python must be a path, not {python!r}")
        passed = []
        if (gpus := options.get("gpus_per_worker")) is not None:
            passed.append(f"--gpus={gpus}")
        for key, value in options.items():
            if key not in _OWN:
                passed += _passed(key, value, faults)
        if gpus is not None and any(arg.startswith(("--gpus", "--gres")) for arg in passed[1:]):
            faults.append("gpus and gres are another word for gpus_per_worker: give one of them")
        warn_s = _whole(options, "signal", WARN_S, _LONGEST_WARNING_S, faults)
        limit_s = _limit_s(options.get("time"))
        if limit_s is not None and 0 < limit_s <= warn_s:
            faults.append(
                f"time is {limit_s} s, and {warn_s} s before its end (signal) a worker would stop"
            )
        asked = cls(
            python=str(python),
            warn_s=warn_s,
            requeues=_whole(options, "requeues", REQUEUES, sys.maxsize, faults),
            passed=tuple(passed),
        )
        if faults:
            raise InvalidInputError(
                "the engine slurm cannot take: " + "; ".join(faults),
                hint="give sbatch's long options as -o KEY=VALUE, such as -o partition=gpu; "
                "-o signal=SECONDS and -o requeues=NUMBER are Trialbook's",
            )
        return asked


def _whole(
    options: Mapping[str, Any], name: str, default: int, most: int, faults: list[str]
) -> int:
    value = options.get(name, default)
    text = str(value)
    if isinstance(value, bool) or not (text.isascii() and text.isdecimal() and int(text) <= most):
        limit = "" if most == sys.maxsize else f" to {most}"
        faults.append(f"{name} must be a whole number from 0{limit}, not {value!r}")
        return default
    return int(text)


def _limit_s(time: object) -> int | None:
    """Seconds of a time limit as sbatch takes it; ``None`` where it is another text.

    It has the forms ``M``, ``M:S``, ``H:M:S``, ``D-H``, ``D-H:M`` and ``D-H:M:S``; 0 is no limit.
    """
    days, has_days, clock = str(time).rpartition("-")
    parts = clock.split(":")
    if len(parts) > 3 or not all(part.isascii() and part.isdecimal() for part in parts):
        return None
    if has_days and not (days.isascii() and days.isdecimal()):
        return None
    from_hours = has_days or len(parts) == 3
    units = (3600, 60, 1) if from_hours else (60, 1)
    seconds = sum(int(part) * unit for part, unit in zip(parts, units, strict=False))
    return int(days or 0) * 86400 + seconds


def _passed(key: str, value: object, faults: list[str]) -> list[str]:
    if not _KEY.fullmatch(key):
        faults.append(f"{key!r} is no long option of sbatch")
        return []
    for refused, why in _REFUSED.items():
        if refused.startswith(key):
            faults.append(f"{key} is not for the user to set: {why}")
            return []
    arguments = []
    for one in value if isinstance(value, (list, tuple)) else (value,):
        if one is True or one == "":
            arguments.append(f"--{key}")
        elif isinstance(one, bool) or not isinstance(one, (str, int, float)) or "\0" in str(one):
            faults.append(f"{key} must be a text or a number, not {one!r}")
        else:
            arguments.append(f"--{key}={one}")
    return arguments
