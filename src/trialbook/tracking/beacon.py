"""One page of memory that a supervisor and its trial share: what either must see at once.

The supervisor asks the trial to stop; the trial shows that it has asked whether to, and that it
makes progress. Nothing waits for anything here, so code that holds the interpreter's lock holds up
nobody. Each byte is written by one side and read by the other.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any, Final

PROGRESS: Final = 2
"""Place of the mark that ``trial.log`` sets; the hot path writes it without a call."""

_STOP, _ASKED = 0, 1
_LIMIT = struct.Struct("<d")
_LIMIT_AT = 8
_SIZE_BYTES = 4096
_TICK_S = 0.5


class StopCause(IntEnum):
    """Why a trial is to stop."""

    NONE = 0
    PREEMPTED = 1
    TIMED_OUT = 2
    STALLED = 3


def stop_text(cause: StopCause, limit_s: float) -> str:
    """Why a trial was to stop, in a few words.

    Args:
        cause: The cause.
        limit_s: The limit that is over, in seconds; 0 when none is.
    """
    match cause:
        case StopCause.TIMED_OUT:
            return f"the trial took longer than its limit of {limit_s:g} s"
        case StopCause.STALLED:
            return f"the trial logged nothing for {limit_s:g} s, its limit of progress"
        case _:
            return "the trial was asked to stop"


class Beacon:
    """The page as one process sees it.

    Args:
        page: The shared memory; ``None`` when there is no supervisor, and the page is this
            process's own.
        descriptor: Of the file behind it, for a child to inherit; ``None`` without one.

    Attributes:
        page: For the hot path: ``page[PROGRESS] = 1``.
        descriptor: As above.
    """

    def __init__(self, page: mmap.mmap | None = None, descriptor: int | None = None) -> None:
        self.page: Any = bytearray(_SIZE_BYTES) if page is None else page
        self.descriptor = descriptor
        self._signalled = False

    @classmethod
    def created(cls) -> Beacon:
        """A new page, for a supervisor."""
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create("trialbook-beacon")
        else:
            import tempfile

            with tempfile.TemporaryFile() as file:
                descriptor = os.dup(file.fileno())
        try:
            os.ftruncate(descriptor, _SIZE_BYTES)
            return cls(mmap.mmap(descriptor, _SIZE_BYTES), descriptor)
        except BaseException:
            os.close(descriptor)
            raise

    @classmethod
    def inherited(cls, descriptor: int) -> Beacon:
        """The page behind an inherited descriptor, which is closed."""
        try:
            return cls(mmap.mmap(descriptor, _SIZE_BYTES))
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Give the memory back; nothing may be asked of it afterwards."""
        if isinstance(self.page, mmap.mmap):
            self.page.close()
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None

    # The supervisor's side.

    def clear(self) -> None:
        """Begin with another trial."""
        self.page[: _LIMIT_AT + _LIMIT.size] = bytes(_LIMIT_AT + _LIMIT.size)

    def request_stop(self, cause: StopCause, limit_s: float = 0.0) -> None:
        """Let the trial know that it is to stop; the first cause stands.

        Args:
            cause: Why.
            limit_s: The limit that is over, in seconds.
        """
        if self.page[_STOP] == StopCause.NONE:
            _LIMIT.pack_into(self.page, _LIMIT_AT, limit_s)
            self.page[_STOP] = cause

    def progressed(self) -> bool:
        """Whether the trial has shown progress since the last call."""
        if not self.page[PROGRESS]:
            return False
        self.page[PROGRESS] = 0
        return True

    @property
    def has_asked(self) -> bool:
        """Whether the trial has been told to stop, by an answer to its question."""
        return bool(self.page[_ASKED])

    # The trial's side.

    @contextmanager
    def progressing(self) -> Iterator[None]:
        """Show progress all through the block: keeping something large takes its time.

        Who keeps it is patient for a limited time, so this hides no trial that hangs.
        """
        over = threading.Event()

        def show() -> None:
            while not over.wait(_TICK_S):
                self.page[PROGRESS] = 1

        thread = threading.Thread(target=show, daemon=True, name="trialbook-progress")
        self.page[PROGRESS] = 1
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            self.page[PROGRESS] = 1

    def signalled(self) -> None:
        """This process was sent a signal that asks it to stop."""
        self._signalled = True

    def forget_signals(self) -> None:
        """What this process was sent was not meant for the trial that begins."""
        self._signalled = False

    @property
    def cause(self) -> StopCause:
        """Why the trial is to stop, if it is."""
        cause = StopCause(self.page[_STOP])
        return StopCause.PREEMPTED if cause is StopCause.NONE and self._signalled else cause

    @property
    def limit_s(self) -> float:
        """The limit that is over, in seconds; 0 when none is."""
        return float(_LIMIT.unpack_from(self.page, _LIMIT_AT)[0])

    def should_stop(self) -> bool:
        """Whether the trial is to stop; that it was told so is there to see from now on."""
        if not self._signalled and not self.page[_STOP]:
            return False
        self.page[_ASKED] = 1
        return True
