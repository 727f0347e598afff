"""What the attempts of one storage share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from trialbook.book.blobs import BlobStore
from trialbook.book.book import Book
from trialbook.book.flusher import Flusher
from trialbook.book.results import Result
from trialbook.book.spaces import Spaces


@dataclass(frozen=True, slots=True)
class Shelf:
    """What the attempts of one storage share.

    Args:
        book: The book.
        blobs: Its blobs.
        spaces: Its search spaces.
        flusher: The thread that flushes.
        flushed: Called after a flush with the study: others in this process have nothing to read.
        committed: Called after a result with the study and the trial's row, ``None`` when the
            attempt was fenced.
    """

    book: Book
    blobs: BlobStore
    spaces: Spaces
    flusher: Flusher
    flushed: Callable[[int], None]
    committed: Callable[[int, Result | None], None]
