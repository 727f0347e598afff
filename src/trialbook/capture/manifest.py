"""The manifest: the files of a tree, and what the process loaded of them and beside them.

It begins as the tree was on disk. What is loaded then replaces what was read, so that the manifest
says what ran, whatever happens to the files afterwards.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from trialbook.capture.loaded import LoadedFile, Place
from trialbook.capture.screening import Screening
from trialbook.capture.stat_cache import StatCache
from trialbook.capture.tree import (
    EXECUTABLE,
    LINK,
    PLAIN,
    CodeLimits,
    TreeFile,
    digest_on_disk,
    file_mode,
    names_in_short,
    read_content,
)
from trialbook.records.blobs import Blob
from trialbook.records.canonical import digest_of_bytes
from trialbook.records.code import ROOT, FileEntry

# Linux counts a process's start in whole ticks of 10 ms, rounded down.
_START_GRAIN_NS = 11_000_000
_NAMED = 4


@dataclass(frozen=True, slots=True)
class _Reading:
    """The last opening of a file that counts as read, and the file's time when it was noted."""

    number: int
    mtime_ns: int


class Manifest:
    """Files by place, grown as the process loads more.

    Args:
        root: Absolute path of the root.
        files: The files below the root by relative path, as they are on disk.
        limits: How much is embedded.
        screening: Says which files hold credentials.
        cache: Digests of files that are not embedded.
        started_s: When the process began, seconds since the epoch.
    """

    def __init__(
        self,
        root: str,
        files: Mapping[str, TreeFile],
        *,
        limits: CodeLimits,
        screening: Screening,
        cache: StatCache,
        started_s: float,
    ) -> None:
        self._root = root
        self._limits = limits
        self._screening = screening
        self._cache = cache
        self._started_ns = int(started_s * 1e9) + _START_GRAIN_NS
        self._left_bytes = limits.snapshot_bytes
        self._files: dict[Place, TreeFile] = {}
        self._loaded: dict[Place, LoadedFile] = {}
        self._read: dict[str, _Reading] = {}
        self._imported: set[Place] = set()
        self._followed: set[Place] = set()
        self._edited: set[str] = set()
        self._uncertain: set[str] = set()
        self._unreadable: set[str] = set()
        for path, file in files.items():
            self._put((ROOT, path), file)

    # What was loaded

    def add_imported(self, imported: Mapping[Place, LoadedFile]) -> None:
        """Take over what modules and scripts were when they ran."""
        for asked, loaded in imported.items():
            if self._loaded.get(asked) == loaded:
                continue
            self._loaded[asked] = loaded
            place, link = self._resolved(asked)
            if link is not None and place == asked:
                # It leads out of the root and cannot be restored: what ran takes its place.
                del self._files[link]
            elif link is not None:
                self._followed.add(link)
            file = self._as_run(place, loaded)
            if file is None:
                self._unreadable.add(place[1])
                continue
            self._imported.add(place)
            known = self._files.get(place)
            if known is None or known.digest != file.digest:
                if known is not None:
                    self._edited.add(place[1])
                self._put(place, file)
            kept = loaded.imported
            if kept is not None and kept.before_watch and kept.mtime_ns > self._started_ns:
                self._uncertain.add(place[1])

    def add_read(self, read: Mapping[str, tuple[int, int]]) -> None:
        """Mark files of the tree that were read; files that came later are no part of it.

        Args:
            read: Path relative to the root to number and time of its last opening.
        """
        for path in self._read.keys() - read.keys():
            del self._read[path]  # written since: the trial's own output
        for path, (number, opened_ns) in read.items():
            known = self._read.get(path)
            if known is not None and known.number == number:
                continue
            place, _ = self._resolved((ROOT, path))
            if not self._is_file(place) or place in self._imported:
                continue
            mtime_ns = self._refreshed(place)
            self._read[path] = _Reading(number, mtime_ns)
            if mtime_ns > opened_ns:
                self._uncertain.add(path)

    def holds_below_root(self, path: str) -> bool:
        """Whether a path relative to the root is in the manifest."""
        return self._is_file(self._resolved((ROOT, path))[0])

    def _is_file(self, place: Place) -> bool:
        """Whether content is recorded here; what a link out of the root leads to is not."""
        file = self._files.get(place)
        return file is not None and file.mode != LINK

    def is_imported_anew(self, imported: Mapping[Place, LoadedFile]) -> bool:
        """Whether something was imported that was not before, or again after an edit."""
        return any(self._loaded.get(place) != loaded for place, loaded in imported.items())

    def is_read_anew(self, read: Mapping[str, tuple[int, int]]) -> bool:
        """Whether a file was read that was not before, or after it was edited."""
        if self._read.keys() - read.keys():
            return True
        for path, (number, _) in read.items():
            known = self._read.get(path)
            if known is None:
                place, _ = self._resolved((ROOT, path))
                if self._is_file(place) and place not in self._imported:
                    return True
            elif known.number != number and known.mtime_ns != _mtime_ns(f"{self._root}/{path}"):
                return True
        return False

    def _resolved(self, place: Place) -> tuple[Place, Place | None]:
        """Where the content of a loaded file belongs, and the symbolic link on the way to it.

        Through a link that leads out of the root the place stays what was asked for.
        """
        base, path = place
        if base != ROOT:
            return place, None
        parts = path.split("/")
        for end in range(1, len(parts) + 1):
            link = (ROOT, "/".join(parts[:end]))
            file = self._files.get(link)
            if file is not None and file.mode == LINK:
                real = os.path.realpath(f"{self._root}/{path}")
                top = os.path.realpath(self._root)
                if real.startswith(f"{top}/"):
                    return (ROOT, real[len(top) + 1 :]), link
                return place, link
        return place, None

    def _as_run(self, place: Place, loaded: LoadedFile) -> TreeFile | None:
        known = self._files.get(place)
        kept = loaded.imported
        if kept is None:  # an archive, bytecode without a source
            return known if known is not None else self._on_disk(loaded.path)
        mode = EXECUTABLE if kept.executable else PLAIN
        return TreeFile(
            mode if known is None else known.mode,
            kept.size_bytes,
            kept.digest,
            kept.content,
            mtime_ns=kept.mtime_ns,
        )

    def _on_disk(self, path: str) -> TreeFile | None:
        full = os.fsencode(os.path.realpath(path))
        try:
            status = os.stat(full)  # noqa: PTH116
            content = None
            if status.st_size <= self._limits.file_bytes:
                content = read_content(full)
                digest, size = digest_of_bytes(content), len(content)
            else:
                digest, size = digest_on_disk(full, self._cache)
        except OSError:
            return None
        return TreeFile(file_mode(status) or PLAIN, size, digest, content, None, status.st_mtime_ns)

    def _refreshed(self, place: Place) -> int:
        """Read a file of the tree again if it changed; its modification time."""
        known = self._files[place]
        path = f"{self._root}/{place[1]}"
        mtime_ns = _mtime_ns(path)
        if known.mtime_ns != mtime_ns:
            file = self._on_disk(path)
            if file is None:
                self._unreadable.add(place[1])
            else:
                self._put(place, file)
        return mtime_ns

    def _put(self, place: Place, file: TreeFile) -> None:
        """Enter a file, by digest only when limits or a credential say so."""
        known = self._files.get(place)
        if known is not None and known.content is not None and known.mode != LINK:
            self._left_bytes += known.size_bytes
        if file.content is not None and file.mode != LINK:
            reason = self._screening.reason(file.content, file.digest, place[1])
            if reason is None and file.size_bytes > min(self._limits.file_bytes, self._left_bytes):
                reason = self._limits.reason(file.size_bytes)
            if reason is None:
                self._left_bytes -= file.size_bytes
            else:
                file = replace(file, content=None, reason=reason)
        elif file.content is None and file.reason is None:
            file = replace(file, reason=self._limits.reason(file.size_bytes))
        self._files[place] = file

    # What the record says

    def entries(self) -> tuple[FileEntry, ...]:
        """Every file, sorted by base and path."""
        loaded: set[Place | None] = {*self._imported, *self._followed}
        for path in self._read:
            loaded.update(self._resolved((ROOT, path)))
        return tuple(
            FileEntry(
                path=path,
                mode=file.mode,
                size_bytes=file.size_bytes,
                digest=file.digest,
                base=base,
                loaded=(base, path) in loaded,
                embedded=file.content is not None,
                reason=file.reason,
            )
            for (base, path), file in sorted(self._files.items())
        )

    def blobs(self) -> tuple[Blob, ...]:
        """The content of the embedded files, each digest once."""
        found = {
            file.digest: Blob(file.digest, file.size_bytes, file.content)
            for file in self._files.values()
            if file.content is not None
        }
        return tuple(found.values())

    def gaps(self) -> list[str]:
        """What could not be recorded, one sentence each."""
        found = []
        kept_out = sorted((place[1], f.reason) for place, f in self._files.items() if f.reason)
        if kept_out:
            shown = "; ".join(f"{path} ({reason})" for path, reason in kept_out[:_NAMED])
            more = len(kept_out) - _NAMED
            found.append(
                "recorded by digest only: " + shown + (f" and {more} more" if more > 0 else "")
            )
        if self._unreadable:
            found.append(f"loaded and not readable: {names_in_short(sorted(self._unreadable))}")
        if self._uncertain:
            found.append(
                f"edited since it was loaded, so that what ran may differ from what is recorded: "
                f"{names_in_short(sorted(self._uncertain))}"
            )
        return found

    def remarks(self) -> list[str]:
        """What else a reader should know."""
        if not self._edited:
            return []
        names = names_in_short(sorted(self._edited))
        return [f"edited after it was imported, and recorded as it ran: {names}"]


def _mtime_ns(path: str) -> int:
    try:
        return Path(path).stat().st_mtime_ns
    except OSError:
        return -1
