"""Starting the fresh process of a rerun as recorded, and ending it for good.

What it inherits is this machine's environment without what Trialbook itself set, with the
recorded variables in the place of today's.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trialbook.capture.numerics import result_variables
from trialbook.errors import RerunError
from trialbook.records.environment import EnvironmentState

_BOOT = "import sys; sys.path[0] = sys.argv.pop(1); from trialbook.rerun.child import main; main()"
_NOT_INHERITED = ("PYTHONPATH", "PYTHONHASHSEED", "PYTHONSTARTUP", "PYTHONSAFEPATH")


@dataclass(frozen=True, slots=True)
class Exit:
    """How the process ended.

    Args:
        code: Its exit status, ``None`` when a signal killed it.
        signal: Name of that signal.
        stderr: The end of what it wrote to standard error.
    """

    code: int | None
    signal: str | None
    stderr: str


def child_environment(
    inherited: Mapping[str, str], recorded: EnvironmentState, gpus: str | None
) -> dict[str, str]:
    """Environment variables for the rerun.

    Args:
        inherited: Those of this process.
        recorded: The recorded environment.
        gpus: The recorded ``CUDA_VISIBLE_DEVICES``, ``None`` when it was not set.
    """
    todays = result_variables(inherited)
    variables = {
        name: value
        for name, value in inherited.items()
        if name not in _NOT_INHERITED and not name.startswith("TRIALBOOK_") and name not in todays
    }
    variables.update(recorded.variables)
    hash_seed = recorded.interpreter.hash_seed
    variables.pop("PYTHONHASHSEED", None)
    if hash_seed.isdecimal():
        variables["PYTHONHASHSEED"] = hash_seed
    variables.pop("CUDA_VISIBLE_DEVICES", None)
    mask = _devices(inherited.get("CUDA_VISIBLE_DEVICES"), gpus)
    if mask is not None:
        variables["CUDA_VISIBLE_DEVICES"] = mask
    return variables


def _devices(here: str | None, recorded: str | None) -> str | None:
    """As many of this machine's devices as the trial had: which ones they were says nothing."""
    if recorded is None:
        return here
    count = len([device for device in recorded.split(",") if device.strip() not in ("", "-1")])
    if here is None:
        return ",".join(str(index) for index in range(count))
    return ",".join(here.split(",")[:count])


def run_child(
    python: Path, options: Sequence[str], order: Path, tool: Path, environment: Mapping[str, str]
) -> Exit:
    """Run the child to its end, and whatever it left running with it.

    Args:
        python: The interpreter.
        options: Its options.
        order: The file of the order; standard output and error are kept beside it.
        tool: Directory from which Trialbook is imported.
        environment: Environment variables.

    Raises:
        RerunError: The interpreter cannot be started.
    """
    command = [str(python), *options, "-c", _BOOT, str(tool), str(order)]
    stdout, stderr = order.with_name("stdout.txt"), order.with_name("stderr.txt")
    with stdout.open("wb") as out, stderr.open("wb") as err:
        try:
            process = subprocess.Popen(
                command,
                cwd=order.parent,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        except OSError as error:
            raise RerunError(
                f"the interpreter for the rerun cannot be started: {error.strerror}",
                where=str(python),
                hint="choose another environment with --env",
            ) from error
        try:
            status = process.wait()
        finally:
            # Also when this process is interrupted: nothing of the rerun outlives it.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    text = stderr.read_bytes()[-4000:].decode("utf-8", "replace")
    if status < 0:
        return Exit(None, signal.Signals(-status).name, text)
    return Exit(status, None, text)
