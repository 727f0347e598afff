"""Blobs in the book: small contents in their row, larger ones where the book's setting says.

Content is stored once. It is checked against its digest on its way in; reading is in
``blob_contents.py``. What is no row is written before the transaction that names it: a file beside
an SQLite book takes its place inside it (``blob_files.py``), an object of another location lies
under a name of its content (``blob_parts.py``), and does no harm when nothing comes to name it.
Where larger contents go is in ``artifact_setting.py``; the row of each says where it lies.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shlex
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from sqlalchemy import Connection, select

from trialbook.book import blob_files, schema
from trialbook.book.artifact_setting import Beside, Elsewhere, InDatabase, Setting, described
from trialbook.book.blob_contents import READ_PATIENCE_S, BlobContents
from trialbook.book.book import Book
from trialbook.book.removal_mark import removals
from trialbook.book.statements import insert_if_absent
from trialbook.errors import (
    ArtifactLocationError,
    BookConflictError,
    BookError,
    MissingPackageError,
)
from trialbook.records.blobs import Blob, size_text
from trialbook.records.coordinates import Snapshot

IN_ROW_BYTES = 64 * 1024
"""Contents up to this length lie in their row."""

ROW_AT_NEED_BYTES = 2 * 1024 * 1024
"""Code and consoles up to this length lie in their row when their location cannot be reached."""

_AT_NEED_S = 3.0
_CHUNK_BYTES = 1024 * 1024
_NAMED = 500
_b = schema.blob.c
_insert_blob = insert_if_absent(schema.blob)
_insert_snapshot = insert_if_absent(schema.snapshot)
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A blob that is ready to be named: its row, and its file when it is one.

    Args:
        digest: SHA-256 of the content.
        size_bytes: Its length.
        content: The bytes that go into the row: the content, or the list of its parts elsewhere.
        written: The finished file under a temporary name, ``None`` without one.
        location: Where it lies already, ``None`` for a row and for a file.
        mark: The count of removals before it was looked for there, ``None`` when nobody can have
            removed it.
    """

    digest: str
    size_bytes: int
    content: bytes | None
    written: Path | None
    location: str | None = None
    mark: str | None = None


class StaleError(Exception):
    """What this process remembers to be in the book may have been removed: prepare again."""


class BlobStore(BlobContents):
    """The blobs of a book: what is to be kept is taken in, and named by a transaction.

    Args:
        book: An open book.
        patience_s: How long to wait for a location that cannot be reached.
    """

    def __init__(self, book: Book, *, patience_s: float = READ_PATIENCE_S) -> None:
        super().__init__(book, patience_s=patience_s)
        self._lock = threading.Lock()
        self._stored: set[str] = set()
        self._removals: str | None = None

    def after_fork(self) -> None:
        """In a forked child: the lock may have been held by a thread that is not here."""
        self._lock = threading.Lock()
        self._locations.after_fork()

    def missing(self, blobs: Iterable[Blob]) -> list[Blob]:
        """Those of the blobs that the book does not have, each once."""
        wanted = {blob.digest: blob for blob in blobs if blob.digest not in self._stored}
        if not wanted:
            return []
        digests = list(wanted)
        there: set[str] = set()
        with self._book.reading() as connection:
            mark = removals(connection)
            for start in range(0, len(digests), _NAMED):
                chunk = digests[start : start + _NAMED]
                there.update(connection.scalars(select(_b.digest).where(_b.digest.in_(chunk))))
        self._remember(there, mark)
        return [blob for digest, blob in wanted.items() if digest not in there]

    def prepared(self, blobs: Iterable[Blob]) -> list[Prepared]:
        """Write and check what the book does not have yet, outside a transaction.

        These are what the record itself is made of, so a short one does not depend on a location
        that cannot be reached: it lies in its row then.

        Raises:
            BookError: A content is not what its digest says.
            BookFullError: No space is left.
            ArtifactLocationError: A longer one cannot be written where the book keeps them.
        """
        done: list[Prepared] = []
        try:
            for blob in self.missing(blobs):
                done.append(self._prepared(blob))
        except BaseException:
            self.discard(done)
            raise
        return done

    def _prepared(self, blob: Blob) -> Prepared:
        short = blob.size_bytes <= ROW_AT_NEED_BYTES
        try:
            found = self.taken_in(
                _chunks_of(blob), blob.size_bytes, longest_s=_AT_NEED_S if short else None
            )
        except (ArtifactLocationError, MissingPackageError) as error:
            if not short:
                raise
            _logger.warning("a content of the record lies in the database instead: %s", error.what)
            found = _in_row(b"".join(_chunks_of(blob)))
        if found.digest != blob.digest:
            self.discard([found])
            raise BookError(
                "a file changed while it was stored: its content is not what its digest says",
                where=blob.path or f"blob {blob.digest}",
                hint="run again when nothing writes to it",
            )
        return found

    def taken_from(self, path: Path) -> Prepared:
        """A file's content as it is read now, with its digest; see ``taken_in``."""
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            return self.taken_in(iter(lambda: file.read(_CHUNK_BYTES), b""), size)

    def taken_in(
        self,
        chunks: Iterator[bytes],
        expected_bytes: int,
        *,
        longest_s: float | None = None,
        unlike_others: bool = False,
    ) -> Prepared:
        """A content that comes piece by piece, with its digest.

        Args:
            chunks: The content.
            expected_bytes: About how long it is.
            longest_s: How long to wait at the most for a location that cannot be reached, ``None``
                for as long as this store waits.
            unlike_others: Whether no other content of the book can be the same: then nobody else
                removes it.

        Raises:
            BookFullError: No space is left.
            ArtifactLocationError: It is too long for the database, or cannot be written where the
                book keeps such contents.
            MissingPackageError: That needs a package that is not installed.
        """
        head, whole = _begun(chunks)
        if whole:
            return _in_row(head)
        setting, mark = self._looked_up()
        chunks = chain((head,), chunks)
        match setting:
            case Beside():
                assert self._directory is not None
                digest, size, draft = blob_files.draft_of(self._directory, chunks)
                return Prepared(digest, size, None, draft)
            case InDatabase(limit_bytes):
                return _in_row(self._within(limit_bytes, chunks, expected_bytes))
            case Elsewhere():
                put, location = self._locations.upload(setting, chunks, longest_s)
                known = None if unlike_others else mark
                return Prepared(put.digest, put.size_bytes, put.parts, None, location, known)

    def _within(self, limit_bytes: int, chunks: Iterable[bytes], expected_bytes: int) -> bytes:
        """A content that goes into the database, up to its limit."""
        content = bytearray()
        if expected_bytes <= limit_bytes:
            for chunk in chunks:
                content += chunk
                if len(content) > limit_bytes:
                    break
            else:
                return bytes(content)
        size_bytes = max(expected_bytes, len(content))
        raise ArtifactLocationError(
            f"a content of {size_text(size_bytes)} is too large: this book keeps contents "
            f"{described(InDatabase(limit_bytes))}",
            where=self._book.url,
            hint="name a place for larger ones (a shared directory, s3://BUCKET/PREFIX): "
            f"trialbook storage init --artifacts URL --storage {shlex.quote(self._book.url)}",
        )

    def _looked_up(self) -> tuple[Setting, str]:
        """Where contents go, and the count of removals as it is now."""
        with self._book.reading() as connection:
            mark = removals(connection)
            return self._locations.said(connection).setting, mark

    def looked_at_again(self, prepared: Iterable[Prepared]) -> list[Prepared]:
        """The same after a ``StaleError``: what lies elsewhere is still there.

        Raises:
            BookConflictError: It was removed meanwhile.
            ArtifactLocationError: Its location cannot be reached.
        """
        _, mark = self._looked_up()
        again = []
        for item in prepared:
            if item.mark is not None:
                spot = self._locations.spot(item.location or "")
                if spot is None or not spot.is_whole(item.content):
                    raise BookConflictError(
                        "a content was removed by somebody else while it was stored",
                        where=f"blob {item.digest}",
                        hint="run the same command again",
                    )
                item = replace(item, mark=mark)
            again.append(item)
        return again

    def discard(self, prepared: Sequence[Prepared]) -> None:
        """Drop the files of blobs that will not be named; objects elsewhere do no harm."""
        for item in prepared:
            if item.written is not None:
                with contextlib.suppress(OSError):
                    item.written.unlink(missing_ok=True)

    def unlink(self, locations: Iterable[str]) -> None:
        """Remove what lay outside the database of blobs whose rows are gone for good.

        Nobody can name them again. What cannot be removed stays for ``collect_garbage``.
        """
        for location in locations:
            with contextlib.suppress(OSError, BookError, MissingPackageError):
                spot = self._locations.spot(location)
                if spot is not None:
                    spot.remove()
                elif self._directory is not None:
                    (self._directory / location).unlink(missing_ok=True)

    def mark_of(self, snapshots: Iterable[Snapshot] = (), blobs: Iterable[Blob] = ()) -> str | None:
        """The count of removals under which all of these are known to be in the book.

        ``None`` when one of them may be new. A transaction that finds the same count need not
        ``name`` them.
        """
        with self._lock:  # else another thread could learn of a removal in between
            digests = {item.digest for item in snapshots} | {blob.digest for blob in blobs}
            if digests <= self._stored:
                return self._removals
        return None

    def name(
        self,
        connection: Connection,
        prepared: Sequence[Prepared],
        snapshots: Iterable[Snapshot] = (),
        *,
        relied_on: Iterable[Blob] = (),
    ) -> None:
        """Put blobs and snapshots into the book, inside the caller's transaction.

        Args:
            connection: A write transaction.
            prepared: Blobs that the book did not have.
            snapshots: Snapshots, new or not.
            relied_on: All blobs of the caller, those too that the book had already.

        Raises:
            StaleError: Something was removed since the blobs were prepared.
        """
        snapshots, relied_on = list(snapshots), list(relied_on)
        if not prepared and not snapshots and not relied_on:
            return
        mark = removals(connection)
        if mark != self._removals:
            with self._lock:
                stale = self._removals is not None
                self._stored.clear()
                self._removals = mark
            if stale:
                raise StaleError
        if any(item.mark not in (None, mark) for item in prepared):
            raise StaleError
        # Another thread may have learned of the removal, after this one had looked for its blobs.
        new = {item.digest for item in prepared}
        if any(blob.digest not in new and blob.digest not in self._stored for blob in relied_on):
            raise StaleError
        for item in prepared:
            location = item.location
            if item.written is not None:
                assert self._directory is not None
                location = blob_files.placed(self._directory, item.digest, item.written)
            _insert_blob.run(
                connection,
                digest=item.digest,
                size=item.size_bytes,
                content=item.content,
                location=location,
            )
        for snapshot in snapshots:
            if snapshot.digest not in self._stored:
                _insert_snapshot.run(
                    connection,
                    digest=snapshot.digest,
                    kind=str(snapshot.kind),
                    document=snapshot.document.decode(),
                )

    def committed(self, prepared: Iterable[Prepared], snapshots: Iterable[Snapshot] = ()) -> None:
        """Remember what a transaction that is now committed has put into the book."""
        digests = [item.digest for item in prepared]
        digests.extend(snapshot.digest for snapshot in snapshots)
        self._remember(digests, self._removals)

    def _remember(self, digests: Iterable[str], mark: str | None) -> None:
        with self._lock:
            if self._removals is None:
                self._removals = mark
            if mark == self._removals:
                self._stored.update(digests)


def _in_row(content: bytes) -> Prepared:
    return Prepared(hashlib.sha256(content).hexdigest(), len(content), content, None)


def _begun(chunks: Iterator[bytes]) -> tuple[bytes, bool]:
    """As much of a content as a row takes, or a little more, and whether that is all of it."""
    head = bytearray()
    for chunk in chunks:
        head += chunk
        if len(head) > IN_ROW_BYTES:
            return bytes(head), False
    return bytes(head), True


def _chunks_of(blob: Blob) -> Iterator[bytes]:
    if blob.content is not None:
        return iter((blob.content,))
    if blob.path is None:
        raise BookError("a blob has neither content nor path", where=blob.digest)
    return blob_files.chunks_of(Path(blob.path))
