"""The module search path of restored code: the recorded one, with restored directories.

Nothing may come from the user's tree, which has moved on since. Search path entries of the
original directories are left out, and what an editable install would still find there (by a
finder of its own, or through a ``.pth`` file) is taken from the restored copy.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from trialbook.capture.imports import is_installed


@dataclass(frozen=True, slots=True)
class SearchPath:
    """Where modules come from.

    Args:
        recorded: The recorded module search path, in the form of ``LaunchState.sys_path``.
        originals: Base label to the directory that it was; nothing is imported from there.
        restored: Base label to the directory in which it was restored.
        tool: Directory through which Trialbook itself is found; ``None`` where it is installed.
    """

    recorded: tuple[str, ...]
    originals: dict[str, str]
    restored: dict[str, str]
    tool: str | None = None


class OriginalPlaces:
    """Translates paths of the original directories into the restored ones.

    Args:
        path: Which directory was restored where.
    """

    def __init__(self, path: SearchPath) -> None:
        self._pairs = [
            (spelling, path.restored[label])
            for label, original in path.originals.items()
            if label in path.restored
            for spelling in dict.fromkeys((original, os.path.realpath(original)))
        ]
        # A base inside another one wins.
        self._pairs.sort(key=lambda pair: len(pair[0]), reverse=True)
        self._restored = tuple(path.restored.values())

    def restored(self, place: str) -> str | None:
        """Where the restored copy of this path is; ``None`` for one outside the originals.

        Installed files (a virtual environment inside the tree) and restored ones stay.
        """
        if is_installed(place) or is_installed(place + "/"):
            return None
        if any(_within(place, base) for base in self._restored):
            return None
        for original, base in self._pairs:
            if _within(place, original):
                return os.path.normpath(os.path.join(base, os.path.relpath(place, original)))  # noqa: PTH118
        return None


def _within(place: str, base: str) -> bool:
    return place == base or place.startswith(base.rstrip("/") + "/")


class RestoredFinder(importlib.abc.MetaPathFinder):
    """Finds top-level modules as the other finders do, but never in an original directory."""

    def __init__(self, places: OriginalPlaces) -> None:
        self._places = places

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module's specification, translated when it lies in an original directory.

        Raises:
            ModuleNotFoundError: It lies there and has no restored copy.
        """
        if path is not None:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            if finder is self or find is None:
                continue
            spec: ModuleSpec | None = find(fullname, path, target)
            if spec is not None:
                return self._translated(spec)
        return None

    def _translated(self, spec: ModuleSpec) -> ModuleSpec:
        locations = spec.submodule_search_locations
        moved = None if locations is None else self._moved(locations)
        origin = None if spec.origin is None else self._places.restored(spec.origin)
        if origin is None:
            if locations is not None and moved is not None and moved != list(locations):
                spec.submodule_search_locations = moved  # a namespace package has no origin
            return spec
        translated = None
        if Path(origin).is_file():
            translated = importlib.util.spec_from_file_location(
                spec.name, origin, submodule_search_locations=moved
            )
        if translated is None:
            raise ModuleNotFoundError(
                f"No module named {spec.name!r} in the recorded code "
                f"(an edited tree has it at {spec.origin})",
                name=spec.name,
            )
        return translated

    def _moved(self, locations: Iterable[str]) -> list[str]:
        return [self._places.restored(place) or place for place in locations]


def use_search_path(path: SearchPath) -> None:
    """Make this process find modules where the recorded one did."""
    places = OriginalPlaces(path)
    sys.path[:] = search_path(path, places, [entry for entry in sys.path if entry != path.tool])
    if path.tool is not None:
        # Last, so that nothing is hidden by it: processes that the code starts find it too.
        sys.path.append(path.tool)
    sys.meta_path.insert(0, RestoredFinder(places))


def search_path(path: SearchPath, places: OriginalPlaces, own: Sequence[str]) -> list[str]:
    """The recorded order of entries, on this machine.

    Args:
        path: What is recorded.
        places: Translates original places.
        own: The search path of this interpreter; its standard library and site directories stand
            for the recorded ones.
    """
    entries: list[str] = []
    for recorded in path.recorded:
        entry = _entry_here(recorded, path, places, own)
        if entry is not None and entry not in entries:
            entries.append(entry)
    return entries + [
        entry for entry in own if entry and entry not in entries and places.restored(entry) is None
    ]


def _entry_here(
    recorded: str, path: SearchPath, places: OriginalPlaces, own: Sequence[str]
) -> str | None:
    if not recorded.startswith("/"):
        label, _, relative = recorded.partition(":")
        base = path.restored.get(label)
        return None if base is None else os.path.normpath(os.path.join(base, relative))  # noqa: PTH118
    if recorded in own and places.restored(recorded) is None:
        return recorded
    translated = places.restored(recorded)
    if translated is not None:
        return translated
    # Another interpreter's libraries are no place to import from; this one's come at the end.
    parts = Path(recorded).parts
    if any(
        part in ("site-packages", "dist-packages") or part.startswith("python") for part in parts
    ):
        return None
    if not Path(recorded).is_dir() or _is_same(recorded, path.tool):
        return None
    return recorded


def _is_same(entry: str, tool: str | None) -> bool:
    """Whether an entry is the checkout of Trialbook that the tool's directory stands for."""
    if tool is None:
        return False
    place = os.path.realpath(os.path.join(entry, "trialbook"))  # noqa: PTH118
    return place == os.path.realpath(os.path.join(tool, "trialbook"))  # noqa: PTH118
