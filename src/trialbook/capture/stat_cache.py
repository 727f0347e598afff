"""Digests of files that need not be read again: a cache keyed on what ``stat`` says.

An entry holds while path, inode, size, modification and change time stay the same, and the
device, except where mounts get other numbers each time (network mounts). As in git's index an
entry is *racy*, and therefore not kept, when the file was touched so shortly before it was hashed
that a later write could leave the same times (git's ``Documentation/technical/racy-git.txt``).

A cache that is missing, broken or not writable costs time and nothing else.

Digests that another worker has computed can be borrowed (``shared_digests.py``); they hold for this
process and are never saved.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
import time
from pathlib import Path

import msgspec

from trialbook.capture.cache_file import CacheFile, default_cache_dir
from trialbook.capture.imports import unwatched

_VERSION = 1
_ENTRIES = 200_000
_RACY_NS = 2_000_000_000
_RACY_NETWORK_NS = 60_000_000_000
_NETWORK = (
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "gpfs", "beegfs",
    "glusterfs", "fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.rclone",
    "virtiofs", "panfs", "orangefs", "pvfs2",
)  # fmt: skip
_NO_DEVICE = -1

# device or -1, inode, size, mtime_ns, ctime_ns, digest
_Entry = tuple[int, int, int, int, int, bytes]


class _Saved(msgspec.Struct, array_like=True):
    version: int
    entries: dict[bytes, _Entry]


class StatCache:
    """Digests by path, shared by all threads of a process and, once saved, by later processes.

    Args:
        cache_dir: Where it is saved; ``$XDG_CACHE_HOME/trialbook`` by default.
        scope: What the cache is about, such as a project's root; each scope is one file, so that
            opening one does not read the others.
    """

    def __init__(self, cache_dir: Path | None = None, *, scope: str = "") -> None:
        folder = cache_dir if cache_dir is not None else default_cache_dir()
        name = hashlib.sha256(os.fsencode(scope)).hexdigest()[:16]
        self._file = CacheFile(folder / "digests" / f"{name}.msgpack", _Saved)
        self._lock = threading.Lock()
        self._fresh = False
        self._entries: dict[bytes, _Entry] | None = None
        self._borrowed: dict[bytes, _Entry] = {}
        self._devices: dict[int, bool] | None = None

    def digest(self, path: str | Path, *, rehash: bool = False) -> tuple[str, int]:
        """SHA-256 and size of a file, read only when the cache does not know it.

        Args:
            path: A regular file, or a link to one.
            rehash: Read it in any case.

        Returns:
            64 hexadecimal digits, and the size in bytes.

        Raises:
            OSError: The file cannot be read, or is no regular file.
        """
        key = _key(path)
        if not rehash:
            known = self._known(key)
            if known is not None:
                return known[5].hex(), known[2]
        with unwatched():
            began_ns = time.time_ns()
            # Without O_NONBLOCK opening a FIFO would wait for its writer.
            descriptor = os.open(key, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            before = os.fstat(descriptor)
            if not stat.S_ISREG(before.st_mode):
                os.close(descriptor)
                raise OSError(f"not a regular file: {os.fsdecode(key)}")
            with os.fdopen(descriptor, "rb", buffering=0) as file:
                digest = hashlib.file_digest(file, "sha256")
                after = os.fstat(descriptor)
                size = file.tell()
        if _times(before) == _times(after) and size == after.st_size:
            self._learn(key, after, digest.digest(), began_ns)
        return digest.hexdigest(), size

    def knows(self, path: str | Path) -> bool:
        """Whether a file need not be read; ``False`` too when it cannot be looked at."""
        try:
            return self._known(_key(path)) is not None
        except OSError:
            return False

    def own_digest(self, path: str | Path) -> str | None:
        """SHA-256 of a file as this machine has hashed it, ``None`` when it has not."""
        key = _key(path)
        with self._lock:
            entry = self._loaded().get(key)
        try:
            return None if entry is None or not self._holds(key, entry) else entry[5].hex()
        except OSError:
            return None

    def status(self, path: str | Path) -> os.stat_result | None:
        """What ``stat`` says of a file, never what a network client remembers of it.

        ``None`` when it cannot be looked at.
        """
        try:
            return self._status(_key(path))
        except OSError:
            return None

    def is_shared(self, status: os.stat_result) -> bool:
        """Whether a file is known to lie on a network mount, where other machines see it too."""
        return self._on_network(status.st_dev) and status.st_dev in (self._devices or {})

    def borrow(self, path: str | Path, status: os.stat_result, digest: str) -> None:
        """Take over a digest that was computed elsewhere, for as long as ``stat`` says the same."""
        entry = (*self._signature(status), bytes.fromhex(digest))
        with self._lock:
            self._borrowed[_key(path)] = entry

    def is_borrowed(self, path: str | Path) -> bool:
        """Whether the digest of a file was taken over and not computed here."""
        return _key(path) in self._borrowed

    def save(self) -> None:
        """Write what was learnt for later processes; does nothing when that is nothing."""
        with self._lock:
            if not self._fresh:
                return
            entries = self._loaded()
            if self._file.is_newer():
                entries = self._read() | entries
            if len(entries) > _ENTRIES:
                entries = dict(list(entries.items())[-_ENTRIES:])
            self._fresh, self._entries = False, entries
            self._file.write(_Saved(_VERSION, entries))

    def _known(self, key: bytes) -> _Entry | None:
        with self._lock:
            entries = (self._loaded().get(key), self._borrowed.get(key))
        for entry in entries:
            if entry is not None and self._holds(key, entry):
                return entry
        return None

    def _holds(self, key: bytes, entry: _Entry) -> bool:
        return entry[:5] == self._signature(self._status(key))

    def _status(self, key: bytes) -> os.stat_result:
        status = os.stat(key)  # noqa: PTH116 (called for every file)
        if self._on_network(status.st_dev):
            # Opening makes a network client ask the server; stat may answer from its own cache.
            with unwatched():
                descriptor = os.open(key, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                try:
                    status = os.fstat(descriptor)
                finally:
                    os.close(descriptor)
        return status

    def _learn(self, key: bytes, status: os.stat_result, digest: bytes, began_ns: int) -> None:
        margin = _RACY_NETWORK_NS if self._on_network(status.st_dev) else _RACY_NS
        entry = (*self._signature(status), digest)
        with self._lock:
            entries = self._loaded()
            entries.pop(key, None)
            self._borrowed.pop(key, None)
            if began_ns - max(status.st_mtime_ns, status.st_ctime_ns) > margin:
                entries[key] = entry
                self._fresh = True

    def _signature(self, status: os.stat_result) -> tuple[int, int, int, int, int]:
        device = _NO_DEVICE if self._on_network(status.st_dev) else status.st_dev
        return (device, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    def _on_network(self, device: int) -> bool:
        if self._devices is None:
            self._devices = _network_devices()
        return self._devices.get(device, True)

    def _loaded(self) -> dict[bytes, _Entry]:
        if self._entries is None:
            self._entries = self._read()
        return self._entries

    def _read(self) -> dict[bytes, _Entry]:
        saved = self._file.read()
        return saved.entries if saved is not None and saved.version == _VERSION else {}


def _key(path: str | Path) -> bytes:
    return os.fsencode(os.path.abspath(path))  # noqa: PTH100


def _times(status: os.stat_result) -> tuple[int, int, int]:
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _network_devices() -> dict[int, bool]:
    """Device number to whether it is a network mount; devices that are not named may be one."""
    devices: dict[int, bool] = {}
    try:
        with unwatched():
            lines = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return devices
    for line in lines:
        left, _, right = line.partition(" - ")
        major, _, minor = left.split(" ")[2].partition(":")
        kind = right.split(" ")[0]
        devices[os.makedev(int(major), int(minor))] = kind in _NETWORK
    return devices
