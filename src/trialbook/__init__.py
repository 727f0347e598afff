"""Hyperparameter search you can defend.

Trialbook runs an Optuna search and keeps, for every trial, a complete record: which code, which
data, which environment, which configuration, how it ran, and everything it measured. Months later,
on a clean machine, it runs the best trial again and says whether the numbers came out the same.

What is here is the facade; it imports its parts on first use. Tables and series for people are in
``trialbook.analysis``, errors in ``trialbook.errors``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trialbook.book.storage import BookStorage
    from trialbook.capture.data import Data
    from trialbook.errors import TrialbookError
    from trialbook.records.verdict import Verdict
    from trialbook.rerun.run import rerun
    from trialbook.running.replicating.replicate import replicate
    from trialbook.running.study import Study, create_study, load_study
    from trialbook.tracking.objective import TrackedObjective, tracked_objective
    from trialbook.tracking.trial import TrackedTrial, log

__version__ = "0.1.0"

_HOMES = {
    "BookStorage": "trialbook.book.storage",
    "Data": "trialbook.capture.data",
    "Study": "trialbook.running.study",
    "TrackedObjective": "trialbook.tracking.objective",
    "TrackedTrial": "trialbook.tracking.trial",
    "TrialbookError": "trialbook.errors",
    "Verdict": "trialbook.records.verdict",
    "create_study": "trialbook.running.study",
    "load_study": "trialbook.running.study",
    "log": "trialbook.tracking.trial",
    "replicate": "trialbook.running.replicating.replicate",
    "tracked_objective": "trialbook.tracking.objective",
}

__all__ = [
    "BookStorage",
    "Data",
    "Study",
    "TrackedObjective",
    "TrackedTrial",
    "TrialbookError",
    "Verdict",
    "__version__",
    "create_study",
    "load_study",
    "log",
    "replicate",
    "rerun",
    "tracked_objective",
]


def __getattr__(name: str) -> Any:
    if name == "rerun":
        # A package that can be called: ``trialbook.rerun("digits/best")``.
        return importlib.import_module("trialbook.rerun")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'trialbook' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
