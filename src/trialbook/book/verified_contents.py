"""Verifying what records name by a digest: every snapshot and blob is hashed again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, select

from trialbook.book import schema
from trialbook.book.blob_contents import BlobContents
from trialbook.book.book import Book
from trialbook.book.findings import Findings
from trialbook.errors import (
    ArtifactLocationError,
    BookCorruptError,
    MissingPackageError,
    NotFoundError,
)
from trialbook.records.canonical import digest_of_bytes
from trialbook.records.coordinates import Kind, Snapshot

_CHUNK = 200


class ContentCheck:
    """Hashes contents again.

    Args:
        book: An open book; it may be read-only.
        findings: Where everything goes that is found.
        artifacts: Whether to read what lies at artifact locations.
    """

    def __init__(self, book: Book, findings: Findings, *, artifacts: bool) -> None:
        self._book = book
        self._findings = findings
        self._artifacts = artifacts

    def snapshots(self, *, everything: bool) -> None:
        """The snapshots that something names; with ``everything`` the others too."""
        s = schema.snapshot.c
        digests: Sequence[str] = list(self._findings.snapshots_named)
        if everything:
            with self._book.reading() as connection:
                digests = list(dict.fromkeys([*digests, *connection.scalars(select(s.digest))]))
        for start in range(0, len(digests), _CHUNK):
            chunk = digests[start : start + _CHUNK]
            with self._book.reading() as connection:
                documents = {
                    row.digest: row
                    for row in connection.execute(
                        select(schema.snapshot).where(s.digest.in_(chunk))
                    )
                }
            for digest in chunk:
                by = self._findings.snapshots_named.get(digest, "nothing that lives")
                with self._findings.watching("snapshot", f"{digest} ({by})"):
                    self._snapshot(digest, documents.get(digest), by)

    def _snapshot(self, digest: str, row: Row[Any] | None, by: str) -> None:
        where = f"{digest} ({by})"
        if row is None:
            self._findings.found("snapshot", where, "it is not in the book")
            return
        self._findings.snapshots_done.add(digest)
        document = row.document.encode()
        if digest_of_bytes(document) != digest:
            self._findings.found("snapshot", where, "its document is not what its digest says")
            return
        if row.kind == Kind.CODE:
            for entry in Snapshot.from_document(document).state["files"]:
                if entry["embedded"]:
                    path = f"file {entry['path']} of {by}"
                    self._findings.blobs_named.setdefault(entry["digest"], path)

    def blobs(self, *, everything: bool) -> None:
        """The blobs that something names, after ``snapshots``; with ``everything`` the others too.

        Raises:
            ArtifactLocationError: An artifact location cannot be reached.
            MissingPackageError: Reading there needs a package that is not installed.
        """
        store = BlobContents(self._book)
        digests = list(self._findings.blobs_named)
        sizes: dict[str, int] = {}
        elsewhere: set[str] = set()
        b = schema.blob.c
        with self._book.reading() as connection:
            for row in connection.execute(select(b.digest, b.size, b.location)):
                sizes[row.digest] = row.size
                if row.location is not None and ":" in row.location:
                    elsewhere.add(row.digest)
        if everything:
            digests = list(dict.fromkeys([*digests, *sizes]))
        for digest in digests:
            if digest in elsewhere and not self._artifacts:
                self._findings.not_read += 1
                continue
            by = self._findings.blobs_named.get(digest, "nothing that lives")
            where = f"{digest} ({by})"
            self._findings.blobs += 1
            try:
                size = sum(len(chunk) for chunk in store.chunks(digest))
            except (ArtifactLocationError, MissingPackageError) as error:
                error.hint = f"{error.hint}; 'trialbook verify --no-artifacts' reads the rest"
                raise
            except (NotFoundError, BookCorruptError) as error:
                if not self._was_let_go(digest):
                    self._findings.found("blob", where, error.what)
                continue
            if size != sizes.get(digest, size):
                self._findings.found(
                    "blob", where, f"it has {size} bytes, its row says {sizes[digest]}"
                )

    def _was_let_go(self, digest: str) -> bool:
        """Whether it is the content of a checkpoint that has become too old meanwhile."""
        c = schema.checkpoint.c
        with self._book.reading() as connection:
            return connection.scalars(select(c.kept).where(c.digest == digest)).first() == 0
