"""One declared input on disk: what kind it is, which files it has, what they hash to.

Links are followed, because an objective reads through them. Files are compared by ``stat`` before
and after hashing, so that content which changes meanwhile is never recorded.
"""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trialbook.capture.shared_digests import Ask, SharedDigests, SizedPath
from trialbook.capture.stat_cache import StatCache
from trialbook.errors import CaptureError, DataMissingError
from trialbook.records.data import DataFile, HashedFile, manifest_digest
from trialbook.records.secrets import redacted_text

InputKind = Literal["file", "directory", "glob"]
Signature = tuple[int, int, int, int]
"""Inode, size, modification and change time: what tells that a file is as it was."""

BOOK_DIRECTORY = ".trialbook"
_PARALLEL_FROM_BYTES = 1 << 20
_TRIES = 3


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file of an input: its name inside it, its absolute path, and its signature."""

    name: str
    path: str
    signature: Signature

    @property
    def size_bytes(self) -> int:
        """Its length when it was listed."""
        return self.signature[1]


@dataclass(frozen=True, slots=True)
class Listing:
    """What an input consists of, before anything is read.

    Args:
        kind: What it is.
        files: Sorted by the bytes of their names.
        directories: Absolute path and modification time of every directory that was listed.
        gaps: What could not be followed.
        matches: What a pattern matched, sorted; empty for a file or directory.
    """

    kind: InputKind
    files: tuple[FoundFile, ...]
    directories: tuple[tuple[str, int], ...] = ()
    gaps: tuple[str, ...] = ()
    matches: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Total length."""
        return sum(file.size_bytes for file in self.files)


@dataclass(frozen=True, slots=True)
class Content:
    """What an input holds.

    Args:
        listing: Its files, as they were before and after they were hashed.
        digest: The file's SHA-256, or the manifest's digest.
        files: The manifest; empty for a file.
    """

    listing: Listing
    digest: str
    files: tuple[DataFile, ...]


class InputReader:
    """Lists and hashes inputs.

    Args:
        cache: Digests that need not be computed again.
        exclude: Files and directories that belong to no input: the book's own, which must not be
            opened.
        rehash: Read every file in any case.
        ask: Asks for digests that other workers have computed; ``None`` when nobody can be asked.
    """

    def __init__(
        self,
        cache: StatCache,
        *,
        exclude: Sequence[Path] = (),
        rehash: bool = False,
        ask: Ask | None = None,
    ) -> None:
        self._cache = cache
        self._shared = SharedDigests(cache, None if rehash else ask)
        self._exclude = exclusions(exclude)
        self._rehash = rehash

    def content(self, name: str, path: Path) -> Content:
        """What an input holds now.

        Args:
            name: The input's name, for errors.
            path: Absolute; a file, a directory, or a pattern when nothing has that name.

        Raises:
            DataMissingError: Nothing is there, or the pattern matches nothing.
            CaptureError: A file cannot be read, or keeps changing while it is hashed.
        """
        listing = self.listing(name, path)
        for _ in range(_TRIES):
            try:
                digests = self._digests(listing.files)
            except OSError as error:
                raise _unreadable(name, error, path) from error
            again = self.listing(name, path)
            if again == listing:
                return _content(listing, digests)
            listing = again
        raise CaptureError(
            f"the data input {name!r} keeps changing while it is hashed",
            where=_shown(path),
            hint="wait until nothing writes to it any more",
        )

    def listing(self, name: str, path: Path) -> Listing:
        """The files of an input, none of them opened.

        Raises:
            DataMissingError: Nothing is there, or the pattern matches nothing.
            CaptureError: A directory cannot be listed, or the input is no file.
        """
        spelled = os.fspath(path)
        try:
            try:
                status = os.stat(spelled)  # noqa: PTH116
            except (FileNotFoundError, NotADirectoryError):
                if not glob.has_magic(spelled):
                    raise
                return self._globbed(name, spelled)
            if self._exclude(spelled):
                raise CaptureError(
                    f"the data input {name!r} is the book's own",
                    where=_shown(path),
                    hint="declare another path",
                )
            if stat.S_ISDIR(status.st_mode):
                return self._walked(spelled)
        except (FileNotFoundError, NotADirectoryError, ValueError) as error:
            raise DataMissingError(
                f"the data input {name!r} does not exist",
                where=_shown(path),
                hint=f"put it there, or say where it lies: --data {name}=PATH",
            ) from error
        except OSError as error:
            raise _unreadable(name, error, path) from error
        if not stat.S_ISREG(status.st_mode):
            raise CaptureError(
                f"the data input {name!r} is neither a file nor a directory",
                where=_shown(path),
                hint="declare a regular file, a directory or a pattern",
            )
        found = FoundFile(os.path.basename(spelled), spelled, signature(status))  # noqa: PTH119
        return Listing("file", (found,))

    def _globbed(self, name: str, pattern: str) -> Listing:
        start = _fixed_part(pattern)
        files: dict[str, FoundFile] = {}
        directories: list[tuple[str, int]] = []
        gaps: list[str] = []
        matches = _matches(pattern)
        for match in matches:
            if self._exclude(match):
                continue
            if not os.path.isdir(match):  # noqa: PTH112
                self._add_file(match, os.path.relpath(match, start), files, gaps)
            elif "**" not in pattern:  # which matches what is in the directory by itself
                inner = self._walked(match)
                gaps += inner.gaps
                directories += inner.directories
                for file in inner.files:
                    name_here = os.path.relpath(file.path, start)
                    files[file.path] = FoundFile(name_here, file.path, file.signature)
        if not files:
            raise DataMissingError(
                f"the pattern of the data input {name!r} matches no file",
                where=redacted_text(pattern)[0],
                hint=f"correct it, or say where the files lie: --data {name}=PATH",
            )
        return Listing(
            "glob",
            _in_order(files.values()),
            tuple(sorted(directories)),
            tuple(sorted(gaps)),
            matches,
        )

    def _walked(self, top: str) -> Listing:
        files: dict[str, FoundFile] = {}
        directories: list[tuple[str, int]] = []
        gaps: list[str] = []
        pending: list[tuple[str, frozenset[tuple[int, int]]]] = [(top, frozenset())]
        while pending:
            directory, above = pending.pop()
            status = os.stat(directory)  # noqa: PTH116
            identity = (status.st_dev, status.st_ino)
            if identity in above:
                gaps.append(f"{_relative(directory, top)} is a link to a directory above it")
                continue
            directories.append((directory, status.st_mtime_ns))
            with os.scandir(directory) as entries:
                for entry in entries:
                    if entry.name == BOOK_DIRECTORY or self._exclude(entry.path):
                        continue
                    if entry.is_dir():
                        pending.append((entry.path, above | {identity}))
                    else:
                        self._add_file(entry.path, _relative(entry.path, top), files, gaps)
        return Listing(
            "directory", _in_order(files.values()), tuple(sorted(directories)), tuple(sorted(gaps))
        )

    def _add_file(self, path: str, name: str, files: dict[str, FoundFile], gaps: list[str]) -> None:
        try:
            status = os.stat(path)  # noqa: PTH116
        except OSError as error:
            if not os.path.islink(path):  # noqa: PTH114
                raise
            gaps.append(f"{name} is a link that leads nowhere ({error.strerror})")
            return
        if stat.S_ISREG(status.st_mode):
            files[path] = FoundFile(name, path, signature(status))
        else:
            gaps.append(f"{name} is neither a file nor a directory")

    def ask_others(self, ask: Ask) -> None:
        """Ask for digests that other workers have computed from now on."""
        self._shared = SharedDigests(self._cache, ask)

    def hashed_here(self, listing: Listing) -> tuple[HashedFile, ...]:
        """The large files of an input whose digests this machine has computed, for others."""
        return self._shared.own(_sized(listing.files))

    def borrowed(self, listing: Listing) -> int:
        """Of how many files of an input the digests were computed elsewhere."""
        return sum(self._cache.is_borrowed(file.path) for file in listing.files)

    def _digests(self, files: Sequence[FoundFile]) -> dict[str, tuple[str, int]]:
        self._shared.borrow(_sized(files))
        if len(files) < 2 or sum(file.size_bytes for file in files) < _PARALLEL_FROM_BYTES:
            return {file.path: self._digest(file) for file in files}
        # hashlib lets go of the interpreter lock; the largest first, so that no core ends alone.
        ordered = sorted(files, key=lambda file: -file.size_bytes)
        with ThreadPoolExecutor(min(len(files), cpu_count())) as threads:
            digests = threads.map(self._digest, ordered)
            return {file.path: digest for file, digest in zip(ordered, digests, strict=True)}

    def _digest(self, file: FoundFile) -> tuple[str, int]:
        return self._cache.digest(file.path, rehash=self._rehash)


def _sized(files: Sequence[FoundFile]) -> list[SizedPath]:
    return [SizedPath(file.path, file.size_bytes) for file in files]


def _content(listing: Listing, digests: dict[str, tuple[str, int]]) -> Content:
    if listing.kind == "file":
        return Content(listing, digests[listing.files[0].path][0], ())
    files = tuple(DataFile(f.name, digests[f.path][1], digests[f.path][0]) for f in listing.files)
    return Content(listing, manifest_digest(files), files)


def is_as_listed(listing: Listing, path: Path) -> bool:
    """Whether an input is as it was listed, told from ``stat`` alone.

    Args:
        listing: What was found then.
        path: The input.
    """
    try:
        for directory, modified in listing.directories:
            if os.stat(directory).st_mtime_ns != modified:  # noqa: PTH116
                return False
        for file in listing.files:
            if signature(os.stat(file.path)) != file.signature:  # noqa: PTH116
                return False
    except OSError:
        return False
    return listing.kind != "glob" or _matches(os.fspath(path)) == listing.matches


def _matches(pattern: str) -> tuple[str, ...]:
    return tuple(sorted(glob.iglob(pattern, recursive=True)))  # noqa: PTH207 (keeps odd names)


def latest_change_ns(listing: Listing) -> int:
    """The latest modification or change time of an input's files and directories."""
    times = [max(file.signature[2:]) for file in listing.files]
    return max(times + [modified for _, modified in listing.directories], default=0)


def signature(status: os.stat_result) -> Signature:
    """What tells that a file is as it was."""
    return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


class _Exclusion:
    def __init__(self, paths: Iterable[Path]) -> None:
        spellings = {os.path.abspath(p) for p in paths} | {os.path.realpath(p) for p in paths}  # noqa: PTH100
        self._exact = frozenset(spellings)
        self._inside = tuple(f"{path}{os.sep}" for path in spellings)

    def __call__(self, path: str) -> bool:
        return path in self._exact or path.startswith(self._inside)


def exclusions(paths: Sequence[Path]) -> _Exclusion:
    """A predicate of absolute paths: whether one is, or lies in, one of these."""
    return _Exclusion(paths)


def cpu_count() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1


def _fixed_part(pattern: str) -> str:
    """The directory of a pattern's longest beginning without wildcards."""
    fixed = os.path.dirname(pattern)  # noqa: PTH120
    while glob.has_magic(fixed):
        fixed = os.path.dirname(fixed)  # noqa: PTH120
    return fixed


def _relative(path: str, top: str) -> str:
    return path[len(top) :].lstrip(os.sep)


def _in_order(files: Iterable[FoundFile]) -> tuple[FoundFile, ...]:
    return tuple(sorted(files, key=lambda file: os.fsencode(file.name)))


def _unreadable(name: str, error: OSError, path: Path) -> CaptureError:
    return CaptureError(
        f"the data input {name!r} cannot be read: {error.strerror or error}",
        where=_shown(error.filename or path),
        hint="check its permissions",
    )


def _shown(path: object) -> str:
    text = os.fsdecode(path) if isinstance(path, (bytes, str, os.PathLike)) else str(path)
    return redacted_text(text.encode("utf-8", "backslashreplace").decode())[0]


def iter_paths(listing: Listing) -> Iterator[str]:
    """Every file's path, and the path that links lead to."""
    for file in listing.files:
        yield file.path
        resolved = os.path.realpath(file.path)
        if resolved != file.path:
            yield resolved
