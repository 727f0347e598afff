"""How the code of two trials differs, file by file, as unified diffs made from the book's blobs.

The whole manifests are compared, not only the loaded files: a reader wants to see all that changed,
and each file says whether a trial loaded it. Nothing is printed here.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from trialbook.errors import BookCorruptError, NotFoundError
from trialbook.records.code import ROOT, CodeState, FileEntry

BYTES_COMPARED = 1024 * 1024
LINES_COMPARED = 20_000


@dataclass(frozen=True, slots=True)
class FileDifference:
    """A file that is not the same in two trials.

    Args:
        path: As in the manifest, relative to ``base``.
        base: ``"."`` for the root of the code, else the label of a directory outside it.
        change: ``added``, ``removed``, ``changed`` or ``mode`` (only its mode changed).
        loaded: Whether one of the trials imported or read it: then it can change a result.
        first: Digest in the first trial, ``None`` when it is not there.
        second: Digest in the second trial, likewise.
        modes: Mode in the first and second trial, ``None`` where it is not there.
        patch: Unified diff, its lines as text (bytes that are no UTF-8 as escapes); ``None`` when
            none can be made.
        reason: Why there is no patch.
    """

    path: str
    base: str
    change: Literal["added", "removed", "changed", "mode"]
    loaded: bool
    first: str | None
    second: str | None
    modes: tuple[str | None, str | None]
    patch: str | None = None
    reason: str | None = None

    @property
    def label(self) -> str:
        """The path, with its base in front when that is not the root."""
        return self.path if self.base == ROOT else f"{self.base}:{self.path}"


def file_differences(
    first: CodeState, second: CodeState, content: Callable[[str], bytes]
) -> Iterator[FileDifference]:
    """Every file that differs, sorted by base and path.

    Args:
        first: The code of the first trial.
        second: The code of the second trial.
        content: Gives a blob's bytes by digest.
    """
    before = {(entry.base, entry.path): entry for entry in first.files}
    after = {(entry.base, entry.path): entry for entry in second.files}
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        if old is None or new is None or (old.digest, old.mode) != (new.digest, new.mode):
            yield _difference(old, new, content)


def _difference(
    old: FileEntry | None, new: FileEntry | None, content: Callable[[str], bytes]
) -> FileDifference:
    entry = old or new
    assert entry is not None
    change: Literal["added", "removed", "changed", "mode"] = "changed"
    if old is None:
        change = "added"
    elif new is None:
        change = "removed"
    elif old.digest == new.digest:
        change = "mode"
    patch, reason = (None, None) if change == "mode" else _patch(old, new, content)
    return FileDifference(
        path=entry.path,
        base=entry.base,
        change=change,
        loaded=any(side is not None and side.loaded for side in (old, new)),
        first=None if old is None else old.digest,
        second=None if new is None else new.digest,
        modes=(None if old is None else old.mode, None if new is None else new.mode),
        patch=patch,
        reason=reason,
    )


def _patch(
    old: FileEntry | None, new: FileEntry | None, content: Callable[[str], bytes]
) -> tuple[str | None, str | None]:
    """A patch, or why there is none."""
    sides: list[list[str]] = []
    for entry in (old, new):
        if entry is None:
            sides.append([])
            continue
        if not entry.embedded:
            return None, f"only its digest is recorded: {entry.reason or 'not embedded'}"
        if entry.size_bytes > BYTES_COMPARED:
            return None, f"{entry.size_bytes} bytes are too many to compare"
        try:
            data = content(entry.digest)
        except (NotFoundError, BookCorruptError) as error:
            return None, error.what
        if b"\0" in data:
            return None, "it is binary"
        lines = _lines(data)
        if len(lines) > LINES_COMPARED:
            return None, f"{len(lines)} lines are too many to compare"
        sides.append(lines)
    entry = old or new
    assert entry is not None
    patch = difflib.unified_diff(
        sides[0],
        sides[1],
        fromfile="/dev/null" if old is None else f"a/{entry.path}",
        tofile="/dev/null" if new is None else f"b/{entry.path}",
        lineterm="",
    )
    return "\n".join(_marked(line) for line in patch), None


_NO_END = "\0"


def _lines(data: bytes) -> list[str]:
    """Lines without their line feed; the last is marked when it has none, as no text can be."""
    lines = data.decode("utf-8", "backslashreplace").split("\n")
    last = lines.pop()
    return [*lines, last + _NO_END] if last else lines


def _marked(line: str) -> str:
    if line.endswith(_NO_END):
        return line[: -len(_NO_END)] + "\n\\ No newline at end of file"
    return line
