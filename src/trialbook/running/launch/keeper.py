"""The process that starts the workers of a local launch and notes how each ends.

It outlives the command that launched, so that somebody waits for the workers: a process tells its
exit status to its parent alone. It is started as a file by ``local.py`` with an interpreter that
loads nothing else, and imports nothing of Trialbook. When it is killed the workers go on, and only
how they end is not known then.

For each line that it reads, an order as JSON, it starts a process and answers with a line: its
process id and its own, or why it could not be started. An order to end names a process that was
started, of which nobody would know otherwise. Nothing ends unseen until its input is closed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys


def main() -> None:
    """Start what is ordered, then wait for all of it."""
    if os.fork():
        os._exit(0)  # so that nobody has to wait for the one that stays
    kept: dict[int, str] = {}
    for line in sys.stdin:
        order = json.loads(line)
        if "end" in order:
            os.kill(order["end"], signal.SIGKILL)  # not waited for yet: the number is still its own
            print(json.dumps({}), flush=True)
            continue
        try:
            pid = _started(order)
        except OSError as error:
            answer: dict[str, object] = {"error": f"{error.strerror}: {error.filename}"}
        else:
            kept[pid] = order["exit"]
            answer = {"pid": pid, "keeper": os.getpid()}
        print(json.dumps(answer), flush=True)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    while kept:
        pid, status = os.wait()
        _note(kept.pop(pid), os.waitstatus_to_exitcode(status))


def _started(order: dict[str, object]) -> int:
    log = os.open(str(order["log"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        process = subprocess.Popen(
            order["argv"],  # type: ignore[call-overload]
            env=order["environment"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    finally:
        os.close(log)
    pid: int = process.pid
    process.returncode = 0  # it is waited for here, by its number
    return pid


def _note(path: str, code: int) -> None:
    """Write how a process ended, whole or not at all."""
    if code >= 0:
        text = f"exit {code}"
    else:
        try:
            text = signal.Signals(-code).name
        except ValueError:
            text = f"signal {-code}"
    with open(f"{path}.part", "w", encoding="ascii") as file:  # noqa: PTH123 - loads nothing else
        file.write(text)
    os.replace(f"{path}.part", path)  # noqa: PTH105


if __name__ == "__main__":
    main()
