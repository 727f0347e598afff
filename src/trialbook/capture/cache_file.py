"""A small file in the user's cache directory, read whole and replaced whole.

What a cache means is said by who uses it. A file that is missing, broken, not writable, or
writable by somebody else counts as empty: a cache saves time and never decides anything.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from trialbook.capture.imports import unwatched

Content = TypeVar("Content")

_FILES = 64


class CacheFile(Generic[Content]):
    """One file of a directory of caches.

    Args:
        path: The file; of its directory only the 64 files that were saved last are kept.
        kind: What it holds, as msgspec understands types.
    """

    def __init__(self, path: Path, kind: type[Content]) -> None:
        self._path = path
        self._decoder = msgspec.msgpack.Decoder(kind)
        self._known: tuple[int, int, int] | None = None

    def read(self) -> Content | None:
        """What was saved last, ``None`` when there is nothing that can be used."""
        self._known = self._identity()
        try:
            with unwatched(), self._path.open("rb") as file:
                status = os.fstat(file.fileno())
                if status.st_uid != os.geteuid() or status.st_mode & 0o022:
                    return None
                return self._decoder.decode(file.read())
        except (OSError, msgspec.MsgspecError, ValueError):
            return None

    def is_newer(self) -> bool:
        """Whether another process saved since this one read or wrote."""
        return self._identity() != self._known

    def write(self, content: Content) -> None:
        """Save; without a directory, space or permission nothing happens."""
        folder = self._path.parent
        encoded = msgspec.msgpack.encode(content)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with unwatched():
                descriptor, temporary = tempfile.mkstemp(dir=folder, suffix=".partial")
                try:
                    with os.fdopen(descriptor, "wb") as file:
                        file.write(encoded)
                    Path(temporary).replace(self._path)
                except OSError:
                    Path(temporary).unlink(missing_ok=True)
                    raise
            self._known = self._identity()
            saved = sorted(folder.glob("*.msgpack"), key=lambda file: file.stat().st_mtime_ns)
            for old in saved[:-_FILES]:
                old.unlink(missing_ok=True)
        except OSError:
            # The next process computes again what it would have found here.
            return

    def _identity(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return (status.st_ino, status.st_size, status.st_mtime_ns)


def default_cache_dir() -> Path:
    """``$XDG_CACHE_HOME/trialbook``, else ``~/.cache/trialbook``, else a private temporary one."""
    base = os.environ.get("XDG_CACHE_HOME")
    if base and base.startswith("/"):
        return Path(base) / "trialbook"
    try:
        return Path.home() / ".cache" / "trialbook"
    except RuntimeError:  # no home directory
        return Path(tempfile.gettempdir()) / f"trialbook-{os.geteuid()}"
