"""One held attempt: what it is told by a tracked trial and through Optuna's storage interface.

From ``begin_attempt`` to the told result the trial is held by this process, and its writes are
gathered (``pending.py``). Params and system attributes go to the book at once, the rest a little
later, all of it with the result at the latest (``attempt_writes.py``). Checkpoints are in
``resuming.py``.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from optuna.distributions import BaseDistribution
from optuna.trial import TrialState

from trialbook.book import attempt_rows
from trialbook.book.at_once import Known
from trialbook.book.attempt_rows import Identity
from trialbook.book.blobs import StaleError
from trialbook.book.outlasting import outlasting
from trialbook.book.pending import FLUSH_POINTS
from trialbook.book.resuming import Resumable
from trialbook.book.shelf import Shelf
from trialbook.book.texts import checked_name, json_text, returned_text
from trialbook.errors import TrialbookWarning
from trialbook.records.blobs import Blob
from trialbook.records.coordinates import Snapshot
from trialbook.records.execution import OutcomeState
from trialbook.records.series import OBJECTIVE
from trialbook.records.study import ArtifactRecord
from trialbook.records.workers import Holder

FULL_POINTS = 100_000
"""So many points are written by whoever logs the next one: a full buffer blocks."""


class Attempt(Resumable):
    """One held attempt; safe for threads.

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
        super().__init__(shelf, identity, known)
        self.trial_id = identity.trial_id
        self.study_id = identity.study_id
        self.number = identity.number
        self.attempt_id = identity.attempt_id
        self.holder = holder
        self.outage = shelf.book.outage
        self._forked = False
        self.params: dict[str, tuple[float, BaseDistribution]] = {}
        self.user_attrs: dict[str, str] = {}
        self.system_attrs: dict[str, str] = {}
        self.reports: dict[int, float] = {}

    def after_fork(self) -> None:
        """In a forked child, such as a data loader: what is pending is the parent's to write.

        What the child itself logs is written at once, since nobody flushes for it.
        """
        self._after_fork()
        self._forked = True

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
        pending = self._pending
        with pending.lock:
            if pending.closed:
                raise self._over()
            points = pending.points
            points.log(metrics, step, seconds)
            if pending.since is None:
                pending.wait()
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
        pending = self._pending
        with pending.lock:
            if pending.closed:
                raise self._over()
            pending.reported.log({OBJECTIVE: value}, step, seconds)
            self.reports[int(step)] = float(value)
            if pending.since is None:
                pending.wait()
            count = pending.reported.count
        if count >= FLUSH_POINTS:
            self._relieve(count)

    def answered(self, pruned: bool) -> None:
        """Keep one answer of ``should_prune``."""
        pending = self._pending
        with pending.lock:
            pending.facts.prune_answers.append("1" if pruned else "0")
            pending.new_facts = True

    def returned(self, value: object) -> None:
        """Keep what the objective returned, before Optuna looks at it."""
        text = returned_text(value)
        with self._pending.lock:
            self._pending.facts.returned = text
            self._pending.new_facts = True

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
        if self._pending.closed:
            raise self._over()
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
        pending = self._pending
        with pending.lock:
            pending.facts.amended[snapshot.kind] = snapshot
            pending.blobs.extend(blobs)
            pending.new_facts = True

    def end(self, outcome: OutcomeState, blobs: Iterable[Blob] = ()) -> None:
        """Keep how the attempt ended; it is written with the result, or by itself before."""
        pending = self._pending
        with pending.lock:
            pending.facts.outcome = outcome
            pending.blobs.extend(blobs)
            pending.new_facts = True
            if pending.since is None:
                pending.wait()

    # What Optuna's storage interface tells.

    def set_param(self, name: str, internal: float, distribution: BaseDistribution) -> None:
        """Keep a param."""
        text = json_text(internal, f"the param {name!r}")
        self._shelf.spaces.text(distribution)  # refuses what is not JSON now, not later
        pending = self._pending
        with pending.lock:
            if pending.closed:
                raise self._over()
            self.params[name] = (internal, distribution)
            pending.params[name] = (text, distribution)
            pending.hurry()

    def set_user_attr(self, key: str, text: str) -> None:
        """Keep a user attribute, given as JSON."""
        pending = self._pending
        with pending.lock:
            if pending.closed:
                raise self._over()
            self.user_attrs[key] = pending.user_attrs[key] = text
            if pending.since is None:
                pending.wait()

    def set_system_attr(self, key: str, text: str) -> None:
        """Keep a system attribute, given as JSON."""
        pending = self._pending
        with pending.lock:
            if pending.closed:
                raise self._over()
            self.system_attrs[key] = pending.system_attrs[key] = text
            pending.hurry()

    def overlay(self) -> attempt_rows.Overlay:
        """What this attempt has written, pending or not, for this process to see."""
        with self._pending.lock:
            return attempt_rows.Overlay(
                dict(self.params),
                dict(self.user_attrs),
                dict(self.system_attrs),
                dict(self.reports),
            )

    # What the flusher asks, and who tells the result.

    def due(self, now: float) -> bool:
        """Whether something has waited long enough."""
        return self._pending.due(now)

    def finish(self, state: TrialState, values: Sequence[float] | None) -> None:
        """Write everything that is pending and the trial's result, in one transaction.

        When the attempt is fenced, what it has is kept with it, the trial is left alone, and a
        warning says so.

        Raises:
            BookError: The book refused; everything stays pending.
        """
        counted = self._write_result(state, values)
        if counted:
            self._let_checkpoints_go()
        elif counted is not None:
            warnings.warn(
                TrialbookWarning(
                    f"{attempt_rows.fenced_error(self._identity).what}: "
                    "its result is kept with it and does not count"
                ),
                stacklevel=4,
            )

    @property
    def outcome(self) -> OutcomeState | None:
        """How the attempt ended, as far as that was said."""
        return self._pending.facts.outcome
