"""Read the files of a tree: modes, digests, and the content of those that the book will keep.

Which files there are is said by ``listing.py``; which were loaded, by ``loaded.py``.
"""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from trialbook.capture.changes import Suspect, is_as_in_index, modified_files
from trialbook.capture.git import GitUnavailableError, Repository
from trialbook.capture.imports import unwatched
from trialbook.capture.listing import Excluded, Listing, Member
from trialbook.capture.stat_cache import StatCache
from trialbook.records.canonical import digest_of_bytes

LINK = "120000"
EXECUTABLE = "100755"
PLAIN = "100644"
_DATABASES = (b".db", b".db3", b".sqlite", b".sqlite3", b"-wal", b"-shm", b"-journal")
_COMPARED_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class CodeLimits:
    """How much of a tree is recorded.

    Args:
        file_bytes: Larger files are recorded by digest only.
        snapshot_bytes: What the embedded files of a snapshot may hold together.
        files: With more files in the tree only the loaded ones are recorded.
        hashed_bytes: Of files that are not embedded, how much is hashed; the rest is left out.
    """

    file_bytes: int = 2**20
    snapshot_bytes: int = 32 * 2**20
    files: int = 20_000
    hashed_bytes: int = 2 * 2**30

    def reason(self, size_bytes: int) -> str:
        """Why a file of this size is not embedded, when it is not."""
        if size_bytes > self.file_bytes:
            return f"larger than {binary_size(self.file_bytes)}"
        return f"beyond {binary_size(self.snapshot_bytes)} in one snapshot"


@dataclass(frozen=True, slots=True)
class TreeFile:
    """A file as it is on disk.

    Args:
        mode: As in ``FileEntry``.
        size_bytes: Length of the content.
        digest: SHA-256 of the content.
        content: The bytes; ``None`` when they are not to be kept, for ``reason``.
        reason: Why not.
        mtime_ns: Modification time that it had when it was read, ``None`` when that is not known.
    """

    mode: str
    size_bytes: int
    digest: str
    content: bytes | None
    reason: str | None = None
    mtime_ns: int | None = None


@dataclass(slots=True)
class Tree:
    """The files of a tree by path relative to the root, and what was noticed.

    Args:
        files: Path, as ``os.fsdecode`` gives it, to the file.
        dirty: Whether tracked files differ from the commit or untracked ones exist.
        gaps: What could not be recorded.
        remarks: What else a reader should know.
    """

    files: dict[str, TreeFile] = field(default_factory=dict)
    dirty: bool = False
    gaps: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Candidate:
    member: Member
    full: bytes
    mode: str
    status: os.stat_result
    embed: bool = True


class TreeReader:
    """Reads one tree once.

    Args:
        root: Absolute path of the root.
        listing: Its files.
        limits: How much is recorded.
        excluded: Files that are never opened.
        cache: Digests of files that are not embedded.
    """

    def __init__(
        self,
        root: str,
        listing: Listing,
        *,
        limits: CodeLimits,
        excluded: Excluded,
        cache: StatCache,
    ) -> None:
        self._root = os.fsencode(root)
        self._listing = listing
        self._limits = limits
        self._excluded = excluded
        self._cache = cache
        self._hashable_bytes = limits.hashed_bytes
        self._plain: dict[bytes, bool] = {b"": True}
        self._unreadable: list[str] = []
        self._unhashed: list[str] = []
        self._suspects: dict[int, list[Suspect]] = {}
        self._trees: dict[int, Repository] = {}
        self._tree = Tree(
            dirty=listing.dirty, gaps=list(listing.gaps), remarks=list(listing.remarks)
        )

    def read(self, loaded: Collection[str]) -> Tree:
        """Read the tree.

        Args:
            loaded: Paths of files that were loaded; they come first where limits bind.
        """
        candidates = [c for c in map(self._candidate, self._listing.members) if c is not None]
        self._choose(candidates, loaded)
        for candidate in candidates:
            self._read(candidate)
        self._compare()
        tree = self._tree
        if self._unreadable:
            tree.gaps.append(f"{names_in_short(self._unreadable)} cannot be read and are left out")
        if self._unhashed:
            tree.gaps.append(
                f"{names_in_short(self._unhashed)} are left out: the files that are not "
                f"embedded hold more than {binary_size(self._limits.hashed_bytes)} together"
            )
        return tree

    def _candidate(self, member: Member) -> _Candidate | None:
        full = self._root + b"/" + member.path
        entry = member.entry
        if self._excluded.covers(full):
            return None
        status: os.stat_result | None = None
        if self._is_plain(os.path.dirname(member.path)):  # noqa: PTH120
            try:
                status = os.lstat(full)
            except OSError:
                status = None
        mode = None if status is None else file_mode(status)
        if status is None or mode is None:
            # Gone, a pipe, a directory in its place, or behind a link that took a directory's.
            if entry is not None and not entry.absent:
                self._tree.dirty = True
            return None
        return _Candidate(member, full, mode, status)

    def _is_plain(self, directory: bytes) -> bool:
        """Whether a directory is reached from the root without any symbolic link."""
        known = self._plain.get(directory)
        if known is None:
            known = self._is_plain(os.path.dirname(directory))  # noqa: PTH120
            known = known and not os.path.islink(self._root + b"/" + directory)  # noqa: PTH114
            self._plain[directory] = known
        return known

    def _choose(self, candidates: Iterable[_Candidate], loaded: Collection[str]) -> None:
        """Mark what is embedded: loaded files first, then tracked ones, then small ones."""
        left = self._limits.snapshot_bytes

        def order(candidate: _Candidate) -> tuple[bool, bool, int, bytes]:
            member = candidate.member
            is_loaded = os.fsdecode(member.path) in loaded
            return (not is_loaded, member.entry is None, candidate.status.st_size, member.path)

        for candidate in sorted(candidates, key=order):
            size = candidate.status.st_size
            candidate.embed = size <= min(self._limits.file_bytes, left)
            left -= size if candidate.embed else 0

    def _read(self, candidate: _Candidate) -> None:
        member = candidate.member
        path = os.fsdecode(member.path)
        try:
            file = self._file(candidate)
        except OSError:
            self._unreadable.append(path)
            return
        if file is None:
            self._unhashed.append(path)
            return
        self._tree.files[path] = file
        entry, tree = member.entry, member.tree
        if entry is None or tree is None:
            return
        if not is_as_in_index(entry, file.mode, candidate.status, tree):
            content = file.content
            if content is None and file.size_bytes <= _COMPARED_BYTES:
                content = read_content(candidate.full)
            if content is None:
                self._tree.dirty = True
                return
            self._trees[id(tree)] = tree
            self._suspects.setdefault(id(tree), []).append(Suspect(entry, file.mode, content))

    def _file(self, candidate: _Candidate) -> TreeFile | None:
        """The file, or ``None`` when it is not to be embedded and too much was hashed already."""
        mode, mtime_ns, size = (
            candidate.mode,
            candidate.status.st_mtime_ns,
            candidate.status.st_size,
        )
        if mode == LINK:
            target = os.readlink(candidate.full)  # noqa: PTH115
            return TreeFile(LINK, len(target), digest_of_bytes(target), target, None, mtime_ns)
        if candidate.embed:
            content = read_content(candidate.full)
            if len(content) <= self._limits.file_bytes:
                digest = digest_of_bytes(content)
                return TreeFile(mode, len(content), digest, content, None, mtime_ns)
        if size > self._hashable_bytes:
            return None
        self._hashable_bytes -= size
        digest, size = digest_on_disk(candidate.full, self._cache)
        return TreeFile(mode, size, digest, None, self._limits.reason(size), mtime_ns)

    def _compare(self) -> None:
        for key, suspects in self._suspects.items():
            try:
                modified, undecided = modified_files(suspects, self._trees[key])
            except GitUnavailableError as error:
                self._tree.remarks.append(f"whether the tree is dirty is not certain: {error}")
                modified, undecided = (b"",), ()
            if modified:
                self._tree.dirty = True
            if undecided:
                names = names_in_short([os.fsdecode(path) for path in undecided])
                self._tree.remarks.append(
                    f"{names}: modified, unless a filter of the repository says otherwise; "
                    "filters are not run"
                )


def file_mode(status: os.stat_result) -> str | None:
    """The mode as git writes it; ``None`` for what is neither a file nor a symbolic link."""
    if stat.S_ISLNK(status.st_mode):
        return LINK
    if stat.S_ISREG(status.st_mode):
        return EXECUTABLE if status.st_mode & stat.S_IXUSR else PLAIN
    return None


def read_content(path: bytes) -> bytes:
    """The content of a regular file that is no symbolic link.

    Raises:
        OSError: It cannot be read.
    """
    if is_database(path):
        return _read_by_another_process(path)
    with unwatched():
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            size = os.fstat(descriptor).st_size
            content = os.read(descriptor, size + 1)
            if len(content) != size:  # it grows, or came in pieces
                with os.fdopen(os.dup(descriptor), "rb") as file:
                    content += file.read()
        finally:
            os.close(descriptor)
    return content


def digest_on_disk(path: bytes, cache: StatCache) -> tuple[str, int]:
    """SHA-256 and size of a file, without keeping it in memory.

    Raises:
        OSError: It cannot be read.
    """
    if is_database(path):
        content = _read_by_another_process(path)
        return digest_of_bytes(content), len(content)
    return cache.digest(os.fsdecode(path))


def is_database(path: bytes) -> bool:
    """Whether a file may be an SQLite database, which this process must not open and close.

    POSIX drops all locks that a process holds on a file when it closes any descriptor of it, and
    with them SQLite's own (https://www.sqlite.org/howtocorrupt.html, section 2.2).
    """
    return path.endswith(_DATABASES)


def _read_by_another_process(path: bytes) -> bytes:
    answer = subprocess.run(["cat", path], stdin=subprocess.DEVNULL, capture_output=True)
    if answer.returncode != 0:
        raise OSError(f"cannot be read: {os.fsdecode(answer.stderr).strip()}")
    return answer.stdout


def names_in_short(paths: Sequence[str]) -> str:
    """A few of the paths, and how many more there are."""
    shown = [f"{path}" for path in sorted(paths)[:4]]
    more = len(paths) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def binary_size(size_bytes: int) -> str:
    """The size as people write it, in binary units."""
    size = float(size_bytes)
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:g} {unit}"
        size /= 1024
    return f"{size:g} GiB"
