"""One held attempt: what it has written and what of that is pending.

From ``begin_attempt`` to the told result the trial is held by this process, and its writes are
gathered here. Params and system attributes go to the book at once, the rest a little later, all
of it with the result at the latest. Every transaction names the attempt's number, which is its
fencing token. How the rows look is in ``attempt_rows.py``.
"""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from optuna.distributions import BaseDistribution
from optuna.trial import TrialState

from trialbook.book import attempt_rows
from trialbook.book.at_once import Known
from trialbook.book.attempt_rows import Batch, Identity
from trialbook.book.blobs import Prepared, StaleError
from trialbook.book.flusher import URGENT_S, WAIT_S
from trialbook.book.outlasting import outlasting
from trialbook.book.points import PointBuffer
from trialbook.book.results import PartsChangedError, write_at_once, write_result
from trialbook.book.resuming import Addition, Resumable
from trialbook.book.series_rows import folded
from trialbook.book.shelf import Shelf
from trialbook.book.texts import checked_name, json_text, returned_text
from trialbook.errors import AttemptFencedError, TrialbookWarning
from trialbook.records.blobs import Blob
from trialbook.records.coordinates import Snapshot
from trialbook.records.execution import OutcomeState
from trialbook.records.series import OBJECTIVE, Series, joined
from trialbook.records.study import ArtifactRecord
from trialbook.records.workers import Holder

FLUSH_POINTS = 10_000
"""So many points are written without waiting for the clock."""
FULL_POINTS = 100_000
"""So many points are written by whoever logs the next one: a full buffer blocks."""


class Attempt(Resumable):
    """The pending writes of one held attempt; safe for threads.

    Made by ``BookStorage.begin_attempt``.

    Attributes:
        trial_id: The trial.
        study_id: Its study.
        number: The attempt's number, 1 for the first; the fencing token.
        attempt_id: The book's id of the attempt.
        holder: By whose lease it is held, as far as this process renews it; else ``None``.
        fenced: Whether it has turned out that the attempt no longer counts.
    """

    def __init__(
        self,
        shelf: Shelf,
        identity: Identity,
        holder: Holder | None = None,
        known: Known | None = None,
    ) -> None:
        self.trial_id = identity.trial_id
        self.study_id = identity.study_id
        self.number = identity.number
        self.attempt_id = identity.attempt_id
        self.holder = holder
        self.outage = shelf.book.outage
        self._identity = identity
        self._known = known
        self._shelf = shelf
        self._doubt: tuple[Batch, object, bool] | None = None
        self._start_locks()
        self.fenced = False
        self._ended = False
        self._told = False
        self._forked = False
        self._written_parts = False
        self._facts = attempt_rows.Facts()
        self._returned_parts: list[dict[str, Series]] = []
        self._clear()
        self.params: dict[str, tuple[float, BaseDistribution]] = {}
        self.user_attrs: dict[str, str] = {}
        self.system_attrs: dict[str, str] = {}
        self.reports: dict[int, float] = {}

    def _start_locks(self) -> None:
        self._lock = threading.Lock()
        self._writing = threading.RLock()

    def _clear(self) -> None:
        """Begin to gather anew."""
        self._points = PointBuffer(reserved=OBJECTIVE)
        self._reported = PointBuffer()
        self._returned_parts = []
        self._new_params: dict[str, tuple[str, BaseDistribution]] = {}
        self._new_user: dict[str, str] = {}
        self._new_system: dict[str, str] = {}
        self._new_facts = False
        self._blobs: list[Blob] = []
        self._since: float | None = None
        self._urgent_since: float | None = None

    def after_fork(self) -> None:
        """In a forked child, such as a data loader: what is pending is the parent's to write.

        What the child itself logs is written at once, since nobody flushes for it.
        """
        self._start_locks()
        self._clear()
        self._forked = True

    def _refuse_when_over(self) -> None:
        if self._ended:
            raise AttemptFencedError(
                f"attempt {self.number} of trial {self._identity.trial_number} has ended",
                hint="log before the objective returns",
            )

    # What a tracked trial tells.

    def log(self, metrics: Mapping[str, float], step: int, seconds: float) -> None:
        """Keep one point of each metric.

        Args:
            metrics: Name to value.
            step: Any integer of 64 bits.
            seconds: Wall time, seconds since the epoch.

        Raises:
            InvalidMetricError: A value is no number, or a metric is called ``objective``, which
                is the series of ``trial.report``.
            InvalidInputError: A name or the step cannot be kept.
            AttemptFencedError: The attempt has ended.
            BookError: The buffer is full and cannot be written.
        """
        with self._lock:
            self._refuse_when_over()
            points = self._points
            points.log(metrics, step, seconds)
            if self._since is None:
                self._now_waiting()
            count = points.count
        if count >= FLUSH_POINTS or self._forked:
            self._relieve(count)

    def _relieve(self, count: int) -> None:
        if count >= FULL_POINTS or self._forked:
            self.outage.outlast(self.flush)
        else:
            self._shelf.flusher.urgent()

    def report(self, step: int, value: float, seconds: float) -> None:
        """Keep a report; the last value of a step stands (``Trial.report`` lets only one by)."""
        with self._lock:
            self._refuse_when_over()
            self._reported.log({OBJECTIVE: value}, step, seconds)
            self.reports[int(step)] = float(value)
            if self._since is None:
                self._now_waiting()
            count = self._reported.count
        if count >= FLUSH_POINTS:
            self._relieve(count)

    def answered(self, pruned: bool) -> None:
        """Keep one answer of ``should_prune``."""
        with self._lock:
            self._facts.prune_answers.append("1" if pruned else "0")
            self._new_facts = True

    def returned(self, value: object) -> None:
        """Keep what the objective returned, before Optuna looks at it."""
        text = returned_text(value)
        with self._lock:
            self._facts.returned = text
            self._new_facts = True

    @outlasting
    def add_artifact(self, name: str, path: Path, media_type: str) -> ArtifactRecord:
        """Keep a file by content, at once; one name holds the last file kept under it.

        Raises:
            InvalidInputError: The name cannot be kept.
            OSError: The file cannot be read.
            AttemptFencedError: The attempt has ended.
            BookError: The content cannot be written.
        """
        checked_name(name, "an artifact")
        self._refuse_when_over()
        shelf = self._shelf
        while True:
            content = shelf.blobs.taken_from(Path(path))
            record = ArtifactRecord(name, content.digest, content.size_bytes, media_type)
            try:
                with shelf.book.writing() as connection:
                    shelf.blobs.name(connection, [content])
                    attempt_rows.add_artifact(connection, self._identity, record)
            except StaleError:
                continue
            finally:
                shelf.blobs.discard([content])
            shelf.blobs.committed([content])
            return record

    def amend(self, snapshot: Snapshot, blobs: Iterable[Blob] = ()) -> None:
        """Replace the snapshot of a coordinate by a better one, with the next write."""
        with self._lock:
            self._facts.amended[snapshot.kind] = snapshot
            self._blobs.extend(blobs)
            self._new_facts = True

    def end(self, outcome: OutcomeState, blobs: Iterable[Blob] = ()) -> None:
        """Keep how the attempt ended; it is written with the result, or by itself before."""
        with self._lock:
            self._facts.outcome = outcome
            self._blobs.extend(blobs)
            self._new_facts = True
            if self._since is None:
                self._now_waiting()

    # What Optuna's storage interface tells.

    def set_param(self, name: str, internal: float, distribution: BaseDistribution) -> None:
        """Keep a param."""
        text = json_text(internal, f"the param {name!r}")
        self._shelf.spaces.text(distribution)  # refuses what is not JSON now, not later
        with self._lock:
            self._refuse_when_over()
            self.params[name] = (internal, distribution)
            self._new_params[name] = (text, distribution)
            self._now_urgent()

    def set_user_attr(self, key: str, text: str) -> None:
        """Keep a user attribute, given as JSON."""
        with self._lock:
            self._refuse_when_over()
            self.user_attrs[key] = self._new_user[key] = text
            if self._since is None:
                self._now_waiting()

    def set_system_attr(self, key: str, text: str) -> None:
        """Keep a system attribute, given as JSON."""
        with self._lock:
            self._refuse_when_over()
            self.system_attrs[key] = self._new_system[key] = text
            self._now_urgent()

    def _now_waiting(self) -> None:
        self._since = time.monotonic()
        self._shelf.flusher.attend()

    def _now_urgent(self) -> None:
        if self._urgent_since is None:
            self._urgent_since = time.monotonic()
            self._shelf.flusher.urgent()

    def overlay(self) -> attempt_rows.Overlay:
        """What this attempt has written, pending or not, for this process to see."""
        with self._lock:
            return attempt_rows.Overlay(
                dict(self.params),
                dict(self.user_attrs),
                dict(self.system_attrs),
                dict(self.reports),
            )

    # What the flusher asks.

    def due(self, now: float) -> bool:
        """Whether something has waited long enough."""
        if self._urgent_since is not None and now - self._urgent_since >= URGENT_S:
            return True
        if self._since is None:
            return False
        return now - self._since >= WAIT_S or self._points.count >= FLUSH_POINTS

    def flush(self) -> None:
        """Write what is pending.

        Raises:
            AttemptFencedError: Another attempt of the trial has begun, or it has been finished:
                points and outcome are kept with this attempt, params and attributes are not.
            BookError: The book refused; everything stays pending.
        """
        with self._writing:
            if self._ended or self._found_finished():
                return
            batch, prepared = self._taken()
            if batch is None:
                return
            fenced = self._flushed(batch, prepared)
            if fenced and not self.fenced:
                self.fenced = True
                raise attempt_rows.fenced_error(self._identity)

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
            self._put_back(batch, error)
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
            shelf.flushed(self.study_id)
        return row is None

    def _write_with(self, also: Addition) -> bool:
        """Write what is pending and more in one durable transaction; whether it counts."""
        with self._writing:
            self._refuse_when_over()
            self._found_finished()
            batch, prepared = self._taken(even_nothing=True)
            assert batch is not None
            fenced = self._flushed(batch, prepared, also)
            self.fenced = self.fenced or fenced
            return not fenced

    def finish(self, state: TrialState, values: Sequence[float] | None) -> None:
        """Write everything that is pending and the trial's result, in one transaction.

        When the attempt is fenced, what it has is kept with it, the trial is left alone, and a
        warning says so.

        Raises:
            BookError: The book refused; everything stays pending.
        """
        with self._writing:
            if self._found_finished():
                return
            batch, prepared = self._taken(everything=True)
            assert batch is not None
            try:
                counted = self._finished(batch, prepared, state, values)
            except BaseException as error:
                self._put_back(batch, error, finishing=True)
                self._ended = False
                raise
            finally:
                self._shelf.blobs.discard(prepared)
            self._settled(batch, prepared)
        if counted:
            self._let_checkpoints_go()
        else:
            self.fenced = True
            warnings.warn(
                TrialbookWarning(
                    f"{attempt_rows.fenced_error(self._identity).what}: "
                    "its result is kept with it and does not count"
                ),
                stacklevel=4,
            )

    def _finished(
        self,
        batch: Batch,
        prepared: list[Prepared],
        state: TrialState,
        values: Sequence[float] | None,
    ) -> bool:
        shelf = self._shelf
        while True:
            if self._written_parts:
                with shelf.book.reading() as reader:
                    fold = folded(reader, self.attempt_id, batch.series)
            else:
                fold = folded(None, self.attempt_id, batch.series)
            try:
                what = (self._identity, batch, fold, shelf.spaces, (state, values))
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
                shelf.committed(self.study_id, result)
                return result is not None
            except PartsChangedError:
                self._written_parts = True
            except StaleError:
                shelf.blobs.discard(prepared)
                prepared[:] = shelf.blobs.prepared(batch.blobs)

    @property
    def outcome(self) -> OutcomeState | None:
        """How the attempt ended, as far as that was said."""
        return self._facts.outcome

    def abandon(self) -> None:
        """Write nothing any more: the trial is over, or another attempt has been begun here."""
        with self._writing:
            self._ended = True

    def _taken(
        self, everything: bool = False, even_nothing: bool = False
    ) -> tuple[Batch | None, list[Prepared]]:
        """What is pending, and its blobs made ready; ``None`` when nothing is."""
        with self._lock:
            quiet = self._since is None and self._urgent_since is None and not self._blobs
            if quiet and not (everything or even_nothing or self._returned_parts):
                return None, []
            parts = [*self._returned_parts, self._points.series(), self._reported.series()]
            batch = Batch(
                self._new_params,
                self._new_user,
                self._new_system,
                _by_metric(parts),
                self._facts.copied(),
                self._new_facts,
                self._blobs,
            )
            self._clear()
            # With everything taken, what a thread logs from now on would reach no transaction.
            self._ended = everything
        try:
            return batch, self._shelf.blobs.prepared(batch.blobs)
        except BaseException:
            self._put_back(batch)
            self._ended = False
            raise

    def _found_finished(self) -> bool:
        """Find out what became of a batch that may be stored; whether it had the result.

        Raises:
            BookUnreachableError: The server still does not say; nothing is written before.
        """
        if self._doubt is None:
            return self._told
        batch, receipt, finishing = self._doubt
        stored = self._shelf.book.settled(receipt)
        self._doubt = None
        if not stored:
            self._put_back(batch)
            return False
        self._settled(batch, ())
        if finishing:
            self._ended = self._told = True
        return finishing

    def _put_back(
        self, batch: Batch, error: BaseException | None = None, *, finishing: bool = False
    ) -> None:
        """Keep a batch that was not written; one that may have been, until that is known."""
        receipt = getattr(error, "receipt", None)
        if receipt is not None:
            self._doubt = batch, receipt, finishing
            self._since = time.monotonic()
            return
        with self._lock:
            self._new_params = {**batch.params, **self._new_params}
            self._new_user = {**batch.user_attrs, **self._new_user}
            self._new_system = {**batch.system_attrs, **self._new_system}
            if batch.series:
                self._returned_parts.insert(0, batch.series)
            self._new_facts = self._new_facts or batch.new_facts
            self._blobs = [*batch.blobs, *self._blobs]
            if self._since is None:
                self._since = time.monotonic()

    def _settled(self, batch: Batch, prepared: Iterable[Prepared]) -> None:
        self._shelf.blobs.committed(prepared, batch.facts.amended.values())
        if batch.series:
            self._written_parts = True


def _by_metric(parts: Iterable[dict[str, Series]]) -> dict[str, Series]:
    found: dict[str, list[Series]] = {}
    for series in parts:
        for metric, points in series.items():
            found.setdefault(metric, []).append(points)
    return {metric: joined(metric, points) for metric, points in found.items()}
