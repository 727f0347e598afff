"""Restore recorded code into a clean directory, byte for byte, and never outside it.

The record is not trusted: paths that would leave the directory, by ``..``, absolutely or through a
symbolic link, are refused before anything is written, and every content is checked against its
digest. Nothing is executed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from trialbook.errors import BookError, RestoreError
from trialbook.records.canonical import digest_of_bytes
from trialbook.records.code import ROOT, CodeState, FileEntry

LINK = "120000"
_EXECUTABLE = "100755"
_MODES = ("100644", _EXECUTABLE, LINK)


@dataclass(frozen=True, slots=True)
class RestoredCode:
    """Code that was restored.

    Args:
        bases: Base label to the directory that now stands for it.
        missing: Files that the record names by digest only and that were not supplied, loaded
            ones first.
    """

    bases: dict[str, Path]
    missing: tuple[FileEntry, ...] = ()


def restore_code(
    state: CodeState,
    blob: Callable[[str], bytes],
    destination: Path,
    *,
    supply: Mapping[str, Path] | None = None,
) -> RestoredCode:
    """Write every recorded file below a directory.

    Args:
        state: The recorded code.
        blob: Content by digest.
        destination: A directory that does not exist yet or is empty; ``root`` below it stands for
            the root of the code, and every other base gets a directory of its label's name.
        supply: Files that the record holds by digest only: path as in ``FileEntry`` (``BASE:path``
            outside the root) to where the content lies here.

    Returns:
        Where each base was put, and which files are missing.

    Raises:
        BookError: The book cannot give a content.
        RestoreError: The directory is not empty, the record names a path that would leave it, a
            content does not match its digest, or a file cannot be written.
    """
    supplied = dict(supply or {})
    _check(state.files)
    _prepare(destination)
    bases = {
        base: destination / ("root" if base == ROOT else base)
        for base in sorted({ROOT, *(entry.base for entry in state.files)})
    }
    missing = []
    links = []
    try:
        for place in bases.values():
            place.mkdir()
        for entry in state.files:
            source = supplied.pop(_name(entry), None)
            if not entry.embedded and source is None:
                missing.append(entry)
            elif entry.mode == LINK:
                links.append(entry)
            else:
                content = _content(entry, blob, source)
                _write(bases[entry.base] / entry.path, content, entry.mode)
        # Links come last, so that no file is ever written through one.
        for entry in links:
            _link(bases[entry.base] / entry.path, _content(entry, blob, None))
    except BookError:
        raise  # some are errors of the system too, and none is one of this directory
    except OSError as error:
        raise RestoreError(
            f"the recorded code cannot be restored: {error.strerror or error}",
            where=str(error.filename or destination),
            hint="name another directory, or make room",
        ) from error
    if supplied:
        raise RestoreError(
            f"a supplied file is not in the record: {', '.join(sorted(supplied))}",
            hint="name the files as the record does, 'trialbook show' lists them",
        )
    missing.sort(key=lambda entry: (not entry.loaded, entry.base, entry.path))
    return RestoredCode(bases, tuple(missing))


def _name(entry: FileEntry) -> str:
    return entry.path if entry.base == ROOT else f"{entry.base}:{entry.path}"


def _check(files: tuple[FileEntry, ...]) -> None:
    """Refuse a record whose paths would leave the directory or stand in each other's way."""
    places = set()
    for entry in files:
        parts = entry.path.split("/")
        if (
            any(part in ("", ".", "..") for part in parts)
            or "\0" in entry.path
            or (entry.base != ROOT and not is_plain_name(entry.base))
        ):
            raise RestoreError(
                "the record names a file outside the code's directory",
                where=_name(entry),
                hint="do not run this trial: its record is damaged or was tampered with",
            )
        if entry.mode not in _MODES:
            raise RestoreError(
                f"the record holds an unknown file mode {entry.mode!r}", where=_name(entry)
            )
        place = (entry.base, entry.path)
        if place in places:
            raise RestoreError("the record holds a file twice", where=_name(entry))
        places.add(place)
    for base, path in places:
        parts = path.split("/")
        for end in range(1, len(parts)):
            if (base, "/".join(parts[:end])) in places:
                raise RestoreError(
                    "the record holds a file below another file or a symbolic link",
                    where=path,
                    hint="do not run this trial: its record is damaged or was tampered with",
                )


def is_plain_name(base: str) -> bool:
    """Whether the label of a base can be the name of a directory beside the root's."""
    return base not in ("", ".", "..", "root") and "/" not in base and "\0" not in base


def _prepare(destination: Path) -> None:
    try:
        destination.mkdir(parents=True, exist_ok=True)
        if any(destination.iterdir()):
            raise RestoreError(
                "code is only restored into an empty directory",
                where=str(destination),
                hint="name a new directory",
            )
    except OSError as error:
        raise RestoreError(
            f"the directory for the restored code cannot be made: {error.strerror}",
            where=str(destination),
            hint="name another directory",
        ) from error


def _content(entry: FileEntry, blob: Callable[[str], bytes], source: Path | None) -> bytes:
    content = blob(entry.digest) if source is None else source.read_bytes()
    if digest_of_bytes(content) != entry.digest:
        origin = "supplied" if source is not None else "recorded"
        raise RestoreError(
            f"the {origin} content of {_name(entry)} is not what ran: expected SHA-256 "
            f"{entry.digest}, found {digest_of_bytes(content)}",
            where=str(source) if source is not None else None,
            hint="supply the file as it was" if source else "run 'trialbook verify'",
        )
    return content


def _write(path: Path, content: bytes, mode: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Exclusive, so that nothing is overwritten and no symbolic link followed (POSIX, open).
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o755 if mode == _EXECUTABLE else 0o644)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        # The umask may have taken the owner's own bits away.
        os.fchmod(descriptor, 0o755 if mode == _EXECUTABLE else 0o644)


def _link(path: Path, target: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(os.fsdecode(target))
