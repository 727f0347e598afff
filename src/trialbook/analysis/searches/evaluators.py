"""Optuna's importance evaluators, over trials that need not lie in any storage.

An evaluator asks a study for its trials. What it is given here has the same attributes and nothing
else, so that ten thousand trials can be resampled a hundred times. Choices are handed over as their
index, which changes no importance and is right for choices that are equal or cannot be hashed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trialbook.analysis.searches.axes import ParamAxis
from trialbook.analysis.searches.search import Floats, Ints, ParamColumn, Search
from trialbook.errors import MissingPackageError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.importance import BaseImportanceEvaluator


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """What an evaluator looks at of a trial."""

    _trial_id: int
    value: float
    params: Mapping[str, float]
    distributions: Mapping[str, BaseDistribution]

    @property
    def values(self) -> tuple[float]:
        """The loss alone."""
        return (self.value,)


class Sample:
    """What an evaluator looks at of a study: one objective, to be minimized."""

    def __init__(self, trials: Sequence[Trial]) -> None:
        from optuna.study import StudyDirection

        self._trials = list(trials)
        self.directions = [StudyDirection.MINIMIZE]

    def get_trials(self, deepcopy: bool = True, states: object = None) -> list[Trial]:
        """All, whatever is asked: they are all complete."""
        return self._trials

    def _is_multi_objective(self) -> bool:
        return False


def ped_anova(target_quantile: float) -> BaseImportanceEvaluator:
    """PED-ANOVA: Watanabe et al., IJCAI 2023; of conditional params as in Optuna's own paper."""
    from optuna.importance import PedAnovaImportanceEvaluator

    return PedAnovaImportanceEvaluator(target_quantile=target_quantile)


def fanova(trees: int, depth: int, seed: int) -> BaseImportanceEvaluator:
    """fANOVA: Hutter et al., ICML 2014.

    Raises:
        MissingPackageError: scikit-learn is not installed.
    """
    from optuna.importance import FanovaImportanceEvaluator

    try:
        return FanovaImportanceEvaluator(n_trees=trees, max_depth=depth, seed=seed)
    except ImportError as error:
        raise MissingPackageError(
            "fANOVA needs scikit-learn, which is not installed",
            hint="pip install 'trialbook[paper]'",
        ) from error


def regime_trials(
    search: Search, columns: Sequence[ParamColumn], indices: Ints, losses: Floats
) -> list[Trial]:
    """Trials with the distributions that they were asked with, each param only where it was."""
    parts = [_indexed(column, indices) for column in columns]
    return [
        Trial(
            at,
            loss,
            {name: values[at] for name, values, spaces, _ in parts if spaces[at] >= 0},
            {name: kinds[spaces[at]] for name, _, spaces, kinds in parts if spaces[at] >= 0},
        )
        for at, loss in enumerate(losses.tolist())
    ]


def uniform_trials(axes: Sequence[ParamAxis], indices: Ints, losses: Floats) -> list[Trial]:
    """Trials that all have these params, each with one distribution: the union of all ranges."""
    distributions = {axis.name: _united(axis) for axis in axes}
    columns = {axis.name: axis.positions[indices].tolist() for axis in axes}
    return [
        Trial(at, loss, {name: values[at] for name, values in columns.items()}, distributions)
        for at, loss in enumerate(losses.tolist())
    ]


def evaluated(
    evaluator: BaseImportanceEvaluator,
    trials: Sequence[Trial],
    names: Sequence[str],
    target: Callable[[Any], float] | None = None,
) -> tuple[Floats, tuple[str, ...]]:
    """An evaluator's importances of these params, in their order, and what it warned of.

    Returns:
        Importances of shape (params,), 0 for a param that none of the trials has; and its warnings,
        each once.
    """
    asked = [name for name in names if any(name in trial.distributions for trial in trials)]
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        found = evaluator.evaluate(Sample(trials), params=asked, target=target)  # type: ignore[arg-type]
    values = np.array([float(found.get(name, 0.0)) for name in names])
    return values, tuple(dict.fromkeys(str(warning.message) for warning in warned))


def top_trials(
    evaluator: BaseImportanceEvaluator, trials: Sequence[Trial], quantile: float
) -> list[Trial]:
    """Those that PED-ANOVA compares with all: the best, down to this quantile of the losses."""
    found: list[Trial] = evaluator._get_top_quantile_trials(  # type: ignore[attr-defined]
        Sample(trials), trials, quantile, None
    )
    return found


def _indexed(
    column: ParamColumn, indices: Ints
) -> tuple[str, list[float], list[int], list[BaseDistribution]]:
    from optuna.distributions import CategoricalDistribution, IntDistribution

    kinds: list[BaseDistribution] = [
        CategoricalDistribution(range(len(distribution.choices)))
        if isinstance(distribution, CategoricalDistribution)
        else distribution
        for distribution in column.distributions
    ]
    values = column.internal[indices].tolist()
    spaces = column.space[indices].tolist()
    whole = [isinstance(kind, (CategoricalDistribution, IntDistribution)) for kind in kinds]
    external = [
        int(value) if space >= 0 and whole[space] else value
        for value, space in zip(values, spaces, strict=True)
    ]
    return column.name, external, spaces, kinds


def _united(axis: ParamAxis) -> BaseDistribution:
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if axis.is_categorical:
        return CategoricalDistribution(range(len(axis.choices)))
    if axis.integer:
        return IntDistribution(int(axis.low), int(axis.high), log=axis.log)
    return FloatDistribution(axis.low, axis.high, log=axis.log)
