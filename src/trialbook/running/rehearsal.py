"""A rehearsal: what every forked trial would otherwise do anew is done once in the parent.

Compiling the book's SQL and importing what a sampler imports late takes some 70 ms, ten times
what a fork takes. So the parent runs a few empty trials on a scratch book of its own, which is
closed and gone before the first fork; the study's own book is never open in the parent. Neither
the objective nor a global generator is touched.
"""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from trialbook.book.storage import BookStorage
from trialbook.records.config import ComponentSettings, SearchSettings
from trialbook.records.coordinates import Snapshot
from trialbook.records.execution import EndReason, OutcomeState, Seeds
from trialbook.records.study import StudySpec
from trialbook.records.workers import Claim
from trialbook.running.study import create_study

if TYPE_CHECKING:
    import optuna

_TRIALS = 4
_FAMILIAR = ComponentSettings("TPESampler", {"n_startup_trials": 2})
_PLAIN = ComponentSettings("RandomSampler")


def rehearse(search: SearchSettings, snapshots: Iterable[Snapshot]) -> None:
    """Run empty trials on a scratch book, so that forked children find everything warm.

    Args:
        search: The study's settings. Only TPE is rehearsed as itself: other samplers may use
            libraries that a fork does not carry.
        snapshots: What attempts begin with.
    """
    warm = search.sampler is None or search.sampler.name == "TPESampler"
    scratch = replace(
        search,
        sampler=_FAMILIAR if warm else _PLAIN,
        pruner=ComponentSettings("MedianPruner", {"n_startup_trials": 1}),
        trials=None,
        hours=None,
    )
    kept = list(snapshots)
    with tempfile.TemporaryDirectory(prefix="trialbook-rehearsal-") as directory:
        storage = BookStorage(Path(directory) / "book.db")
        try:
            study = create_study(
                storage=storage, study_name="rehearsal", spec=StudySpec(search=scratch)
            )

            def empty(trial: optuna.Trial) -> float:
                attempt = storage.begin_attempt(
                    trial._trial_id, snapshots=kept, blobs=(), seeds=Seeds(0)
                )
                value = trial.suggest_float("a", 1e-3, 1.0, log=True)
                value += trial.suggest_int("b", 1, 9)
                trial.suggest_categorical("c", ["x", "y"])
                trial.set_user_attr("d", 1)
                trial.report(value, 0)
                trial.should_prune()
                attempt.log({"loss": value}, 0, 0.0)
                attempt.returned(value)
                attempt.end(OutcomeState(EndReason.COMPLETE))
                return value

            for _ in range(_TRIALS):
                claim = storage.claim(study._study_id)
                if isinstance(claim, Claim):
                    study.run_claimed(claim.trial_id, empty)
        finally:
            storage.close()
    gc.collect()
    gc.freeze()  # a trial that looks for garbage would copy every page of what is here already
