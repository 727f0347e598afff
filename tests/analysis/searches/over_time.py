"""Searches for the tests of what is seen over time: from trials of Optuna, or from spans alone."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

import trialbook
from trialbook.analysis.searches.search import Search, search
from trialbook.book.search_rows import AttemptRow
from trialbook.book.storage import BookStorage
from trialbook.records.execution import EndReason

_names = (f"study {number}" for number in itertools.count())
STATES = {
    "c": TrialState.COMPLETE,
    "p": TrialState.PRUNED,
    "f": TrialState.FAIL,
    "r": TrialState.RUNNING,
}


def trial(
    value: float | Sequence[float] | None,
    state: str = "c",
    reports: dict[int, float] | None = None,
    constraint: float | None = None,
) -> FrozenTrial:
    values = [value] if isinstance(value, float) else value
    return create_trial(
        state=STATES[state],
        values=values,
        intermediate_values=reports or {},
        system_attrs={} if constraint is None else {"constraints": [constraint]},
    )


def search_of(
    storage: BookStorage,
    trials: Sequence[FrozenTrial],
    directions: Sequence[str] = ("minimize",),
    pruner: optuna.pruners.BasePruner | None = None,
    sampler: optuna.samplers.BaseSampler | None = None,
    name: str | None = None,
) -> Search:
    study = trialbook.create_study(
        study_name=name or next(_names),
        storage=storage,
        directions=list(directions),
        pruner=pruner,
        sampler=sampler,
    )
    study.add_trials(trials)
    return search(study)


def spans(
    of: Search,
    rows: Sequence[tuple[int, float, float | None, str | None, str | None]],
) -> Search:
    """The search with these attempts: trial, start, end, why it ended, worker."""
    numbers: dict[int, int] = {}
    attempts = []
    for at, (owner, start, end, reason, worker) in enumerate(rows):
        numbers[owner] = numbers.get(owner, 0) + 1
        attempts.append(
            AttemptRow(
                attempt_id=at + 1,
                trial_id=owner + 1,
                number=numbers[owner],
                started_s=start,
                ended_s=end,
                end_reason=None if reason is None else EndReason(reason),
                worker_id=worker,
                host=None if worker is None else f"host of {worker}",
                resumed=False,
                prune_answers=(),
                executed=True,
            )
        )
    counting = of.counting.copy()
    for owner, number in numbers.items():
        counting[owner] = number
    return replace(
        of,
        attempts=tuple(attempts),
        attempt_trial=np.array([row[0] for row in rows], np.int64),
        counting=counting,
    )


def executed(of: Search) -> Search:
    """The search as if a worker had run every trial under tracking, one after the other."""
    return spans(of, [(at, float(at), at + 0.5, "complete", "w") for at in range(len(of))])
