"""Blobs: bytes named by their digest. Where they are kept is the book's business."""

from __future__ import annotations

from dataclasses import dataclass

from trialbook.records.canonical import digest_of_bytes


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


def size_text(size_bytes: int) -> str:
    """A size in binary units: ``812 B``, ``1.4 KiB``."""
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
