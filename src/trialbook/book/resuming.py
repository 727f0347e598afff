"""The half of a held attempt that saves checkpoints and goes on from those of earlier attempts.

What a checkpoint is in the book is in ``checkpoints.py``; the other half is in ``attempt.py``.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from trialbook.book import checkpoints
from trialbook.book.attempt_rows import Identity, Overlay
from trialbook.book.blobs import Prepared
from trialbook.book.outlasting import Outage, outlasting
from trialbook.book.shelf import Shelf
from trialbook.records.checkpoints import Resumption, Told


@dataclass(frozen=True, slots=True)
class Addition:
    """What a transaction writes besides what is pending.

    Args:
        write: Writes it; called with whether the attempt still counts.
        contents: Blobs that it names.
    """

    write: Callable[[Connection, bool], None]
    contents: tuple[Prepared, ...] = ()


class Resumable(ABC):
    """An attempt that can be gone on from, and that goes on from others."""

    outage: Outage
    reports: dict[int, float]
    _shelf: Shelf
    _identity: Identity
    _lock: threading.Lock
    _checkpointed = False

    @abstractmethod
    def overlay(self) -> Overlay:
        """What this attempt has written, pending or not."""

    @abstractmethod
    def set_user_attr(self, key: str, text: str) -> None:
        """Keep a user attribute, given as JSON."""

    @abstractmethod
    def set_system_attr(self, key: str, text: str) -> None:
        """Keep a system attribute, given as JSON."""

    @abstractmethod
    def _refuse_when_over(self) -> None:
        """Raise when the attempt has ended."""

    @abstractmethod
    def _write_with(self, also: Addition) -> bool:
        """Write what is pending and more in one durable transaction; whether it counts."""

    @outlasting
    def save_checkpoint(self, path: Path, told: Told) -> bool:
        """Keep a file or directory for the trial's next attempt, with everything that is pending.

        Args:
            path: What to keep, as it is now.
            told: What the tracked trial adds.

        Returns:
            ``False`` when the attempt is fenced: nobody goes on from it, so nothing is kept.

        Raises:
            InvalidInputError: The path cannot be saved.
            AttemptFencedError: The attempt has ended.
            BookError: The content cannot be written; the checkpoint before stays.
        """
        shelf, gone = self._shelf, list[str]()
        content = checkpoints.prepared(
            shelf.book, shelf.blobs, self._identity.attempt_id, path, told, self.overlay()
        )

        def write(connection: Connection, counted: bool) -> None:
            gone[:] = checkpoints.save(connection, self._identity, content, told, counted)

        try:
            counted = self._write_with(Addition(write, (content,)))
        finally:
            shelf.blobs.discard((content,))
        shelf.blobs.unlink(gone)
        self._checkpointed = True
        return counted

    @outlasting
    def load_checkpoint(self, directory: Callable[[], Path]) -> Resumption:
        """Restore the newest usable checkpoint of the trial's earlier attempts and go on from it.

        Reports, artifacts and attributes up to it are this attempt's from now on, which is in
        the book on return.

        Args:
            directory: Makes the directory where to restore it, in one of its own.

        Raises:
            AttemptFencedError: The attempt has ended.
            BookError: The book refused.
            OSError: The directory cannot be written.
        """
        self._refuse_when_over()
        if self._identity.number == 1:
            return Resumption(None)
        shelf, gone = self._shelf, list[str]()
        found = checkpoints.restored(shelf.book, shelf.blobs, self._identity, directory)
        if found.candidate is None and not found.damaged:
            return found.resumption
        for key, text in found.user_attrs.items():
            self.set_user_attr(key, text)
        for key, text in found.system_attrs.items():
            self.set_system_attr(key, text)
        with self._lock:
            self.reports = {**found.resumption.reports, **self.reports}

        def write(connection: Connection, counted: bool) -> None:
            gone[:] = checkpoints.record(connection, self._identity, found) if counted else []

        self._write_with(Addition(write))
        shelf.blobs.unlink(gone)
        return found.resumption

    def _let_checkpoints_go(self) -> None:
        """The trial has finished: nobody goes on from its checkpoints any more."""
        if self._checkpointed or self._identity.number > 1:
            shelf = self._shelf
            checkpoints.let_go_all(shelf.book, shelf.blobs, self._identity.trial_id)
