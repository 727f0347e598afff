"""Reading the blobs of a book wherever they lie: each is held against its digest as it is read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from trialbook.book import blob_files, row_contents
from trialbook.book.blob_locations import BookLocations
from trialbook.book.book import Book
from trialbook.errors import BookCorruptError, BookError, NotFoundError

READ_PATIENCE_S = 15.0
"""How long whoever only reads a book waits for a location."""


class BlobContents:
    """The contents of a book's blobs.

    Args:
        book: An open book.
        patience_s: How long to wait for a location that cannot be reached.
    """

    def __init__(self, book: Book, *, patience_s: float = READ_PATIENCE_S) -> None:
        self._book = book
        self._directory = book.blob_directory
        self._locations = BookLocations(book, patience_s)

    def chunks(self, digest: str) -> Iterator[bytes]:
        """The content of a digest, checked against it at the end.

        Raises:
            NotFoundError: It is not in the book.
            BookCorruptError: It is not what its digest says, or its file or object is missing.
            ArtifactLocationError: Its location cannot be reached.
            MissingPackageError: Reading there needs a package that is not installed.
        """
        with self._book.reading() as connection:
            row = row_contents.find.row(connection, digest=digest)
        if row is None:
            raise NotFoundError(f"the blob {digest} is not in the book")
        size, content, location = row
        sha = hashlib.sha256()
        if location is not None:
            chunks = self._outside(digest, size, content, location)
        elif content is not None:
            chunks = iter((content,))
        else:
            chunks = row_contents.sliced(self._book, digest)
        for chunk in chunks:
            sha.update(chunk)
            yield chunk
        if sha.hexdigest() != digest:
            raise _corrupt(digest, "its content is not what its digest says")

    def _outside(
        self, digest: str, size_bytes: int, listed: bytes | None, location: str
    ) -> Iterator[bytes]:
        """The content of a blob that is not in its row."""
        spot = self._locations.spot(location)
        try:
            if spot is not None:
                yield from spot.chunks(size_bytes, listed)
            elif self._directory is None:
                raise _corrupt(digest, "its file is not in this kind of book")
            else:
                yield from blob_files.chunks_of(self._directory / location)
        except BookError as error:
            if isinstance(error, BookCorruptError):
                error.where = error.where or f"blob {digest}"
            raise
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
