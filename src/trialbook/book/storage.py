"""A book as an Optuna storage: every method of ``BaseStorage``, and the door for tracked trials.

What happens behind each is elsewhere: ``studies.py``, ``claims.py``, ``attempt.py`` (trials held
here), ``writing_through.py`` (all others), ``cache.py`` (reads).
"""

from __future__ import annotations

import atexit
import copy
import logging
import os
import time
import warnings
import weakref
from collections.abc import Callable, Container, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.storages import BaseStorage
from optuna.study._frozen import FrozenStudy
from optuna.study._study_direction import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from trialbook.book import beginning, claims, retrying, writing_through
from trialbook.book.attempt import Attempt
from trialbook.book.blobs import BlobStore
from trialbook.book.book import Book
from trialbook.book.cache import TrialCache
from trialbook.book.flusher import Flusher
from trialbook.book.leases import Leases
from trialbook.book.outlasting import Outage, all_outlasting
from trialbook.book.overlay import overlaid
from trialbook.book.reading import Reader
from trialbook.book.renewal import Renewal
from trialbook.book.results import Result
from trialbook.book.retrying import Fate, Reaped
from trialbook.book.shelf import Shelf
from trialbook.book.spaces import Spaces
from trialbook.book.studies import Studies
from trialbook.book.texts import checked_name, checked_step, json_text
from trialbook.errors import (
    AttemptFencedError,
    BookUnreachableError,
    NotFoundError,
    TrialbookWarning,
)
from trialbook.records.blobs import Blob
from trialbook.records.coordinates import CoordinateDigests, Snapshot
from trialbook.records.execution import EndReason, OutcomeState, Seeds
from trialbook.records.study import StudyRecord, StudySpec
from trialbook.records.workers import Claim, Holder, WaitFor

_logger = logging.getLogger(__name__)

SILENCE = OutcomeState(
    EndReason.LOST,
    message="its worker gave no sign of life until the lease was over",
    gaps=("how the process ended, and its console, are not known",),
    died=True,
)
"""The outcome of an attempt whose lease ran out."""


@all_outlasting("close", "held_attempt", "remove_session")
class BookStorage(BaseStorage):
    """A book, for ``optuna.create_study(storage=BookStorage(url))`` and everything of Optuna's.

    Threads may share it. A fork or a pickle of it opens the book anew and holds no trial.

    Args:
        url: The book's storage, as in ``book_url``: URL, path, or ``None`` for the default.
        create: Whether to make the book when it is not there.
        patience_s: How long to wait for a server that cannot be reached, in seconds. ``None``:
            opening fails at once, and an open storage waits ten minutes.

    Attributes:
        book: The open book.
        url: Its URL without a password.

    Raises:
        BookError: It cannot be opened; which error of the tree says why.
    """

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
        self._shelf = self._new_shelf(BlobStore(book))
        self.leases = Leases(book)
        self._registered: set[str] = set()
        self._renewal = self._new_renewal()
        _open_storages.add(self)

    def _new_shelf(self, blobs: BlobStore) -> Shelf:
        cache = self._cache

        def committed(study_id: int, result: Result | None) -> None:
            if result is not None:
                cache.follow(study_id, lambda study: study.add_result(None, result))

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

    # Trials under tracking.

    def claim(
        self, study_id: int, *, budget: int | None = None, holder: Holder | None = None
    ) -> Claim | WaitFor | None:
        """Claim the next WAITING trial that may start, else make a new RUNNING one.

        Args:
            study_id: The study.
            budget: Start nothing new when so many trials run, have finished or were given back
                (abandoned ones do not count); ``None`` for no limit.
            holder: Who gets a lease on it; ``leases.register`` has made its worker known.
                ``None`` for a claim without a lease.

        Returns:
            The claim; how long to wait when only trials that were given back are left and none of
            them may start yet; ``None`` when the budget is met.

        Raises:
            NotFoundError: There is no such study.
        """
        with self.book.writing() as connection:
            claimed = claims.claim_next(connection, study_id, budget, holder)
        if isinstance(claimed, Claim):
            self._cache.created(study_id, claimed.trial_id)
        return claimed

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
        before = self._held.pop(trial_id, None)
        if before is not None:
            with suppress(AttemptFencedError):  # what it has left is kept with it
                before.flush()
            before.abandon()
        if holder is not None and holder.worker.worker_id not in self._registered:
            self.leases.register(holder.worker, self._cache.study_of(trial_id))
            self._registered.add(holder.worker.worker_id)
        opening = beginning.Opening(tuple(snapshots), tuple(blobs), seeds, claimed, holder)
        identity = beginning.begin(self._shelf, trial_id, opening)
        attempt = Attempt(self._shelf, identity, holder)
        self._cache.created(identity.study_id, trial_id)
        self._held[trial_id] = attempt
        self._shelf.flusher.urgent()
        if holder is not None:
            self._renewal.begin(holder)
        return attempt

    def held_attempt(self, trial_id: int) -> Attempt | None:
        """The attempt by which this process holds a trial, ``None`` when it does not."""
        return self._held.get(trial_id)

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
        if retrying.end(self._shelf, death) is None:
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

    def snapshot(self, digest: str) -> Snapshot:
        """The snapshot of that digest; see ``Reader.snapshot``."""
        return Reader(self.book).snapshot(digest)

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

    # Studies.

    def set_study_spec(self, study_id: int, spec: StudySpec, *, origin: str | None = None) -> None:
        """Keep what a study was asked to be; ``origin=None`` keeps the origin that is there."""
        self._studies.set_spec(study_id, spec, origin)

    def get_study_record(self, study_id: int) -> StudyRecord:
        """The record of a study.

        Raises:
            NotFoundError: There is no such study.
        """
        return self._studies.record(study_id)

    def last_coordinates(self, study_id: int) -> CoordinateDigests | None:
        """The coordinates of the newest tracked attempt of a study, ``None`` without one."""
        return self._studies.tracked_coordinates(study_id, newest=True)

    def first_coordinates(self, study_id: int) -> CoordinateDigests | None:
        """The coordinates of the oldest tracked attempt of a study, ``None`` without one."""
        return self._studies.tracked_coordinates(study_id, newest=False)

    def discard_untouched_study(self, study_id: int) -> bool:
        """Forget a study that never had a trial; whether it was forgotten."""
        discarded = self._studies.discard_untouched(study_id)
        if discarded:
            self._cache.drop(study_id)
        return discarded

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        """See ``BaseStorage``."""
        return self._studies.create(directions, study_name)

    def delete_study(self, study_id: int) -> None:
        """See ``BaseStorage``; a tombstone with the digests stays."""
        self._studies.delete(study_id)
        self._cache.drop(study_id)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """See ``BaseStorage``."""
        self._studies.set_attr(study_id, "user", key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """See ``BaseStorage``."""
        self._studies.set_attr(study_id, "system", key, value)

    def get_study_id_from_name(self, study_name: str) -> int:
        """See ``BaseStorage``."""
        return self._studies.id_of(study_name)

    def get_study_name_from_id(self, study_id: int) -> str:
        """See ``BaseStorage``."""
        return self._studies.name(study_id)

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """See ``BaseStorage``."""
        return self._studies.directions(study_id)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """See ``BaseStorage``."""
        return self._studies.attrs(study_id)[0]

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """See ``BaseStorage``."""
        return self._studies.attrs(study_id)[1]

    def get_all_studies(self) -> list[FrozenStudy]:
        """See ``BaseStorage``."""
        return self._studies.frozen()

    # Writing trials.

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """See ``BaseStorage``."""
        if template_trial is not None:
            trial_id = writing_through.add(self.book, study_id, template_trial, self._spaces)
        else:
            trial_id, number, started = writing_through.create(self.book, study_id)
            self._cache.made(study_id, trial_id, number, started)
        self._cache.created(study_id, trial_id)
        return trial_id

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """See ``BaseStorage``."""
        checked_name(param_name, "a param")
        attempt = self._held.get(trial_id)
        if attempt is not None:
            self._check_distribution(attempt.study_id, param_name, distribution)
            attempt.set_param(param_name, param_value_internal, distribution)
            return
        param = param_name, json_text(param_value_internal, f"the param {param_name!r}")
        with self._cache.lock:  # before the transaction, as everywhere: a reader wants both too
            study_id = self._cache.study_of(trial_id)
            writing_through.set_param(
                self.book,
                trial_id,
                param,
                distribution,
                self._spaces,
                lambda: self._check_distribution(study_id, param_name, distribution),
            )

    def _check_distribution(self, study_id: int, name: str, distribution: BaseDistribution) -> None:
        """Raise ``ValueError`` when a param's distribution does not go with the study's."""
        known = self._cache.known_distribution(study_id, name)
        if known is None:
            with self._cache.lock:
                known = self._cache.study(study_id).distributions.setdefault(name, distribution)
        if known is not distribution:
            check_distribution_compatibility(known, distribution)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """See ``BaseStorage``.

        The result of a trial that is held here is committed with everything that is pending, in
        one transaction. Of a fenced attempt it is kept with the attempt, with a warning.
        """
        attempt = self._held.get(trial_id)
        if attempt is None:
            if state is TrialState.RUNNING and trial_id in self._lost:
                return False  # a process never claims a trial again that it has lost
            return writing_through.set_state(self.book, trial_id, state, values)
        if state is TrialState.RUNNING:
            return False
        if state is TrialState.WAITING:
            self._give_back(attempt, values)
        else:
            attempt.finish(state, values)
        self._held.pop(trial_id, None)
        if attempt.fenced:
            self._lost.add(trial_id)
        return True

    def _give_back(self, attempt: Attempt, values: Sequence[float] | None) -> None:
        writing_through.refuse_values(values)
        with suppress(AttemptFencedError):  # found once more, under the trial's lock
            attempt.flush()
        if not writing_through.give_back(self.book, attempt.trial_id, attempt.number):
            attempt.fenced = True
            warnings.warn(
                TrialbookWarning(
                    f"attempt {attempt.number} is no longer the trial's current one: "
                    "giving the trial back does not count"
                ),
                stacklevel=4,
            )
        attempt.abandon()

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        """See ``BaseStorage``: it overwrites. ``Trial.report`` lets only the first value by."""
        attempt = self._held.get(trial_id)
        if attempt is not None:
            attempt.report(step, intermediate_value, time.time())
            return
        writing_through.set_report(
            self.book, trial_id, checked_step(step), float(intermediate_value)
        )

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """See ``BaseStorage``."""
        text = _attr_text(key, value)
        attempt = self._held.get(trial_id)
        if attempt is not None:
            attempt.set_user_attr(key, text)
        else:
            writing_through.set_attr(self.book, trial_id, "user", key, text)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """See ``BaseStorage``."""
        text = _attr_text(key, value)
        attempt = self._held.get(trial_id)
        if attempt is not None:
            attempt.set_system_attr(key, text)
        else:
            writing_through.set_attr(self.book, trial_id, "system", key, text)

    # Reading trials.

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """See ``BaseStorage``."""
        trial = self._cache.trial(trial_id)
        attempt = self._held.get(trial_id)
        return trial if attempt is None else overlaid(trial, attempt.overlay())

    def get_trial_param(self, trial_id: int, param_name: str) -> float:
        """See ``BaseStorage``."""
        attempt = self._held.get(trial_id)
        if attempt is not None and param_name in attempt.params:
            return attempt.params[param_name][0]
        internal = beginning.internal_params(self.book, trial_id)
        if param_name not in internal:
            raise NotFoundError(f"the trial has no param {param_name!r}")
        return internal[param_name]

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        """See ``BaseStorage``."""
        with self._cache.lock:
            trial_id = self._cache.study(study_id).trial_id(trial_number)
        if trial_id is None:
            raise NotFoundError(f"the study has no trial of number {trial_number}")
        return trial_id

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """See ``BaseStorage``: by number."""
        with self._cache.lock:
            found = list(self._cache.study(study_id).ordered(states))
        held = [a for a in list(self._held.values()) if a.study_id == study_id]
        if held and (states is None or TrialState.RUNNING in states):
            attempts = {attempt.trial_id: attempt for attempt in held}
            for index, trial in enumerate(found):
                attempt = attempts.get(trial._trial_id)
                if attempt is not None:
                    found[index] = overlaid(trial, attempt.overlay())
        whole: list[FrozenTrial] = [*found]
        return copy.deepcopy(whole) if deepcopy else whole

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        """See ``BaseStorage``."""
        with self._cache.lock:
            cache = self._cache.study(study_id)
            if not cache.has_complete:
                raise ValueError("No trials are completed yet.")
            if len(cache.directions) > 1:
                raise RuntimeError(
                    "Best trial can be obtained only for single-objective optimization."
                )
            best = cache.best
        assert best is not None
        return best


def _attr_text(key: str, value: object) -> str:
    return json_text(value, f"the attribute {checked_name(key, 'an attribute')!r}")


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


_open_storages: weakref.WeakSet[BookStorage] = weakref.WeakSet()


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
