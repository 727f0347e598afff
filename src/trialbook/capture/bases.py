"""Base directories of code: the root, and the labelled directories outside it.

A path of the record is relative to a base, so that another machine can put the base elsewhere.
"""

from __future__ import annotations

import os

from trialbook.capture.imports import absolute_path, is_installed, search_path
from trialbook.records.code import ROOT

_OWN = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120


class Bases:
    """Base label to directory.

    Directories of the module search path that are neither installed nor below the root are
    labelled first, in the order of the path, so that every process of a study gives the same
    labels; others are added as modules turn up there.

    Args:
        root: The root of the code.
    """

    def __init__(self, root: str) -> None:
        self._root = absolute_path(root)
        self._real = os.path.realpath(root)
        self._outside: dict[str, str] = {}
        for entry in search_path():
            place = absolute_path(entry or ".")
            if not _is_installed(place) and self.relative_to_root(place) is None:
                if os.path.isdir(place):  # noqa: PTH112
                    self._label(place)
                elif os.path.isfile(place):  # noqa: PTH113
                    self._label(os.path.dirname(place))  # noqa: PTH120

    @property
    def directories(self) -> dict[str, str]:
        """Base label to absolute directory, the root first."""
        return {ROOT: self._root} | {label: place for place, label in self._outside.items()}

    def relative_to_root(self, path: str) -> str | None:
        """An absolute path relative to the root, ``None`` when it lies elsewhere.

        Symbolic links inside the root are kept as they are; the root itself may be spelt in
        another way, through links above it.
        """
        for root in (self._root, self._real):
            if path == root:
                return ""
            if path.startswith(f"{root}/"):
                return path[len(root) + 1 :]
        folder, name = os.path.split(path)
        real = os.path.join(os.path.realpath(folder), name)  # noqa: PTH118
        if real.startswith(f"{self._real}/"):
            return real[len(self._real) + 1 :]
        return "" if real == self._real else None

    def outside(self, path: str, module: str) -> tuple[str, str]:
        """The base and the relative path of a module's file that lies outside the root.

        Args:
            path: Absolute path.
            module: The module's dotted name, which says where its package begins.
        """
        containing = [place for place in self._outside if path.startswith(f"{place}/")]
        place = max(containing, key=len) if containing else _parent_of_package(path, module)
        return self._label(place), path[len(place.rstrip("/")) + 1 :]

    def search_path(self) -> tuple[str, ...]:
        """``sys.path`` as ``LaunchState`` writes it, then the bases that are not on it."""
        found: list[str] = []
        used = {ROOT}
        for entry in search_path():
            place = absolute_path(entry or ".")
            relative = self.relative_to_root(place)
            if is_installed(f"{place}/") or (place == _OWN and relative is None):
                found.append(entry)
            elif relative is not None:
                found.append(f"{ROOT}:{relative}")
            else:
                label, rest = self._labelled(place)
                used.add(label or ROOT)
                found.append(entry if label is None else f"{label}:{rest}")
        return (*found, *(f"{label}:" for label in self._outside.values() if label not in used))

    def _labelled(self, place: str) -> tuple[str | None, str]:
        if place in self._outside:
            return self._outside[place], ""
        folder, name = os.path.split(place)
        return self._outside.get(folder), name

    def _label(self, place: str) -> str:
        return self._outside.setdefault(place, f"outside-{len(self._outside) + 1}")


def _is_installed(place: str) -> bool:
    """Whether a search path entry holds installed code; Trialbook's own, from a checkout, too."""
    return place == _OWN or is_installed(f"{place}/")


def _parent_of_package(path: str, module: str) -> str:
    """The directory that would have to be on the search path for the module to be found."""
    folder, name = os.path.split(path)
    parts = module.split(".")
    if name.split(".")[0] != "__init__":
        parts = parts[:-1]
    for part in reversed(parts):
        if os.path.basename(folder) != part:  # noqa: PTH119
            return os.path.dirname(path)  # noqa: PTH120
        folder = os.path.dirname(folder)  # noqa: PTH120
    return folder
