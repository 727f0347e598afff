"""A held attempt as far as it saves checkpoints and goes on from those of earlier attempts.

What a checkpoint is in the book is in ``checkpoints.py``; what else it is told in ``attempt.py``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection

from trialbook.book import checkpoints
from trialbook.book.attempt_rows import Overlay
from trialbook.book.attempt_writes import Addition, AttemptWrites
from trialbook.book.outlasting import Outage, outlasting
from trialbook.records.checkpoints import Resumption, Told


class Resumable(AttemptWrites, ABC):
    """An attempt that can be gone on from, and that goes on from others."""

    outage: Outage
    reports: dict[int, float]
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
        if self._pending.closed:
            raise self._over()
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
        with self._pending.lock:
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
