"""The door for tracked trials: claiming, beginning and ending attempts, with and without leases.

A part of ``BookStorage``; Optuna knows nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress

from trialbook.book import beginning, claims, hashed_files, replicates, retrying, trials
from trialbook.book.attempt import Attempt
from trialbook.book.outlasting import all_outlasting
from trialbook.book.reading import Reader
from trialbook.book.retrying import Fate, Reaped
from trialbook.book.storage_life import StorageLife
from trialbook.errors import (
    AttemptFencedError,
    NotFoundError,
)
from trialbook.records.blobs import Blob
from trialbook.records.coordinates import Snapshot
from trialbook.records.data import HashedFile
from trialbook.records.execution import EndReason, OutcomeState, Seeds
from trialbook.records.replicates import Replicate
from trialbook.records.workers import Claim, Holder, WaitFor

SILENCE = OutcomeState(
    EndReason.LOST,
    message="its worker gave no sign of life until the lease was over",
    gaps=("how the process ended, and its console, are not known",),
    died=True,
)
"""The outcome of an attempt whose lease ran out."""


@all_outlasting("held_attempt")
class AttemptStorage(StorageLife):
    """What a tracked objective and a worker ask of a storage; see ``BookStorage``."""

    def claim(
        self,
        study_id: int,
        *,
        budget: int | None = None,
        holder: Holder | None = None,
        only_waiting: bool = False,
    ) -> Claim | WaitFor | None:
        """Claim the next WAITING trial that may start, else make a new RUNNING one.

        Args:
            study_id: The study.
            budget: Start nothing new when so many trials run, have finished or were given back
                (abandoned ones do not count); ``None`` for no limit.
            holder: Who gets a lease on it; ``leases.register`` has made its worker known.
                ``None`` for a claim without a lease.
            only_waiting: Make no trial: where none waits, nothing is left.

        Returns:
            The claim; how long to wait when only trials that were given back are left and none of
            them may start yet; ``None`` when the budget is met.

        Raises:
            NotFoundError: There is no such study.
        """
        with self.book.writing() as connection:
            claimed = claims.claim_next(
                connection, study_id, budget, holder, only_waiting=only_waiting
            )
        if isinstance(claimed, Claim):
            self._cache.created(study_id, claimed.trial_id)
        return claimed

    def budget_use(self, study_id: int) -> claims.BudgetUse:
        """How much of a study's budget is used up."""
        with self.book.reading() as connection:
            return claims.budget_use(connection, study_id)

    def place_replicates(self, study_id: int, wanted: Sequence[Replicate]) -> int:
        """Add those replicates as WAITING trials that a study does not have; how many.

        Args:
            study_id: The study of replicates.
            wanted: In the order in which they are to run.

        Raises:
            NotFoundError: There is no such study.
        """
        added = replicates.place(self.book, study_id, wanted, self._spaces)
        for trial_id in added:
            self._cache.created(study_id, trial_id)
        return len(added)

    def begin_attempt(
        self,
        trial_id: int,
        *,
        snapshots: Sequence[Snapshot],
        blobs: Iterable[Blob] = (),
        seeds: Seeds,
        claimed: int | None = None,
        holder: Holder | None = None,
    ) -> Attempt:
        """Begin to execute a trial under tracking; its coordinates are committed on return.

        From here to the told result the trial is held by this process and its writes are gathered.

        Args:
            trial_id: A RUNNING trial.
            snapshots: Its coordinates, at most one of each kind.
            blobs: Contents that they name.
            seeds: The seeds of the trial.
            claimed: Number of the attempt that a claim with a lease has made; who claimed renews
                the lease. ``None`` to begin another attempt.
            holder: Who gets a lease on an attempt that begins here; this process renews it.
                ``None`` for no lease.

        Raises:
            NotFoundError: There is no such trial.
            UpdateFinishedTrialError: It has finished.
            InvalidInputError: It is WAITING: claim it first.
            AttemptFencedError: The claimed attempt is no longer the current one.
            BookError: The book refused.
        """
        before = self._held.get(trial_id)
        if before is not None:
            with suppress(AttemptFencedError):  # what it has left is kept with it
                before.flush()
            before.abandon()
            del self._held[trial_id]  # not before: without its server all of this is done again
        if holder is not None and holder.worker.worker_id not in self._registered:
            self.leases.register(holder.worker, self._cache.study_of(trial_id))
            self._registered.add(holder.worker.worker_id)
        opening = beginning.Opening(tuple(snapshots), tuple(blobs), seeds, claimed, holder)
        begun = beginning.begin(self._shelf, trial_id, opening)
        attempt = Attempt(self._shelf, begun.identity, holder, begun.known)
        self._cache.created(attempt.study_id, trial_id)
        if begun.known is not None:
            self._cache.begun(begun.known.row)
        self._held[trial_id] = attempt
        self._shelf.flusher.urgent()
        if holder is not None:
            self._renewal.begin(holder)
        return attempt

    def held_attempt(self, trial_id: int) -> Attempt | None:
        """The attempt by which this process holds a trial, ``None`` when it does not."""
        return self._held.get(trial_id)

    def is_overtaken(self, trial_id: int, attempt: int) -> bool:
        """Whether a later attempt of a trial has begun: then this one counts no more."""
        with self.book.reading() as connection:
            return trials.attempt_id(connection, trial_id, attempt + 1) is not None

    def end_dead_attempt(
        self,
        trial_id: int,
        outcome: OutcomeState,
        *,
        blobs: Iterable[Blob] = (),
        attempt: int | None = None,
    ) -> Fate:
        """End an attempt that came to no result; the study's budgets say what becomes of its trial.

        Args:
            trial_id: The trial.
            outcome: How the attempt ended.
            blobs: Contents that the outcome names.
            attempt: Number of the attempt; ``None`` for the current one.

        Returns:
            ``OVER`` when there was nothing to do: the trial has finished or was given back, or
            another attempt is the current one.

        Raises:
            NotFoundError: There is no such trial.
        """
        death = retrying.Death(trial_id, outcome, tuple(blobs), attempt)
        done = retrying.end(self._shelf, death)
        return Fate.OVER if done is None else done.fate

    def retried(self, trial_id: int) -> bool:
        """Give a trial that is held here back, when its outcome leaves it another try.

        To be asked before the result is told: a FAIL never goes back.

        Args:
            trial_id: A trial held here, whose outcome was given to ``Attempt.end``.

        Returns:
            Whether it was given back; then nothing is to be told any more. ``False`` leaves
            everything as it is.
        """
        attempt = self._held.get(trial_id)
        if attempt is None or attempt.outcome is None:
            return False
        try:
            attempt.flush()
        except AttemptFencedError:
            return False  # the tell keeps the rest of it with the attempt
        death = retrying.Death(trial_id, attempt.outcome, attempt=attempt.number, only_retry=True)
        try:
            done = retrying.end(self._shelf, death)
        except NotFoundError:  # it was deleted while it ran
            return False
        if done is None:
            return False
        self._held.pop(trial_id, None)
        attempt.abandon()
        return True

    def reap(self, study_id: int | None = None) -> list[Reaped]:
        """End every attempt whose lease is over; its trial is tried again, or has failed.

        Args:
            study_id: Only of this study; ``None`` for all of the book.

        Returns:
            What was ended, the longest overdue first.
        """
        reaped = []
        for trial_id, attempt, _ in self.leases.expired(study_id):
            death = retrying.Death(trial_id, SILENCE, attempt=attempt, expired=True)
            try:
                done = retrying.end(self._shelf, death)
            except NotFoundError:  # deleted since
                continue
            if done is not None:
                reaped.append(done)
                if done.worker_id is not None:
                    self.leases.leave(done.worker_id, dead=True)
        return reaped

    def known_digests(self, keys: Sequence[str]) -> dict[str, str]:
        """The digests of those of the data files that a worker has hashed, by their keys."""
        return hashed_files.known(self.book, keys)

    def learn_digests(self, files: Iterable[HashedFile]) -> None:
        """Keep the digests of data files that were hashed here, for other workers."""
        hashed_files.learned(self.book, files)

    def snapshot(self, digest: str) -> Snapshot:
        """The snapshot of that digest; see ``Reader.snapshot``."""
        return Reader(self.book).snapshot(digest)
