"""Digests of data files that another worker has computed already, of this machine or another one.

A file goes by its path, inode, size and modification time. On a network mount these are the same
for every host; elsewhere the host's name goes with them, since another machine may have another
file of that path. What a machine gives to others is what its own cache keeps, so a file that was
touched shortly before it was hashed is not among it: any later write has left another time. Small
files are hashed faster than they are asked for. What is taken over is not kept in this
machine's own cache, and the record says so.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from trialbook.capture.stat_cache import StatCache
from trialbook.records.canonical import digest_of
from trialbook.records.data import HashedFile
from trialbook.records.secrets import redacted_text

SHARED_FROM_BYTES = 1 << 20
"""Below this size hashing takes less than a row in the book is worth."""

_FILES = 20_000

Ask = Callable[[Sequence[str]], Mapping[str, str]]
"""Keys of files to the digests of those that are known."""


@dataclass(frozen=True, slots=True)
class SizedPath:
    """A file that may be asked for: its absolute path and its length."""

    path: str
    size_bytes: int


class SharedDigests:
    """What other workers have hashed, for the inputs of one.

    Args:
        cache: This machine's own digests.
        ask: Asks for the digests of others; ``None`` when nobody can be asked.
    """

    def __init__(self, cache: StatCache, ask: Ask | None) -> None:
        self._cache = cache
        self._ask = ask

    def borrow(self, files: Iterable[SizedPath]) -> None:
        """Ask for what this machine would have to hash, in one question."""
        if self._ask is None:
            return
        wanted: dict[str, tuple[str, os.stat_result]] = {}
        for file in _large(files):
            if len(wanted) < _FILES and not self._cache.knows(file.path):
                status = self._cache.status(file.path)
                if status is not None:
                    wanted[self._key(file.path, status)] = (file.path, status)
        if not wanted:
            return
        for key, digest in self._ask(list(wanted)).items():
            if key in wanted:
                self._cache.borrow(*wanted[key], digest)

    def own(self, files: Iterable[SizedPath]) -> tuple[HashedFile, ...]:
        """The files that this machine has hashed, for others."""
        found = []
        for file in _large(files):
            status = self._cache.status(file.path)
            digest = None if status is None else self._cache.own_digest(file.path)
            if status is not None and digest is not None:
                found.append(
                    HashedFile(
                        self._key(file.path, status),
                        redacted_text(os.fsencode(file.path).decode("utf-8", "replace"))[0],
                        status.st_size,
                        status.st_mtime_ns,
                        digest,
                    )
                )
        return tuple(found[:_FILES])

    def _key(self, path: str, status: os.stat_result) -> str:
        host = None if self._cache.is_shared(status) else socket.gethostname()
        identity = (status.st_ino, status.st_size, status.st_mtime_ns)
        # As text: canonical JSON keeps integers up to 2^53 only.
        return digest_of([host, os.fsencode(path).hex(), *map(str, identity)])


def _large(files: Iterable[SizedPath]) -> Iterable[SizedPath]:
    return (file for file in files if file.size_bytes >= SHARED_FROM_BYTES)
