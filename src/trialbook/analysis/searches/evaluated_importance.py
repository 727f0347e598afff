"""What one evaluator says of the params: shares, and their intervals over resampled trials.

Which trials are looked at, and by which evaluators, is elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trialbook.analysis.searches.evaluators import Trial
from trialbook.analysis.searches.search import Floats, Ints
from trialbook.errors import NotApplicableError

LEVEL = 0.9
BY_CONSTRUCTION = "the share of a single param is 1 by construction"


@dataclass(frozen=True, slots=True, eq=False)
class EvaluatedImportance:
    """What one evaluator says. Arrays have shape (params,), the most important param first.

    Args:
        evaluator: As it is called in papers.
        among: Which trials it is about: empty for all that count, else those that have the params
            of one branch of a conditional space.
        made_by: The class that computed it, with its module.
        settings: Name and value of each of its settings.
        names: The params.
        shares: Importance of each, normalized to the sum 1, as Optuna does.
        raw: Importance as the evaluator gave it.
        low: Lower end of the interval of the share; NaN when nothing was resampled, or when all
            resamples give the same.
        high: Upper end, likewise.
        resamples: How many bootstrap resamples of the trials the interval rests on.
        having: How many of the trials that were looked at have the param.
        trials: How many trials were looked at.
        of: How many could have been; more than ``trials`` when they were sampled.
        left_out: Name of each param that is not in it, and why.
        notes: What else a reader must know, such as the evaluator's own warnings.
    """

    evaluator: str
    among: str
    made_by: str
    settings: tuple[tuple[str, str], ...]
    names: tuple[str, ...]
    shares: Floats
    raw: Floats
    low: Floats
    high: Floats
    having: Ints
    resamples: int
    trials: int
    of: int
    left_out: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def evaluated_importance(
    name: str,
    evaluator: object,
    settings: tuple[tuple[str, str], ...],
    names: Sequence[str],
    raw: Floats,
    resampled: list[Floats],
    trials: Sequence[Trial],
) -> EvaluatedImportance:
    """What an evaluator says, the most important first.

    Args:
        name: As it is called in papers.
        evaluator: Optuna's evaluator.
        settings: Name and value of each of its settings.
        names: The params.
        raw: What it gave of each.
        resampled: The shares of each resample.
        trials: The trials that were looked at.

    Raises:
        NotApplicableError: There is one param only.
    """
    if len(names) == 1:
        raise NotApplicableError(
            f"{names[0]} is the only param that it can look at, and {BY_CONSTRUCTION}"
        )
    order = np.argsort(-raw, kind="stable")
    shares = shares_of(raw)
    low, high = np.full((2, len(names)), np.nan)
    notes: tuple[str, ...] = ()
    if resampled:
        ends = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
        low, high = np.quantile(np.array(resampled), ends, axis=0)
        fixed = np.ptp(np.array(resampled), axis=0) == 0
        if fixed.any():
            named = ", ".join(names[at] for at in order if fixed[at])
            notes = (f"no interval of {named}: every resample gives the same share",)
        low[fixed] = high[fixed] = np.nan
        outside = [names[at] for at in order if shares[at] < low[at] or shares[at] > high[at]]
        if outside:
            notes += (
                f"the interval does not hold the share of {', '.join(outside)}: resampling "
                "repeats trials, which lifts what matters little",
            )
    having = [sum(one in trial.distributions for trial in trials) for one in names]
    return EvaluatedImportance(
        evaluator=name,
        among="",
        made_by=f"optuna.importance.{type(evaluator).__name__}",
        settings=settings,
        names=tuple(names[at] for at in order),
        shares=shares[order],
        raw=raw[order],
        low=low[order],
        high=high[order],
        having=np.array(having)[order],
        resamples=len(resampled),
        trials=len(trials),
        of=len(trials),
        left_out=(),
        notes=notes,
    )


def shares_of(raw: Floats) -> Floats:
    """Normalized as in ``optuna.importance.get_param_importances``."""
    total = raw.sum()
    shares: Floats = raw / total if total else np.full(len(raw), 1 / len(raw))
    return shares
