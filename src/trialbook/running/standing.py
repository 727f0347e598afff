"""Where a study stands against its budget, read from the book."""

from __future__ import annotations

import time
from typing import cast

from optuna.trial import TrialState as OptunaState

from trialbook.book.ranking import Contender, is_feasible, ranked
from trialbook.book.storage import BookStorage
from trialbook.records.replicates import runs_given_trials
from trialbook.records.study import TrialState
from trialbook.running.progress import BestSoFar, RunState

_REST_S = 1.0
"""A connection that was not used for so long is closed: workers have their own."""


class Standing:
    """Looks at one study during one run.

    Args:
        storage: The book.
        study_id: The study.
        study: Its name.
        budget: Total of trials, ``None`` for no limit.
    """

    def __init__(self, storage: BookStorage, study_id: int, study: str, budget: int | None) -> None:
        self._storage = storage
        self._study_id = study_id
        self._study = study
        self._budget = budget
        self._began_s = time.monotonic()
        self._done_before: int | None = None
        self._last: RunState | None = None
        self._looked_s: float | None = None
        self.isolation: str | None = None
        record = storage.get_study_record(study_id)
        # Of replicates the best one had the luckiest seed, and is no result.
        ranks = record.spec is None or not runs_given_trials(record.spec.search)
        one = ranks and len(record.directions) == 1
        self._direction = record.directions[0] if one else None

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._began_s

    @property
    def to_go_roughly(self) -> int | None:
        """Trials until the budget is met, as last looked; ``None`` without a budget."""
        return None if self._last is None else self._last.to_go

    def state(self, running: int) -> RunState:
        """Where the study stands now.

        Args:
            running: Trials that this run has running.
        """
        self._looked_s = time.monotonic()
        trials = self._storage.get_all_trials(self._study_id, deepcopy=False)
        counts: dict[TrialState, int] = {}
        contenders = []
        for trial in trials:
            name = cast(TrialState, trial.state.name)
            counts[name] = counts.get(name, 0) + 1
            if self._direction is not None and trial.state is OptunaState.COMPLETE:
                feasible = is_feasible(trial.system_attrs)
                contenders.append(Contender(trial.number, tuple(trial.values), feasible))
        use = self._storage.budget_use(self._study_id)
        done = use.taken - use.waiting - counts.get("RUNNING", 0)
        if self._done_before is None:
            self._done_before = done
        first = ranked(contenders, self._direction)[:1] if self._direction is not None else []
        self._last = RunState(
            study=self._study,
            done=done,
            budget=self._budget,
            running=running,
            states=counts,
            best=BestSoFar(first[0].number, first[0].values[0]) if first else None,
            elapsed_s=self.elapsed_s,
            left_s=self._left_s(done),
            isolation=self.isolation,
        )
        return self._last

    def rest(self) -> None:
        """Close a connection to a server that was not used for a while; call it while waiting."""
        if self._looked_s is not None and time.monotonic() - self._looked_s > _REST_S:
            self._looked_s = None
            self._storage.book.rest()

    def _left_s(self, done: int) -> float | None:
        ended = done - (self._done_before or 0)
        if self._budget is None or ended <= 0:
            return None
        return max(0, self._budget - done) * self.elapsed_s / ended
