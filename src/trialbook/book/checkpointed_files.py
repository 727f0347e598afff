"""A file that was saved in a checkpoint, found by its content.

The book names a checkpoint by the digest of its whole archive (``packing.py``), so a file in it has
no name of its own: archives that may hold it by their length are read. Only those of a single file,
which are most, and only while their contents are kept in the database or beside it.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator

from sqlalchemy import select

from trialbook.book import rows, schema
from trialbook.book.blobs import BlobStore
from trialbook.book.book import Book
from trialbook.book.located import Keeping
from trialbook.book.packing import FACTS
from trialbook.errors import BookCorruptError, NotFoundError

_t, _y, _a = schema.trial.c, schema.study.c, schema.attempt.c
_c, _b = schema.checkpoint.c, schema.blob.c
_LONGER_AT_LEAST = 2 * tarfile.BLOCKSIZE
_LONGER_AT_MOST = 256 * 1024
"""Headers, and the states of random generators: tens of kilobytes."""
_READ_AT_MOST = 20
_CHUNK = 1024 * 1024


def saved_in_checkpoints(book: Book, digest: str, size_bytes: int) -> tuple[Keeping, ...]:
    """The checkpoints whose file has this content, the newest first.

    Args:
        book: An open book.
        digest: SHA-256 of the file.
        size_bytes: Its length.

    Returns:
        At most 20 archives are looked into; a ``name`` is the checkpoint's number and the file's
        name.
    """
    query = (
        select(_c.digest, _c.number, _y.name, _t.number, _t.state, _a.number, _t.attempt)
        .join(schema.attempt, _a.attempt_id == _c.attempt_id)
        .join(schema.trial, _t.trial_id == _a.trial_id)
        .join(schema.study, _y.study_id == _t.study_id)
        .join(schema.blob, _b.digest == _c.digest)
        .where(
            _c.kept == 1,
            _c.size.between(size_bytes + _LONGER_AT_LEAST, size_bytes + _LONGER_AT_MOST),
            _b.location.is_(None) | ~_b.location.contains(":"),
            _t.deleted.is_(None),
            _y.deleted.is_(None),
        )
        .order_by(_c.checkpoint_id.desc())
        .limit(_READ_AT_MOST)
    )
    with book.reading() as connection:
        candidates = connection.execute(query).all()
    store = BlobStore(book)
    found = []
    for archive, number, study, trial, state, attempt, current in candidates:
        try:
            name = _name_of(store.chunks(archive), digest, size_bytes)
        except (NotFoundError, BookCorruptError, tarfile.TarError):
            continue  # let go meanwhile, or damaged, which 'verify' names
        if name is not None:
            what = f"{number}: {name}"
            counts = attempt == current
            found.append(
                Keeping("checkpoint", what, study, trial, rows.STATES[state], attempt, counts)
            )
    return tuple(found)


def _name_of(chunks: Iterator[bytes], digest: str, size_bytes: int) -> str | None:
    """What the file of this content is called in an archive; ``None`` when it is not in it."""
    with tarfile.open(fileobj=io.BufferedReader(_Chunks(chunks)), mode="r|") as archive:
        for member in archive:
            content = archive.extractfile(member) if member.size == size_bytes else None
            if content is None or member.name == FACTS:
                continue
            hashed = hashlib.sha256()
            while chunk := content.read(_CHUNK):
                hashed.update(chunk)
            if hashed.hexdigest() == digest:
                return member.name.partition("/")[2]
    return None


class _Chunks(io.RawIOBase):
    """Chunks as a stream."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        """It can be read."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill the buffer as far as one chunk goes; 0 at the end."""
        self._rest = self._rest or next(self._chunks, b"")
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size
