"""Blobs in the book: small contents in their row, larger ones as files beside an SQLite file.

Content is stored once. It is checked against its digest on its way in and on its way out. A file
is written and synced before the transaction and takes its place inside it, under the book's write
lock; so whoever removes files under that lock never removes one that is about to be named.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Integer, String, bindparam, cast, select, update

from trialbook.book import schema
from trialbook.book.book import Book
from trialbook.book.statements import Statement, insert_if_absent
from trialbook.errors import BookCorruptError, BookError, BookFullError, NotFoundError
from trialbook.records.blobs import Blob
from trialbook.records.coordinates import Snapshot

IN_ROW_BYTES = 64 * 1024
"""Contents up to this length lie in their row."""

_CHUNK_BYTES = 1024 * 1024
_NAMED = 500
REMOVALS = "removals"
"""The key of a value in ``tb_book`` that changes whenever something is removed."""

_b = schema.blob.c
_insert_blob = insert_if_absent(schema.blob)
_insert_snapshot = insert_if_absent(schema.snapshot)
_find = Statement(select(_b.size, _b.content, _b.location).where(_b.digest == bindparam("digest")))
_removals = Statement(select(schema.book.c.value).where(schema.book.c.key == REMOVALS))
_removed = Statement(
    update(schema.book)
    .where(schema.book.c.key == REMOVALS)
    .values(value=cast(cast(schema.book.c.value, Integer) + 1, String))
)


def note_removal(connection: Connection) -> None:
    """Tell every process that something was removed: what they remember may be gone.

    To be called in each transaction that deletes snapshots, blobs, trials or studies.
    """
    _removed.run(connection)


def removals(connection: Connection) -> str:
    """A text that changes whenever something is removed from the book."""
    row = _removals.row(connection)
    return "" if row is None else str(row[0])


@dataclass(frozen=True, slots=True)
class Prepared:
    """A blob that is ready to be named: its row, and its file when it is one.

    Args:
        digest: SHA-256 of the content.
        size_bytes: Its length.
        content: The bytes that go into the row, ``None`` for a file.
        written: The finished file under a temporary name, ``None`` without one.
    """

    digest: str
    size_bytes: int
    content: bytes | None
    written: Path | None


class StaleError(Exception):
    """What this process remembers to be in the book may have been removed: prepare again."""


class BlobStore:
    """The blobs of a book.

    Args:
        book: An open book.
    """

    def __init__(self, book: Book) -> None:
        self._book = book
        self._directory = book.blob_directory
        self._lock = threading.Lock()
        self._stored: set[str] = set()
        self._removals: str | None = None

    def after_fork(self) -> None:
        """In a forked child: the lock may have been held by a thread that is not here."""
        self._lock = threading.Lock()

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

        Raises:
            BookError: A content is not what its digest says.
            BookFullError: No space is left.
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
        if blob.content is not None:
            found = self.taken_in(iter((blob.content,)), blob.size_bytes)
        elif blob.path is not None:
            found = self.taken_from(Path(blob.path))
        else:
            raise BookError("a blob has neither content nor path", where=blob.digest)
        if found.digest != blob.digest:
            self.discard([found])
            raise BookError(
                "a file changed while it was stored: its content is not what its digest says",
                where=blob.path or f"blob {blob.digest}",
                hint="run again when nothing writes to it",
            )
        return found

    def taken_from(self, path: Path) -> Prepared:
        """A file's content as it is read now, with its digest."""
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            return self.taken_in(iter(lambda: file.read(_CHUNK_BYTES), b""), size)

    def taken_in(self, chunks: Iterator[bytes], expected_bytes: int) -> Prepared:
        """A content that comes piece by piece, with its digest.

        Args:
            chunks: The content.
            expected_bytes: About how long it is; decides whether it lies in a row or in a file.

        Raises:
            BookFullError: No space is left.
        """
        if self._directory is None or expected_bytes <= IN_ROW_BYTES:
            content = b"".join(chunks)
            digest = hashlib.sha256(content).hexdigest()
            return Prepared(digest, len(content), content, None)
        with _space_watched(self._directory):
            self._directory.mkdir(exist_ok=True)
            descriptor, name = tempfile.mkstemp(prefix="new-", dir=self._directory)
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
        return Prepared(sha.hexdigest(), size, None, Path(name))

    def discard(self, prepared: Sequence[Prepared]) -> None:
        """Drop the files of blobs that will not be named."""
        for item in prepared:
            if item.written is not None:
                with contextlib.suppress(OSError):
                    item.written.unlink(missing_ok=True)

    def unlink(self, locations: Iterable[str]) -> None:
        """Remove the files of blobs whose rows are gone for good, and which nobody can name again.

        What cannot be removed stays for ``collect_garbage``.
        """
        if self._directory is not None:
            for location in locations:
                with contextlib.suppress(OSError):
                    (self._directory / location).unlink(missing_ok=True)

    def mark_of(self, snapshots: Iterable[Snapshot] = ()) -> str | None:
        """The count of removals under which all of these are known to be in the book.

        ``None`` when one of them may be new. A transaction that finds the same count need not
        ``name`` them.
        """
        if all(snapshot.digest in self._stored for snapshot in snapshots):
            return self._removals
        return None

    def name(
        self,
        connection: Connection,
        prepared: Sequence[Prepared],
        snapshots: Iterable[Snapshot] = (),
        *,
        relied_on: bool = False,
    ) -> None:
        """Put blobs and snapshots into the book, inside the caller's transaction.

        Args:
            connection: A write transaction.
            prepared: Blobs that the book did not have.
            snapshots: Snapshots, new or not.
            relied_on: Whether the caller had other blobs, which the book had already.

        Raises:
            StaleError: Something was removed since the blobs were prepared.
        """
        snapshots = list(snapshots)
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
        for item in prepared:
            location = None
            if item.written is not None:
                location = self._placed(item)
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

    def _placed(self, item: Prepared) -> str:
        assert self._directory is not None
        assert item.written is not None
        location = f"{item.digest[:2]}/{item.digest}"
        place = self._directory / location
        with _space_watched(self._directory):
            if item.written.exists():  # else it took its place in an earlier try
                place.parent.mkdir(exist_ok=True)
                item.written.replace(place)
                for directory in (place.parent, self._directory):
                    _sync_directory(directory)
        return location

    def chunks(self, digest: str) -> Iterator[bytes]:
        """The content of a digest, checked against it at the end.

        Raises:
            NotFoundError: It is not in the book.
            BookCorruptError: It is not what its digest says, or its file is missing.
        """
        with self._book.reading() as connection:
            row = _find.row(connection, digest=digest)
        if row is None:
            raise NotFoundError(f"the blob {digest} is not in the book")
        _, content, location = row
        sha = hashlib.sha256()
        for chunk in (content,) if location is None else self._file_chunks(digest, location):
            sha.update(chunk)
            yield chunk
        if sha.hexdigest() != digest:
            raise _corrupt(digest, "its content is not what its digest says")

    def _file_chunks(self, digest: str, location: str) -> Iterator[bytes]:
        if self._directory is None:
            raise _corrupt(digest, "its file is not in this kind of book")
        try:
            with (self._directory / location).open("rb") as file:
                while chunk := file.read(_CHUNK_BYTES):
                    yield chunk
        except OSError as error:
            raise _corrupt(digest, f"its file cannot be read ({error.strerror})") from error

    def content(self, digest: str) -> bytes:
        """The whole content of a digest; see ``chunks``."""
        return b"".join(self.chunks(digest))


def _corrupt(digest: str, what: str) -> BookCorruptError:
    return BookCorruptError(
        f"a blob is damaged: {what}",
        where=f"blob {digest}",
        hint="run 'trialbook verify' to list everything that is damaged",
    )


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


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
