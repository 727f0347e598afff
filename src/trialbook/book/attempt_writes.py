"""The transactions of a held attempt: what is pending is flushed, or goes with the result.

Every transaction names the attempt's number, which is its fencing token. When a server went away
in a commit and does not say whether it was done, the batch is in doubt: nothing else is written
before that is known. What is gathered, and when it is due, is in ``pending.py``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from optuna.trial import TrialState
from sqlalchemy import Connection

from trialbook.book import attempt_rows
from trialbook.book.at_once import Known
from trialbook.book.attempt_rows import Batch, Identity
from trialbook.book.blobs import Prepared, StaleError
from trialbook.book.pending import Pending
from trialbook.book.results import PartsChangedError, write_at_once, write_result
from trialbook.book.series_rows import folded
from trialbook.book.shelf import Shelf
from trialbook.errors import AttemptFencedError


@dataclass(frozen=True, slots=True)
class Addition:
    """What a transaction writes besides what is pending.

    Args:
        write: Writes it; called with whether the attempt still counts.
        contents: Blobs that it names.
    """

    write: Callable[[Connection, bool], None]
    contents: tuple[Prepared, ...] = ()


@dataclass(frozen=True, slots=True)
class _Doubt:
    """A batch that may be stored.

    Args:
        batch: The batch.
        receipt: What the book is asked with.
        finishing: Whether the result went with it.
    """

    batch: Batch
    receipt: object
    finishing: bool


class AttemptWrites:
    """A held attempt as far as it writes; threads take turns.

    Attributes:
        fenced: Whether it has turned out that the attempt no longer counts.
    """

    def __init__(self, shelf: Shelf, identity: Identity, known: Known | None) -> None:
        self.fenced = False
        self._shelf = shelf
        self._identity = identity
        self._known = known
        self._pending = Pending(shelf.flusher)
        self._turn = threading.RLock()
        self._doubt: _Doubt | None = None
        self._told = False
        self._written_parts = False

    def _after_fork(self) -> None:
        self._turn = threading.RLock()
        self._pending.after_fork()

    def _over(self) -> AttemptFencedError:
        return AttemptFencedError(
            f"attempt {self._identity.number} of trial {self._identity.trial_number} has ended",
            hint="log before the objective returns",
        )

    def flush(self) -> None:
        """Write what is pending.

        Raises:
            AttemptFencedError: Another attempt of the trial has begun, or it has been finished:
                points and outcome are kept with this attempt, params and attributes are not.
            BookError: The book refused; everything stays pending.
        """
        with self._turn:
            if self._pending.closed or self._found_finished():
                return
            batch, prepared = self._taken()
            if batch is None:
                return
            fenced = self._flushed(batch, prepared)
            if fenced and not self.fenced:
                self.fenced = True
                raise attempt_rows.fenced_error(self._identity)

    def _write_with(self, also: Addition) -> bool:
        """Write what is pending and more in one durable transaction; whether it counts."""
        with self._turn:
            if self._pending.closed:
                raise self._over()
            self._found_finished()
            batch, prepared = self._taken(even_nothing=True)
            assert batch is not None
            fenced = self._flushed(batch, prepared, also)
            self.fenced = self.fenced or fenced
            return not fenced

    def _write_result(self, state: TrialState, values: Sequence[float] | None) -> bool | None:
        """Write everything that is pending and the trial's result, in one transaction.

        Returns:
            Whether it counts; ``None`` when it was in the book already.

        Raises:
            BookError: The book refused; everything stays pending.
        """
        with self._turn:
            if self._found_finished():
                return None
            batch, prepared = self._taken(everything=True)
            assert batch is not None
            try:
                counted = self._finished(batch, prepared, state, values)
            except BaseException as error:
                self._not_written(batch, error, finishing=True)
                self._pending.closed = False
                raise
            finally:
                self._shelf.blobs.discard(prepared)
            self._settled(batch, prepared)
        self.fenced = self.fenced or not counted
        return counted

    def abandon(self) -> None:
        """Write nothing any more: the trial is over, or another attempt has been begun here."""
        with self._turn:
            self._pending.closed = True

    # One batch.

    def _taken(
        self, everything: bool = False, even_nothing: bool = False
    ) -> tuple[Batch | None, list[Prepared]]:
        """What is pending, and its blobs made ready; ``None`` when nothing is."""
        batch = self._pending.taken(everything, even_nothing)
        if batch is None:
            return None, []
        try:
            return batch, self._shelf.blobs.prepared(batch.blobs)
        except BaseException:
            self._pending.put_back(batch)
            self._pending.closed = False
            raise

    def _flushed(
        self, batch: Batch, prepared: list[Prepared], also: Addition | None = None
    ) -> bool:
        """Write a batch and what comes with it; whether the attempt is fenced."""
        try:
            while True:
                try:
                    fenced = self._write(batch, prepared, also)
                    break
                except StaleError:
                    self._shelf.blobs.discard(prepared)
                    prepared[:] = self._shelf.blobs.prepared(batch.blobs)
        except BaseException as error:
            self._not_written(batch, error)
            raise
        finally:
            self._shelf.blobs.discard(prepared)
        self._settled(batch, prepared)
        return fenced

    def _write(self, batch: Batch, prepared: list[Prepared], also: Addition | None) -> bool:
        shelf, known, written = self._shelf, self._known, None
        self._known = None
        with shelf.book.writing(durable=also is not None) as connection:
            shelf.blobs.name(
                connection,
                prepared if also is None else [*prepared, *also.contents],
                batch.facts.amended.values(),
                relied_on=batch.blobs,
            )
            row = attempt_rows.locked_if_current(connection, self._identity)
            if row is not None:
                written = attempt_rows.write_texts(connection, row, batch, shelf.spaces)
            attempt_rows.write_own(connection, self._identity, batch)
            if also is not None:
                also.write(connection, row is not None)
        if known is not None and written is not None and not batch.facts.amended:
            self._known = replace(known, row=written)
        if row is not None:
            shelf.flushed(self._identity.study_id)
        return row is None

    def _finished(
        self,
        batch: Batch,
        prepared: list[Prepared],
        state: TrialState,
        values: Sequence[float] | None,
    ) -> bool:
        """Write a batch with the result; whether it counts."""
        shelf, identity = self._shelf, self._identity
        while True:
            if self._written_parts:
                with shelf.book.reading() as reader:
                    fold = folded(reader, identity.attempt_id, batch.series)
            else:
                fold = folded(None, identity.attempt_id, batch.series)
            try:
                what = (identity, batch, fold, shelf.spaces, (state, values))
                result = None
                mark = shelf.blobs.mark_of(blobs=batch.blobs) if batch.blobs else None
                if not prepared and (mark is not None or not batch.blobs):
                    result = write_at_once(shelf.book, self._known, *what, mark)
                if result is None:
                    with shelf.book.writing(durable=True) as connection:
                        shelf.blobs.name(
                            connection,
                            prepared,
                            batch.facts.amended.values(),
                            relied_on=batch.blobs,
                        )
                        result = write_result(connection, *what)
                shelf.committed(identity.study_id, result)
                return result is not None
            except PartsChangedError:
                self._written_parts = True
            except StaleError:
                shelf.blobs.discard(prepared)
                prepared[:] = shelf.blobs.prepared(batch.blobs)

    def _settled(self, batch: Batch, prepared: Iterable[Prepared]) -> None:
        """A batch is in the book."""
        self._shelf.blobs.committed(prepared, batch.facts.amended.values())
        if batch.series:
            self._written_parts = True

    # In doubt.

    def _not_written(self, batch: Batch, error: BaseException, *, finishing: bool = False) -> None:
        """Put a batch back that was not written; one that may have been waits until it is known."""
        receipt = getattr(error, "receipt", None)
        if receipt is None:
            self._pending.put_back(batch)
            return
        self._doubt = _Doubt(batch, receipt, finishing)
        self._pending.since = time.monotonic()

    def _found_finished(self) -> bool:
        """Find out what became of a batch that may be stored; whether it had the result.

        Raises:
            BookUnreachableError: The server still does not say; nothing is written before.
        """
        if self._doubt is None:
            return self._told
        doubt = self._doubt
        stored = self._shelf.book.settled(doubt.receipt)
        self._doubt = None
        if not stored:
            self._pending.put_back(doubt.batch)
            return False
        self._settled(doubt.batch, ())
        if doubt.finishing:
            self._pending.closed = self._told = True
        return doubt.finishing
