"""Blobs: bytes named by their digest. Where they are kept is the book's business."""

from __future__ import annotations

from dataclasses import dataclass

from trialbook.records.canonical import digest_of_bytes
from trialbook.records.sizes import size_text as size_text


@dataclass(frozen=True, slots=True)
class Blob:
    """Content on its way into the book.

    Args:
        digest: SHA-256 of the content, 64 hexadecimal digits.
        size_bytes: Length of the content.
        content: The bytes, or ``None`` when ``path`` holds them.
        path: A file that holds the content; it is read, and checked against ``digest``, when the
            blob is stored.
    """

    digest: str
    size_bytes: int
    content: bytes | None = None
    path: str | None = None

    @classmethod
    def of(cls, content: bytes) -> Blob:
        """The blob of these bytes."""
        return cls(digest_of_bytes(content), len(content), content)
