"""What runs inside a Ray cluster: one actor a worker, and a ledger of what became of them.

Only the standard library and Ray are used here: the classes travel to the cluster by value, so that
its own Python needs no Trialbook when the worker has another interpreter. Nothing here knows of
books or trials; the engine's side of it is in ``ray.py``.

A worker is a process of its own, started by the actor's constructor. So it begins once the cluster
has the resources, even when the command that asked for it has ended long ago.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from typing import Any

KEPT_BYTES = 1 << 20
"""How much of a worker's output the ledger keeps; the middle is left out of more."""

LEDGER_S = 24 * 3600.0
"""How long the ledger stays when the last worker has ended."""

_CHUNK_BYTES = 1 << 16

# ``python -c`` of what stands between the actor and the worker: the worker hears SIGTERM when the
# actor's process dies, as it does when its node is lost (prctl(2), PR_SET_PDEATHSIG).
_BOUND = (
    "import ctypes, os, sys\n"
    "parent = int(sys.argv[1])\n"
    "if sys.platform.startswith('linux'):\n"
    "    ctypes.CDLL(None).prctl(1, 15, 0, 0, 0)\n"
    "    if os.getppid() != parent: sys.exit(1)\n"
    "os.execv(sys.argv[2], sys.argv[2:])\n"
)


class Ledger:
    """What the workers of one launch said and how they ended; one small actor for each launch.

    Args:
        workers: How many the launch has.
    """

    def __init__(self, workers: int) -> None:
        self._to_end = workers
        self._facts: dict[int, dict[str, Any]] = {}
        self._heads: dict[int, bytearray] = {}
        self._tails: dict[int, bytearray] = {}
        self._written: dict[int, int] = {}

    def began(self, index: int, host: str, pid: int) -> None:
        """A worker was started."""
        self._facts[index] = {"host": host, "pid": pid, "began_s": time.time(), "exit": None}

    def failed(self, index: int, why: str) -> None:
        """A worker could not be started."""
        self._facts[index] = {"host": None, "pid": None, "began_s": None, "exit": why}
        self._one_less()

    def wrote(self, index: int, text: bytes) -> None:
        """A worker wrote something."""
        head = self._heads.setdefault(index, bytearray())
        tail = self._tails.setdefault(index, bytearray())
        room = KEPT_BYTES // 2 - len(head)
        head += text[:room]
        tail += text[room:] if room < len(text) else b""
        del tail[: max(0, len(tail) - KEPT_BYTES // 2)]
        self._written[index] = self._written.get(index, 0) + len(text)

    def ended(self, index: int, code: int) -> None:
        """A worker ended; a negative code is the signal that killed it."""
        if index in self._facts:
            self._facts[index]["exit"] = code
        self._one_less()

    def _one_less(self) -> None:
        self._to_end -= 1
        if self._to_end == 0:
            timer = threading.Timer(LEDGER_S, os._exit, (0,))
            timer.daemon = True
            timer.start()

    def facts(self) -> dict[int, dict[str, Any]]:
        """Host, process and end of each worker that was started, by index."""
        return self._facts

    def log(self, index: int, start: int) -> tuple[bytes, int]:
        """What a worker has written from a place on, and the place where that ends."""
        head, tail = self._heads.get(index, b""), self._tails.get(index, b"")
        written = self._written.get(index, 0)
        tail_start = written - len(tail)
        parts = [bytes(head[start:])]
        gap = tail_start - len(head)
        if gap > 0 and start <= len(head):
            parts.append(b"\n[%d bytes are left out here]\n" % gap)
        parts.append(bytes(tail[max(0, start - tail_start) :]))
        return b"".join(parts), written


class Employer:
    """One worker; lives as long as its process.

    Args:
        index: Its number in the launch.
        command: The interpreter and its arguments.
        environment: Variables on top of those of the cluster.
        ledger: Handle of the launch's ledger.
    """

    def __init__(
        self, index: int, command: list[str], environment: dict[str, str], ledger: Any
    ) -> None:
        self._index = index
        self._ledger = ledger
        self._process: subprocess.Popen[bytes] | None = None
        threading.Thread(target=self._run, args=(command, environment), daemon=True).start()

    def stop(self) -> None:
        """Ask the worker to stop."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)

    def _run(self, command: list[str], environment: dict[str, str]) -> None:
        import ray

        try:
            self._process = process = subprocess.Popen(
                [command[0], "-c", _BOUND, str(os.getpid()), *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        except OSError as error:
            ray.get(self._ledger.failed.remote(self._index, f"{command[0]}: {error.strerror}"))
            os._exit(0)
        ray.get(self._ledger.began.remote(self._index, socket.gethostname(), process.pid))
        assert process.stdout is not None
        while text := os.read(process.stdout.fileno(), _CHUNK_BYTES):
            self._ledger.wrote.remote(self._index, text)
        # Told before this process ends, or the cluster would know no more than that it is gone.
        ray.get(self._ledger.ended.remote(self._index, process.wait()))
        os._exit(0)
