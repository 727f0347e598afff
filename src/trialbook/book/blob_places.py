"""Places for larger contents outside the database: what a book asks of one, and a directory.

A place holds objects under keys. Those of a book lie under its identity, so that books can share a
URL. Which keys a content has is in ``blob_parts.py``, who waits for a place that is away in
``place_patience.py``, other places than directories are in ``remote_place.py``. The directory
beside an SQLite file is no such place: its files take their names inside a transaction
(``blob_files.py``).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

DRAFT = "new-"
"""What the name of a file begins with that is still being written."""

_TRIES = 10


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object of a place.

    Args:
        key: Its key.
        changed: When it was written, seconds since the epoch; ``None`` where that is not known.
    """

    key: str
    changed: float | None


class NotMadeError(OSError):
    """The directory of a location is not there: it was made when the location was set."""


class Place(Protocol):
    """Where objects lie. Every method raises what its system raises; ``OSError`` for the most."""

    @property
    def name(self) -> str:
        """The place, as messages and the record name it; it holds no credentials."""

    def make(self) -> None:
        """Prepare the place to hold a book's objects, when it is set."""

    def size(self, key: str) -> int | None:
        """Length of an object in bytes, ``None`` when it is not there."""

    def write(self, key: str, content: bytes) -> None:
        """Write an object whole; it survives power loss where the system can promise that."""

    def read(self, key: str, start: int, end: int) -> bytes:
        """Bytes of an object; fewer when it ends before, ``FileNotFoundError`` without one."""

    def remove(self, keys: Iterable[str]) -> None:
        """Remove objects; those that are not there are no error."""

    def remove_all(self, directory: str) -> None:
        """Remove every object whose key begins with this and a slash."""

    def objects(self) -> Iterator[StoredObject]:
        """Every object of the book."""


def place_at(url: str, book_id: str) -> Place:
    """The place of a location's URL; nothing is opened yet.

    Args:
        url: As ``artifact_setting.checked_url`` gives it.
        book_id: The book's identity.
    """
    if url.startswith("file://"):
        return DirectoryPlace(Path(url.removeprefix("file://")), book_id)
    from trialbook.book.remote_place import RemotePlace

    return RemotePlace(url, book_id)


def tried_out(place: Place) -> None:
    """Write, read and remove a small object."""
    key, content = f"tried-{secrets.token_hex(8)}", secrets.token_bytes(32)
    place.write(key, content)
    try:
        if place.read(key, 0, len(content)) != content:
            raise OSError("what was written to try it out was read back as something else")
    finally:
        place.remove([key])


class DirectoryPlace:
    """A directory that every machine of a book sees.

    Args:
        directory: It; the objects of a book lie in one of their own in it.
        book_id: The book's identity.
    """

    def __init__(self, directory: Path, book_id: str) -> None:
        self.name = f"file://{directory}"
        self._root = directory / book_id

    def make(self) -> None:
        """See ``Place``."""
        self._root.mkdir(parents=True, exist_ok=True)

    def _there(self) -> Path:
        # A share that is not mounted leaves an empty directory, which must not be written to.
        if not self._root.is_dir():
            raise NotMadeError(f"{self._root} is not there")
        return self._root

    def size(self, key: str) -> int | None:
        """See ``Place``."""
        try:
            return (self._there() / key).stat().st_size
        except FileNotFoundError:
            return None

    def write(self, key: str, content: bytes) -> None:
        """See ``Place``."""
        for last in (*[False] * (_TRIES - 1), True):
            try:
                self._write(key, content)
            except FileNotFoundError:  # who removes objects removes directories that are empty
                if last:
                    raise
            else:
                return

    def _write(self, key: str, content: bytes) -> None:
        root = self._there()
        target = root / key
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = root / f"{DRAFT}{secrets.token_hex(8)}"  # readable for those who share it
        try:
            with draft.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                draft.unlink()
            raise
        for directory in (target.parent, *target.parent.parents):
            sync_directory(directory)
            if directory == root:
                break

    def read(self, key: str, start: int, end: int) -> bytes:
        """See ``Place``."""
        with (self._there() / key).open("rb") as file:
            file.seek(start)
            return file.read(end - start)

    def remove(self, keys: Iterable[str]) -> None:
        """See ``Place``."""
        root = self._there()
        for key in keys:
            path = root / key
            path.unlink(missing_ok=True)
            if path.parent != root:
                with contextlib.suppress(OSError):  # not empty, or gone already
                    path.parent.rmdir()

    def remove_all(self, directory: str) -> None:
        """See ``Place``."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._there() / directory)

    def objects(self) -> Iterator[StoredObject]:
        """See ``Place``; drafts that a process left behind are objects too."""
        root = self._there()
        for path in root.rglob("*"):
            try:
                found = path.stat()
            except FileNotFoundError:
                continue
            if stat.S_ISREG(found.st_mode):
                yield StoredObject(path.relative_to(root).as_posix(), found.st_mtime)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory survive power loss."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
