"""Programs on terminals of their own, as a person at a keyboard starts and answers them."""

from __future__ import annotations

import codecs
import os
import pty
import select
import signal
import subprocess
import sys
import time

# The terminal becomes the one that the program is controlled by: its Ctrl-C goes to the program.
_PROGRAM = (
    "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
    "from trialbook.cli.main import main; main()"
)


class OnTerminal:
    """The command line on a terminal; use it in a ``with`` block, which ends it.

    Args:
        arguments: Those of ``trialbook``.
        columns: Width of the terminal.
        variables: Environment variables besides those of this process.
    """

    def __init__(self, *arguments: str, columns: int = 80, **variables: str) -> None:
        self._keyboard, theirs = pty.openpty()
        self._shown = ""
        self._closed = False
        self._decoded = codecs.getincrementaldecoder("utf-8")()
        terminal = {"TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": "40"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env={**os.environ, **terminal, **variables},
        )
        os.close(theirs)

    def __enter__(self) -> OnTerminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._keyboard)

    def type(self, text: str) -> None:
        """Press keys; ``\\x03`` is Ctrl-C."""
        os.write(self._keyboard, text.encode())

    def shows(self, text: str, timeout_s: float = 120.0) -> str:
        """All that was written so far, once a text is among it."""
        deadline_s = time.monotonic() + timeout_s
        while text not in self._shown:
            assert self._read(deadline_s - time.monotonic()), self._shown
        return self._shown

    def ends(self, timeout_s: float = 120.0, *, nudged_s: float | None = None) -> tuple[int, str]:
        """Exit code, and all that was written until the program ended.

        Args:
            timeout_s: How long it may take.
            nudged_s: Interrupt it again each time that it writes nothing for so long.
        """
        deadline_s = time.monotonic() + timeout_s
        while not self._closed:
            left_s = deadline_s - time.monotonic()
            assert left_s > 0, self._shown
            silent = not self._read(left_s if nudged_s is None else min(nudged_s, left_s))
            if silent and nudged_s is not None and not self._closed:
                self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout_s), self._shown

    def _read(self, timeout_s: float) -> bool:
        """Read what comes within a time; ``False`` when nothing does."""
        if not select.select([self._keyboard], [], [], max(0.0, timeout_s))[0]:
            return False
        try:
            read = os.read(self._keyboard, 65536)
        except OSError:  # so Linux tells that nobody has the terminal open any more
            read = b""
        self._closed = not read
        self._shown += self._decoded.decode(read).replace("\r\n", "\n")
        return bool(read)
