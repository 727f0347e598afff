"""Larger contents as files beside an SQLite book.

A file is written under a temporary name and synced before the transaction, and takes its place
inside it, under the book's write lock; so whoever removes files under that lock never removes one
that is about to be named.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from trialbook.book.blob_places import DRAFT, sync_directory
from trialbook.errors import BookError, BookFullError

_CHUNK_BYTES = 1024 * 1024


def draft_of(directory: Path, chunks: Iterable[bytes]) -> tuple[str, int, Path]:
    """Write a content under a temporary name; its digest, its length and the file.

    Raises:
        BookFullError: No space is left.
    """
    with _space_watched(directory):
        directory.mkdir(exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=DRAFT, dir=directory)
        try:
            sha, size = hashlib.sha256(), 0
            with os.fdopen(descriptor, "wb") as file:
                for chunk in chunks:
                    sha.update(chunk)
                    size += len(chunk)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise
    return sha.hexdigest(), size, Path(name)


def placed(directory: Path, digest: str, draft: Path) -> str:
    """Give a draft its place, inside a write transaction; its location relative to the directory.

    Raises:
        BookFullError: It cannot be done.
    """
    location = f"{digest[:2]}/{digest}"
    place = directory / location
    with _space_watched(directory):
        if draft.exists():  # else it took its place in an earlier try
            place.parent.mkdir(exist_ok=True)
            draft.replace(place)
            for changed in (place.parent, directory):
                sync_directory(changed)
    return location


def chunks_of(path: Path) -> Iterator[bytes]:
    """A file's content, piece by piece.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


@contextlib.contextmanager
def _space_watched(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if isinstance(error, BookError):
            raise
        raise BookFullError(
            f"a blob cannot be written ({error.strerror})",
            where=str(directory),
            hint="free some space or look at the permissions, then run the same command again",
        ) from error
