"""Talking with a host through the system's own ``ssh``: one process a conversation.

``ssh`` hands its command to a shell of the host as one line. That line is a fixed text: which
Python runs there, what it runs (``ssh_remote.py``) and what that is to do go through the standard
input. So no quoting is to be got right, and no password stands in a command line.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from trialbook.errors import LaunchError
from trialbook.running.launch.ssh_remote import BEGUN, MARK

ANSWER_TIMEOUT_S = 60.0
"""A host that has accepted the connection and says nothing for so long is given up."""

# Whatever the login shell is (fish and csh too), it understands this; `read` takes one line only.
_COMMAND = (
    "exec sh -c 'IFS= read -r p && "
    'exec "$p" -c "import json, sys; exec(json.loads(sys.stdin.readline()))"\''
)
_OPTIONS = (
    "BatchMode=yes",  # nobody is there to be asked for a password
    "ConnectTimeout=10",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
    "ClearAllForwardings=yes",
    "RemoteCommand=none",
    "RequestTTY=no",
    "ForwardAgent=no",
    "ForwardX11=no",
)
_SAID_BYTES = 4000
_SHOWN_LETTERS = 300
_PIECE_BYTES = 1 << 16
_MARK = b"\n" + MARK.encode()
_MOST_BEFORE_ANSWER_BYTES = 1 << 20


class NoAnswerError(LaunchError):
    """A host did not answer: it cannot be reached, or the connection was lost.

    Attributes:
        begun: Whether it had been reached and had begun with what it was to do.
    """

    begun = False


@dataclass(frozen=True, slots=True)
class SshClient:
    """How hosts are reached.

    Args:
        program: Path of ``ssh``.
        python: Path or name of Python on the hosts.
        options: ``KEY=VALUE`` as in ``ssh -o``; they go before those set here, so they win.
        config: A file that is read instead of the user's configuration.
    """

    program: str
    python: str
    options: tuple[str, ...] = ()
    config: str | None = None

    def command(self, host: str) -> list[str]:
        """The arguments of ``ssh``."""
        options = [part for option in (*self.options, *_OPTIONS) for part in ("-o", option)]
        config = [] if self.config is None else ["-F", self.config]
        return [self.program, *config, *options, "--", host, _COMMAND]

    def asked(self, host: str, order: dict[str, Any]) -> dict[str, Any]:
        """Let a host do something; its answer.

        Raises:
            NoAnswerError: It cannot be reached or did not answer.
            LaunchError: It could not do it.
        """
        with tempfile.TemporaryFile() as said:
            process = self._started(host, said)
            with process:
                try:
                    heard, _ = process.communicate(self._text(order), ANSWER_TIMEOUT_S)
                except subprocess.TimeoutExpired as expired:
                    process.kill()
                    raise _late(begun=_MARK in (expired.output or b"")) from None
                except BaseException:
                    process.kill()
                    raise
            _, mark, last = heard.rpartition(_MARK)
            answer = _understood(last) if mark else BEGUN
            if answer == BEGUN:
                raise _silent(process.returncode, said, heard, begun=bool(mark))
        return answer

    @contextmanager
    def reading(self, host: str, order: dict[str, Any]) -> Iterator[Iterator[bytes]]:
        """Let a host do something, and read what it writes behind its answer.

        Raises:
            NoAnswerError: It cannot be reached, or the connection was lost, also while reading.
            LaunchError: It could not do it.
        """
        with tempfile.TemporaryFile() as said:
            process = self._started(host, said)
            try:
                assert process.stdin is not None
                with suppress(BrokenPipeError):  # it has ended, and says why
                    process.stdin.write(self._text(order))
                    process.stdin.flush()
                yield _pieces(process, said)
            finally:
                process.kill()
                with suppress(BrokenPipeError):
                    process.__exit__(None, None, None)

    def _started(self, host: str, said: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.command(host),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            start_new_session=True,  # a Ctrl-C is ours to hear; a host that was asked must answer
        )

    def _text(self, order: dict[str, Any]) -> bytes:
        remote = Path(__file__).with_name("ssh_remote.py").read_text(encoding="utf-8")
        lines = (self.python, json.dumps(remote), json.dumps({"python": self.python, **order}))
        return "".join(f"{line}\n" for line in lines).encode(errors="surrogateescape")


def _pieces(process: subprocess.Popen[bytes], said: IO[bytes]) -> Iterator[bytes]:
    assert process.stdout is not None
    output = process.stdout.fileno()
    before = b""
    while _MARK not in before or b"\n" not in before.partition(_MARK)[2]:
        if not select.select([output], [], [], ANSWER_TIMEOUT_S)[0]:
            raise _late(begun=False)
        piece = os.read(output, _PIECE_BYTES)
        if not piece or len(before) > _MOST_BEFORE_ANSWER_BYTES:
            process.kill()  # what is still there may wait for us to say more
            raise _silent(process.wait(), said, before, begun=False)
        before += piece
    answer, _, rest = before.partition(_MARK)[2].partition(b"\n")
    _understood(answer)
    if rest:
        yield rest
    while piece := os.read(output, _PIECE_BYTES):
        yield piece
    if process.wait() != 0:
        raise _silent(process.returncode, said, b"", begun=True)


def _understood(answer: bytes) -> dict[str, Any]:
    try:
        read = json.loads(answer)
    except ValueError:
        read = None
    if not isinstance(read, dict):
        problem = NoAnswerError("it answered something that is no answer")
        problem.begun = True
        raise problem
    if "error" in read:
        raise LaunchError(str(read["error"]))
    return read


def _silent(status: int, said: IO[bytes], heard: bytes, *, begun: bool) -> NoAnswerError:
    """Why there was no answer: the last thing that ``ssh`` or the host's shell said."""
    said.seek(0, os.SEEK_END)
    said.seek(max(0, said.tell() - _SAID_BYTES))
    lines = (said.read() or heard[-_SAID_BYTES:]).decode(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    what = "".join(letter if letter.isprintable() else "?" for letter in last)
    problem = NoAnswerError(
        what[:_SHOWN_LETTERS] or f"ssh ended with status {status} and said nothing"
    )
    problem.begun = begun
    return problem


def _late(*, begun: bool) -> NoAnswerError:
    problem = NoAnswerError(f"no answer within {ANSWER_TIMEOUT_S:.0f} s")
    problem.begun = begun
    return problem
