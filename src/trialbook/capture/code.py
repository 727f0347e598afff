"""The code probe: the tree as it was when the process first looked, and what it has loaded since.

The identity of the code is what was loaded. So the tree is read once a process; afterwards only
newly loaded files change the snapshot, each with the content that it had when it was loaded, and
files that the trials leave in the tree change nothing. See ``docs/design/code-identity.md``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from trialbook.capture.bases import Bases
from trialbook.capture.git import GitUnavailableError
from trialbook.capture.imports import import_watch, install_import_watch
from trialbook.capture.listing import (
    Excluded,
    Listing,
    code_root,
    git_listing,
    is_too_wide,
    recorded_listing,
    walked_listing,
)
from trialbook.capture.loaded import LoadedFiles, main_module_gap
from trialbook.capture.manifest import Manifest
from trialbook.capture.probe import Observation
from trialbook.capture.screening import Screening
from trialbook.capture.stat_cache import StatCache
from trialbook.capture.tree import CodeLimits, Tree, TreeReader
from trialbook.errors import CaptureError
from trialbook.records.code import ROOT, CodeState, GitState
from trialbook.records.coordinates import Kind, Snapshot
from trialbook.records.coverage import Coverage
from trialbook.records.secrets import secret_values_of

__all__ = ["CodeLimits", "CodeProbe", "code_root"]


class CodeProbe:
    """Observes the code coordinate.

    Args:
        root: The root of the code (``code_root``).
        exclude: Files and directories of books: in no manifest, and never opened.
        limits: How much is recorded.
        inputs: Declared inputs, absolute paths or globs: part of the tree, but not loaded code
            when read.
        cache_dir: Where digests of large files are remembered, see ``StatCache``.
        origin: The record from which the root was restored: its files are the tree, and what git
            said there is said here. ``None`` for a tree of its own.
    """

    def __init__(
        self,
        root: Path,
        *,
        exclude: Sequence[Path] = (),
        limits: CodeLimits = CodeLimits(),  # noqa: B008 (frozen)
        inputs: Collection[Path] = (),
        cache_dir: Path | None = None,
        origin: CodeState | None = None,
    ) -> None:
        install_import_watch()
        self._origin = origin
        self._root = Path(os.path.abspath(root))  # noqa: PTH100
        self._limits = limits
        self._excluded = Excluded(exclude, self._root)
        self._bases = Bases(str(self._root))
        given = [os.path.abspath(path) for path in inputs]  # noqa: PTH100
        self._loaded = LoadedFiles(self._bases, self._excluded, given)
        self._cache = StatCache(cache_dir, scope=str(self._root))
        self._screening = Screening(
            cache_dir, scope=str(self._root), secrets=secret_values_of(os.environ)
        )
        self._git: GitState | None = None
        self._tree = Tree()
        self._manifest: Manifest | None = None
        self._seen = (-1, -1)
        self._openings = -1

    @property
    def kind(self) -> Kind:
        """The code coordinate."""
        return Kind.CODE

    @property
    def bases(self) -> dict[str, str]:
        """Base label to absolute directory; grows when modules of another place are imported."""
        return self._bases.directories

    def sys_path(self) -> tuple[str, ...]:
        """``sys.path`` as ``LaunchState`` writes it."""
        return self._bases.search_path()

    def holds(self, path: str) -> bool:
        """Whether the manifest records a file, so that no other coordinate has to.

        Args:
            path: Absolute path. Declared inputs are the business of the data, wherever they lie.
        """
        relative = self._bases.relative_to_root(path)
        return (
            self._manifest is not None
            and bool(relative)
            and self._manifest.holds_below_root(relative or "")
            and not self._loaded.is_input(path)
        )

    def changed(self) -> bool:
        """Whether more was loaded since the last observation, or loaded again after an edit."""
        if self._manifest is None:
            return True
        watch = import_watch()
        seen = (watch.generation, len(sys.modules))
        if seen != self._seen:
            if self._manifest.is_imported_anew(self._loaded.imported()):
                return True
            self._seen = seen
        if watch.count != self._openings:
            openings = watch.count
            if self._manifest.is_read_anew(self._loaded.read()):
                return True
            self._openings = openings
        return False

    def observe(self) -> Observation:
        """The code as this process has loaded it so far.

        Raises:
            CaptureError: The root is no directory.
        """
        watch = import_watch()
        self._seen = (watch.generation, len(sys.modules))
        self._openings = watch.count
        imported, read = self._loaded.imported(), self._loaded.read()
        if self._manifest is None:
            loaded = {path for base, path in imported if base == ROOT} | set(read)
            self._manifest = self._first_look(loaded)
        manifest = self._manifest
        manifest.add_imported(imported)
        manifest.add_read(read)
        self._cache.save()
        self._screening.save()
        gaps = [*self._tree.gaps, *manifest.gaps()]
        main_gap = main_module_gap()
        if main_gap is not None:
            gaps.append(main_gap)
        if watch.faults:
            gaps.append(f"the import watch failed: {watch.faults[0]}")
        remarks = (*self._tree.remarks, *manifest.remarks())
        state = CodeState(self._git, manifest.entries())
        snapshot = Snapshot.of(Kind.CODE, Coverage.of(gaps, remarks), state)
        return Observation(snapshot, manifest.blobs())

    def _first_look(self, loaded: Collection[str]) -> Manifest:
        if not self._root.is_dir():
            raise CaptureError(
                "the root of the code is no directory",
                where=str(self._root),
                hint="run from the project's directory, or name its root",
            )
        listing = self._listing()
        reader = TreeReader(
            str(self._root),
            listing,
            limits=self._limits,
            excluded=self._excluded,
            cache=self._cache,
        )
        self._tree = reader.read(loaded)
        if listing.git is not None:
            self._git = replace(listing.git, dirty=self._tree.dirty)
        files, self._tree.files = self._tree.files, {}
        return Manifest(
            str(self._root),
            files,
            limits=self._limits,
            screening=self._screening,
            cache=self._cache,
            started_s=import_watch().started_s,
        )

    def _listing(self) -> Listing:
        if self._origin is not None:
            return recorded_listing(self._root, self._origin)
        gaps: list[str] = []
        try:
            listing = git_listing(self._root, self._excluded)
        except GitUnavailableError as error:
            listing = None
            gaps.append(f"{error}: the commit is not known, nor what is ignored")
        if listing is None and is_too_wide(self._root):
            listing = Listing(gaps=[f"the root is {self._root}: only loaded files are recorded"])
        elif listing is None:
            listing = walked_listing(self._root, self._excluded, self._limits.files)
        elif len(listing.members) > self._limits.files:
            listing.members.clear()
            listing.gaps.append(
                f"the root holds more than {self._limits.files} files: only loaded ones are "
                "recorded, and whether others were modified is not known"
            )
        listing.gaps[:0] = gaps
        return listing
