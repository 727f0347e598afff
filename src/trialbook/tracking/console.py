"""What a trial writes to its console: kept within bounds, credentials redacted.

Here: the capture interface, the bounded text, and the in-process capture, which sees what Python
writes through ``sys.stdout`` and ``sys.stderr``. A worker that gives a trial a process of its own
redirects the file descriptors instead and sees native writes too.
"""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import dataclass
from typing import Protocol, TextIO

from trialbook.records.blobs import Blob
from trialbook.records.execution import Console
from trialbook.tracking.redaction import without_secrets

HEAD_BYTES = 256 * 1024
TAIL_BYTES = 768 * 1024


@dataclass(frozen=True, slots=True)
class CapturedConsole:
    """Both streams of one attempt, ready to be recorded.

    Args:
        stdout: Standard output; ``None`` when it was not captured.
        stderr: Standard error, likewise.
        blobs: The kept texts.
        redacted: Where credentials were left out, such as ``stdout (2)``.
        gaps: What was not captured, one sentence each.
    """

    stdout: Console | None = None
    stderr: Console | None = None
    blobs: tuple[Blob, ...] = ()
    redacted: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()


class ConsoleCapture(Protocol):
    """The capture of one attempt's console."""

    def start(self) -> None:
        """Begin."""

    def stop(self) -> CapturedConsole:
        """End, and say what was written."""


class BoundedText:
    """The head and the tail of a text of any length, in bounded memory."""

    def __init__(self, head_bytes: int = HEAD_BYTES, tail_bytes: int = TAIL_BYTES) -> None:
        self.size_bytes = 0
        self._head = bytearray()
        self._tail = bytearray()
        self._head_bytes = head_bytes
        self._tail_bytes = tail_bytes

    def add(self, data: bytes) -> None:
        """Append bytes; the middle is dropped once both ends are full."""
        self.size_bytes += len(data)
        room = self._head_bytes - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if data:
            self._tail += data[-self._tail_bytes :]
            if len(self._tail) > 2 * self._tail_bytes:
                del self._tail[: -self._tail_bytes]

    @classmethod
    def of(cls, kept: bytes, size_bytes: int) -> BoundedText:
        """What another process kept of a text of this length (see ``kept``)."""
        text = cls()
        text.add(kept)
        text.size_bytes = size_bytes
        return text

    def kept(self) -> bytes:
        """Head and tail without a mark between them, for ``of``."""
        return bytes(self._head + self._tail[-self._tail_bytes :])

    def text(self) -> str:
        """What was kept, with a line that says how much was cut from the middle.

        The cut lies between lines where it can, so that no credential is cut in two, which
        would then pass for harmless text.
        """
        head, tail = bytes(self._head), bytes(self._tail[-self._tail_bytes :])
        if self.size_bytes > len(head) + len(tail):
            head = head[: head.rfind(b"\n") + 1] or head
            tail = tail[tail.find(b"\n") + 1 :] or tail
            cut = self.size_bytes - len(head) - len(tail)
            head += f"\n[trialbook: {cut} bytes left out here]\n".encode()
        return (head + tail).decode("utf-8", "replace")


def recorded_console(
    stdout: BoundedText, stderr: BoundedText, gaps: tuple[str, ...] = ()
) -> CapturedConsole:
    """Both texts as they go into the record: redacted, as blobs."""
    consoles: list[Console] = []
    blobs: list[Blob] = []
    redacted: list[str] = []
    for name, stream in (("stdout", stdout), ("stderr", stderr)):
        text = stream.text()
        if text:
            text, count = without_secrets(text)
            if count:
                redacted.append(f"{name} ({count})")
        blob = Blob.of(text.encode("utf-8", "replace"))
        blobs.append(blob)
        consoles.append(Console(blob.digest, stream.size_bytes, blob.size_bytes))
    return CapturedConsole(consoles[0], consoles[1], tuple(blobs), tuple(redacted), gaps)


class _Tee:
    """A text stream that passes everything on and keeps a bounded copy."""

    def __init__(self, stream: TextIO, kept: BoundedText) -> None:
        self._stream = stream
        self._kept = kept
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def write(self, text: str) -> int:
        # What a forked child kept would reach no record, and a thread that is not there may hold
        # its lock.
        if os.getpid() == self._pid:
            with self._lock:
                self._kept.add(text.encode("utf-8", "replace"))
        return self._stream.write(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


class ProcessConsole:
    """Captures what this process's Python code writes while a trial runs."""

    _GAP = (
        "the console was captured inside the caller's process: native writes, those of other "
        "processes, and log handlers made before the trial, are not seen"
    )

    def __init__(self) -> None:
        self._texts = (BoundedText(), BoundedText())
        self._before: tuple[TextIO, TextIO] | None = None
        self._tees: tuple[_Tee, _Tee] | None = None

    def start(self) -> None:
        """Put a copy in front of ``sys.stdout`` and ``sys.stderr``."""
        self._before = (sys.stdout, sys.stderr)
        out, err = self._texts
        self._tees = (_Tee(sys.stdout, out), _Tee(sys.stderr, err))
        sys.stdout, sys.stderr = self._tees

    def stop(self) -> CapturedConsole:
        """Put the streams back, unless the objective replaced them itself."""
        gaps = [self._GAP]
        if self._before is not None and self._tees is not None:
            for name, tee, before in zip(
                ("stdout", "stderr"), self._tees, self._before, strict=True
            ):
                if getattr(sys, name) is tee:
                    setattr(sys, name, before)
                else:
                    gaps.append(f"the objective replaced sys.{name}")
        return recorded_console(*self._texts, gaps=tuple(gaps))


class NoConsole:
    """No capture, because the console is shared; the reason is recorded."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def start(self) -> None:
        """Nothing to begin."""

    def stop(self) -> CapturedConsole:
        """Nothing but the reason."""
        return CapturedConsole(gaps=(self._reason,))
