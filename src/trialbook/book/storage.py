"""A book as an Optuna storage: every method of ``BaseStorage``, and the door for tracked trials.

Here is the half about trials; ``storage_studies.py`` has the one about studies,
``storage_attempts.py`` the door, ``storage_life.py`` opening, threads and forks. What happens
behind each is elsewhere: ``studies.py``, ``claims.py``, ``attempt.py`` (trials held here),
``writing_through.py`` (all others), ``cache.py`` (reads).
"""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Container, Sequence
from contextlib import suppress
from typing import Any

from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.trial import FrozenTrial, TrialState

from trialbook.book import beginning, writing_through
from trialbook.book.attempt import Attempt
from trialbook.book.outlasting import all_outlasting
from trialbook.book.overlay import overlaid
from trialbook.book.storage_attempts import AttemptStorage
from trialbook.book.storage_studies import StudyStorage
from trialbook.book.texts import checked_name, checked_step, json_text
from trialbook.errors import (
    AttemptFencedError,
    NotFoundError,
    TrialbookWarning,
)


@all_outlasting()
class BookStorage(AttemptStorage, StudyStorage):
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
        # Optuna asks for those that wait before each new trial.
        if _only_waiting(states) and self._cache.nothing_waits(study_id):
            return []
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


def _only_waiting(states: Container[TrialState] | None) -> bool:
    wanted = [] if states is None else [state for state in TrialState if state in states]
    return wanted == [TrialState.WAITING]


def _attr_text(key: str, value: object) -> str:
    return json_text(value, f"the attribute {checked_name(key, 'an attribute')!r}")
