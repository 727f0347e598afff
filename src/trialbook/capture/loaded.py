"""Which files this process loaded: modules it imported, scripts it ran, files it read.

The notes of the import watch and ``sys.modules`` are turned into places (base and path); reading
the tree, and what a record says of it, is not done here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase

from trialbook.capture.bases import Bases
from trialbook.capture.distributions import strays
from trialbook.capture.imports import (
    ImportedFile,
    absolute_path,
    import_watch,
    is_installed,
    module_files,
)
from trialbook.capture.listing import Excluded
from trialbook.records.code import ROOT

Place = tuple[str, str]
"""A base's label, and a path relative to it."""


@dataclass(frozen=True, slots=True)
class LoadedFile:
    """A file that was loaded.

    Args:
        path: Absolute path.
        imported: What was executed from it; ``None`` when only its place is known (an archive,
            sourceless bytecode), so that it has to be read.
    """

    path: str
    imported: ImportedFile | None


class LoadedFiles:
    """What this process has loaded so far.

    Args:
        bases: Where files are placed.
        excluded: Files that count in no case.
        inputs: Declared inputs (absolute paths of files or directories, or glob patterns): reading
            them makes them no code.
    """

    def __init__(self, bases: Bases, excluded: Excluded, inputs: Collection[str]) -> None:
        self._bases = bases
        self._excluded = excluded
        self._inputs = tuple(inputs) + tuple(os.path.realpath(path) for path in inputs)

    def imported(self) -> dict[Place, LoadedFile]:
        """Modules and scripts by place, those of installed distributions left out."""
        found: dict[Place, LoadedFile] = {}
        modules = module_files()
        installed = [path for path in modules if is_installed(path)]
        own = (modules.keys() - set(installed)) | set(strays(installed))
        watched = import_watch().imported
        for path in sorted(own):
            real = _container(path)
            if real is not None and not self._excluded.covers(os.fsencode(real)):
                place = self._place(real, modules[path])
                found[place] = LoadedFile(real, watched.get(real))
        for path, imported in list(watched.items()):
            relative = self._bases.relative_to_root(path)
            if relative and (ROOT, relative) not in found:
                found[ROOT, relative] = LoadedFile(path, imported)
        return found

    def read(self) -> dict[str, tuple[int, int]]:
        """Files below the root that were opened for reading and never for writing.

        Returns:
            Path relative to the root to the number and time of the last opening, as in ``Watch``.
        """
        watch = import_watch()
        found = {}
        for path, opening in list(watch.reads.items()):
            if path in watch.writes or path in watch.imported or self.is_input(path):
                continue
            relative = self._bases.relative_to_root(path)
            if relative and not self._excluded.covers(os.fsencode(path)):
                found[relative] = opening
        return found

    def is_input(self, path: str) -> bool:
        """Whether an absolute path is a declared input or lies below one."""
        return any(
            path == given or path.startswith(f"{given}/") or fnmatchcase(path, given)
            for given in self._inputs
        )

    def _place(self, path: str, module: str) -> Place:
        relative = self._bases.relative_to_root(path)
        return (ROOT, relative) if relative else self._bases.outside(path, module)


def main_module_gap() -> str | None:
    """Why the code of ``__main__`` itself is not recorded; ``None`` when it is, or is a file."""
    main = sys.modules.get("__main__")
    path = getattr(main, "__file__", None)
    if main is None or (path and _container(absolute_path(path)) is not None):
        return None
    if "ipykernel" in sys.modules:
        return "the cells of a notebook are not recorded: only what they import is"
    if hasattr(sys, "ps1") or sys.flags.interactive:
        return "what is typed in an interactive session is not recorded: only what it imports is"
    if "-c" in sys.orig_argv[1:]:
        return "the text given to python -c is not recorded: only what it imports is"
    return "the program that Python read from standard input is not recorded"


def _container(path: str) -> str | None:
    """The file on disk that holds a module: itself, or the archive that it lies in."""
    while path not in ("", "/"):
        if os.path.isfile(path):  # noqa: PTH113
            return path
        if os.path.isdir(path):  # noqa: PTH112
            return None
        path = os.path.dirname(path)  # noqa: PTH120
    return None
