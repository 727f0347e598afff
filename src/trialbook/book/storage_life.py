"""An open storage from its opening to its end: threads, forks, pickles, what is pending.

The base of ``BookStorage``; what it does with studies and trials is in the other parts of it.
"""

from __future__ import annotations

import atexit
import logging
import os
import warnings
import weakref
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

from optuna.storages import BaseStorage

from trialbook.book.attempt import Attempt
from trialbook.book.blobs import BlobStore
from trialbook.book.book import Book
from trialbook.book.cache import TrialCache
from trialbook.book.flusher import Flusher
from trialbook.book.launches import Launches
from trialbook.book.leases import Leases
from trialbook.book.outlasting import Outage, all_outlasting
from trialbook.book.renewal import Renewal
from trialbook.book.results import Result
from trialbook.book.retrying import Reaped
from trialbook.book.shelf import Shelf
from trialbook.book.spaces import Spaces
from trialbook.book.studies import Studies
from trialbook.errors import (
    AttemptFencedError,
    BookUnreachableError,
    TrialbookWarning,
)

_logger = logging.getLogger(__name__)


@all_outlasting("close", "remove_session")
class StorageLife(BaseStorage):
    """A book that is open as a storage; see ``BookStorage``."""

    def __init__(
        self,
        url: str | Path | None = None,
        *,
        create: bool = True,
        patience_s: float | None = None,
    ) -> None:
        self._start(Book.open(url, create=create, patience_s=patience_s))

    def _start(self, book: Book) -> None:
        self.book = book
        self.url = book.url
        self.outage = book.outage
        self._spaces = Spaces()
        self._studies = Studies(book)
        self._cache = TrialCache(book, self._spaces)
        self._held: dict[int, Attempt] = {}
        self._lost: set[int] = set()
        self._shelf = self._new_shelf(BlobStore(book, patience_s=book.outage.patience_s))
        self.leases = Leases(book)
        self.launches = Launches(book)
        self._registered: set[str] = set()
        self._renewal = self._new_renewal()
        _open_storages.add(self)

    def _new_shelf(self, blobs: BlobStore) -> Shelf:
        cache = self._cache

        def committed(study_id: int, result: Result | None) -> None:
            if result is not None:
                cache.finished(study_id, result)

        return Shelf(self.book, blobs, self._spaces, self._new_flusher(), cache.follow, committed)

    def _new_flusher(self) -> Flusher:
        here = weakref.ref(self)

        def held() -> list[Attempt] | None:
            storage = here()
            if storage is None:
                return None
            attempts = list(storage._held.values())
            for attempt in attempts:
                if attempt.holder is not None:
                    storage._renewal.begin(attempt.holder)  # again, after the book was closed
            return attempts

        return Flusher(held, _saying(self.outage, _say_of_flush))

    def _new_renewal(self) -> Renewal:
        here = weakref.ref(self)

        def held() -> list[Attempt] | None:
            storage = here()
            return None if storage is None else list(storage._held.values())

        def reap(study_id: int) -> None:
            storage = here()
            if storage is not None:
                storage.reap(study_id)

        return Renewal(self.leases, held, reap, _saying(self.outage, _say_of_renewal))

    def __repr__(self) -> str:
        return f"BookStorage({self.url!r})"

    def __getstate__(self) -> dict[str, Any]:
        self.flush()
        return {"book": self.book}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._start(state["book"])

    def _after_fork(self) -> None:
        """In a forked child: hold nothing; what the parent has pending is the parent's."""
        for attempt in self._held.values():
            attempt.after_fork()
        self._held = {}
        self._cache.after_fork()
        self._shelf.blobs.after_fork()
        self._shelf = self._new_shelf(self._shelf.blobs)
        self._renewal = self._new_renewal()

    def flush(self) -> None:
        """Write everything that is pending in this process.

        Every attempt is tried, whatever comes of another; the first error is raised.

        Raises:
            AttemptFencedError: An attempt held here is no longer its trial's current one.
            BookError: The book refused; what is pending stays pending.
        """
        first: Exception | None = None
        for attempt in list(self._held.values()):
            try:
                attempt.flush()
            except Exception as error:
                first = error if first is None else first
        if first is not None:
            raise first

    def close(self) -> None:
        """Write what is pending, stop the thread and close every connection."""
        try:
            self.flush()
        finally:
            self._shelf.flusher.stop()
            self._renewal.stop()
            self.book.close()

    def remove_session(self) -> None:
        """Nothing to do: no connection belongs to a thread."""

    @abstractmethod
    def reap(self, study_id: int | None = None) -> list[Reaped]:
        """End what has expired; the thread that renews leases asks for it."""


def _saying(outage: Outage, say: Callable[[Exception], None]) -> Callable[[Exception], None]:
    """Tell of what failed in a thread; of a server that is away only once for all threads."""

    def said(error: Exception) -> None:
        if isinstance(error, BookUnreachableError):
            outage.noticed(error)
        else:
            say(error)

    return said


def _say_of_flush(error: Exception) -> None:
    """Tell of a failed flush from the flusher's thread, where a warning could raise."""
    if isinstance(error, AttemptFencedError):
        _logger.warning("%s: what it has left is kept with it and does not count", error.what)
    else:
        _logger.warning("pending writes wait, they will be tried again: %s", error)


def _say_of_renewal(error: Exception) -> None:
    _logger.warning("leases could not be renewed, that will be tried again: %s", error)


_open_storages: weakref.WeakSet[StorageLife] = weakref.WeakSet()


def _after_fork() -> None:
    for storage in list(_open_storages):
        storage._after_fork()


def _at_exit() -> None:
    for storage in list(_open_storages):
        try:
            storage.flush()
        except Exception as error:
            warnings.warn(TrialbookWarning(f"pending writes are lost: {error}"), stacklevel=1)


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
