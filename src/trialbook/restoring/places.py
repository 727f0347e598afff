"""Where recorded code lies now: original directories, their restored copies, and what is missing.

Writing the copies is in ``restore.py``; finding data is in ``inputs.py``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from trialbook.errors import RestoreError
from trialbook.records.canonical import digest_of_bytes
from trialbook.records.code import ROOT, CodeState, FileEntry
from trialbook.restoring.code import LINK, RestoredCode, is_plain_name


@dataclass(frozen=True, slots=True)
class CodePlaces:
    """Where the recorded code lies now.

    Args:
        state: What was recorded.
        originals: Base label to the directory that it was.
        restored: Base label to the directory that holds it now; for every original one.
    """

    state: CodeState
    originals: Mapping[str, str]
    restored: Mapping[str, Path]

    def counterpart(self, path: str) -> Path | None:
        """Where a path of an original directory lies now; ``None`` for one outside them."""
        path = os.path.normpath(path)  # or ".." in it would lead out of the restored one
        best: tuple[int, Path] | None = None
        for label, original in self.originals.items():
            for base in dict.fromkeys((original, os.path.realpath(original))):
                if _is_within(path, base) and (best is None or len(base) > best[0]):
                    best = len(base), self.restored[label] / os.path.relpath(path, base)
        return None if best is None else best[1]

    def holding(self, digest: str) -> Iterator[Path]:
        """The restored files of this content."""
        for entry in self.state.files:
            if entry.digest == digest and entry.embedded:
                yield self.restored[entry.base] / entry.path


def _is_within(path: str, base: str) -> bool:
    return path == base or path.startswith(base.rstrip("/") + "/")


def placed_code(
    state: CodeState, originals: Mapping[str, str], restored: RestoredCode, directory: Path
) -> CodePlaces:
    """Put the restored bases to each other as the original ones were.

    A base without files gets an empty directory, so that a working directory or a search path
    entry there exists. A base that lay inside another one (the root of the code in a directory of
    the search path) is linked there, or its package would not be found by its name.

    Args:
        state: What was recorded.
        originals: Base label to the directory that it was.
        restored: Where the bases with files were put.
        directory: Where bases without files are put.

    Raises:
        RestoreError: A label would be a directory elsewhere.
    """
    originals = {label: os.path.normpath(original) for label, original in originals.items()}
    places = dict(restored.bases)
    for label in originals:
        if label not in places:
            if not is_plain_name(label):
                raise RestoreError(
                    "the record names a directory outside the code's",
                    where=label,
                    hint="do not run this trial: its record is damaged or was tampered with",
                )
            places[label] = directory / label
            places[label].mkdir(parents=True)
    for label, original in originals.items():
        outer = [
            (len(other), name)
            for name, other in originals.items()
            if other != original and _is_within(original, other)
        ]
        if outer:
            _, name = max(outer)
            link = places[name] / os.path.relpath(original, originals[name])
            if not os.path.lexists(link):
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(places[label], target_is_directory=True)
    placed = CodePlaces(state, originals, places)
    _point_at_restored(placed)
    return placed


def _point_at_restored(code: CodePlaces) -> None:
    """Let links that name a place of an original directory lead to its restored copy.

    They hold an absolute path; followed, they would run code from the user's tree as it is now.
    """
    for entry in code.state.files:
        link = code.restored[entry.base] / entry.path
        if entry.mode != LINK or not link.is_symlink():
            continue
        target = os.readlink(link)  # noqa: PTH115 (as it was written)
        moved = code.counterpart(os.path.normpath(target)) if os.path.isabs(target) else None  # noqa: PTH117
        if moved is not None:
            link.unlink()
            link.symlink_to(moved)


def file_label(entry: FileEntry) -> str:
    """A file of the record as ``--supply`` names it: ``PATH``, or ``BASE:PATH``."""
    return entry.path if entry.base == ROOT else f"{entry.base}:{entry.path}"


def found_files(code: CodeState, originals: Mapping[str, str]) -> dict[str, Path]:
    """Loaded files that the book holds by digest only, as far as they still lie where they did.

    Args:
        code: What was recorded.
        originals: Base label to the directory that it was.

    Returns:
        Label of each file to where its recorded content lies.
    """
    found: dict[str, Path] = {}
    for entry in code.loaded:
        if entry.embedded or entry.base not in originals:
            continue
        path = Path(originals[entry.base]) / entry.path
        try:
            if path.stat().st_size == entry.size_bytes:
                content = path.read_bytes()
                if digest_of_bytes(content) == entry.digest:
                    found[file_label(entry)] = path
        except OSError:
            continue  # not here, or not readable: the caller asks for it
    return found


def require_loaded(restored: RestoredCode) -> None:
    """See that nothing is missing of what the trial had loaded.

    Raises:
        RestoreError: The book holds loaded files by digest only, and they are not on this machine.
    """
    missing = [
        f"{file_label(entry)} ({entry.reason or 'not embedded'}; sha256:{entry.digest})"
        for entry in restored.missing
        if entry.loaded
    ]
    if missing:
        raise RestoreError(
            "the book holds only the digest of code that the trial had loaded: "
            + ", ".join(missing),
            hint="give a copy of each with --supply PATH=FILE",
        )
