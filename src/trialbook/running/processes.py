"""Starting the processes of a run: fresh interpreters in sessions of their own, on one socket.

A process of its own session gets no Ctrl-C from the terminal; the coordinator alone does, and
says what becomes of the rest.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trialbook.running.messages import Channel
from trialbook.running.signals import held_back
from trialbook.running.surroundings import Interpreter

_START = str(Path(__file__).with_name("start.py"))
_OF_AN_INTERPRETER = ("PYTHONPATH", "PYTHONHOME")
"""Variables that would lead another interpreter into this one's libraries."""


@dataclass(slots=True)
class RunProcess:
    """A started process.

    Args:
        process: The process; leads a session and a process group of its own.
        channel: Messages to and from it.
    """

    process: subprocess.Popen[bytes]
    channel: Channel

    def kill(self) -> None:
        """End it and its group at once, and wait for it."""
        kill_group(self.process.pid)
        self.process.wait()


def started(
    program: str,
    incoming: Any,
    *,
    piped: bool,
    environment: Mapping[str, str] | None = None,
    inherited: Sequence[int] = (),
    patient: bool = True,
    interpreter: Interpreter | None = None,
) -> RunProcess:
    """Start ``trialbook.running.PROGRAM`` in a fresh interpreter.

    The signals that ask a run to stop are blocked in it until it hears them.

    Args:
        program: ``worker`` or ``child``.
        incoming: The union of messages that it sends.
        piped: Whether its standard output and error come here through pipes; without, errors go
            where those of this process go.
        environment: Variables on top of this process's own.
        inherited: Descriptors that it inherits under their numbers.
        patient: Whether sending to it waits for it to read (see ``Channel``).
        interpreter: Runs it; ``None`` for this one.
    """
    here, there = socket.socketpair()
    output = subprocess.PIPE if piped else subprocess.DEVNULL
    variables = {**os.environ, **(environment or {})}
    if interpreter is not None:
        for name in _OF_AN_INTERPRETER:
            variables.pop(name, None)
    try:
        with held_back():
            process = subprocess.Popen(
                [
                    sys.executable if interpreter is None else interpreter.python,
                    *interpreter_flags(),
                    _START,
                    program,
                    str(there.fileno()),
                    str(os.getpid()),
                    *([] if interpreter is None else [interpreter.tool]),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output if piped else None,
                pass_fds=(there.fileno(), *inherited),
                start_new_session=True,
                env=variables,
            )
    except BaseException:
        here.close()
        raise
    finally:
        there.close()
    return RunProcess(process, Channel(here, incoming, patient=patient))


def interpreter_flags() -> list[str]:
    """This interpreter's own flags (``-O``, ``-X``, ``-W``), so that all processes agree.

    Without ``-P``, which ``start.py`` makes good for: a worker that was placed with it records the
    same flags as one of a run.
    """
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    return [flag for flag in flags if flag != "-P"]


def signal_group(pid: int, number: signal.Signals) -> None:
    """Send a signal to the group that a process leads; one that is gone already is no error."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def kill_group(pid: int) -> None:
    """Kill a process and the group that it leads; one that is gone already is no error."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def exit_watch(pid: int) -> int | None:
    """A descriptor that becomes readable when a child process ends; ``None`` where there is none.

    Linux has ``pidfd_open`` (5.3); elsewhere, and in strict sandboxes, one must poll.
    """
    opened: Any = getattr(os, "pidfd_open", None)
    if opened is None:
        return None
    try:
        return int(opened(pid))
    except OSError:
        return None
