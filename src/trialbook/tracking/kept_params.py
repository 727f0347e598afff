"""A trial that is tried again keeps the params it had, and samples the others as it would have.

Optuna gives a param that is in the storage once more without asking the sampler. The sampler's
random states then stand where they stood at the trial's start, and the next param would be drawn
with the numbers that the kept one was drawn with.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial


class KeepingTrial(optuna.Trial):
    """An ``optuna.Trial`` that may have params when it begins.

    Before the first param that it has to sample, the sampler is asked for the kept ones that the
    objective has asked for, in that order, and what it says is dropped. When every param was kept
    the sampler is not asked at all, because what samplers note of a trial when they sample (its
    generation, for one) belongs to the params of that moment.
    """

    # A trial that Optuna itself has made lacks these; its sampler is not seeded for each trial.
    _kept: Mapping[str, Any] = MappingProxyType({})
    _asked: dict[str, BaseDistribution]
    _drawn: dict[str, Any]

    def __init__(self, study: optuna.Study, trial_id: int) -> None:
        super().__init__(study, trial_id)
        self._kept = dict(self._cached_frozen_trial.params)
        self._asked = {}
        self._drawn = {}

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        if self._kept:
            if name in self._kept:
                self._asked.setdefault(name, distribution)
            elif name not in self._cached_frozen_trial.params:
                self._catch_up()
        return super()._suggest(name, distribution)

    def _catch_up(self) -> None:
        for name, distribution in self._asked.items():
            if name not in self._drawn:
                if self._is_sampled_alone(name, distribution):
                    seen = self._as_then()
                    study = optuna.pruners._filter_study(self.study, seen)
                    self.study.sampler.sample_independent(study, seen, name, distribution)
                self._drawn[name] = self._kept[name]

    def _is_sampled_alone(self, name: str, distribution: BaseDistribution) -> bool:
        return not (
            self._is_fixed_param(name, distribution)
            or distribution.single()
            or self._is_relative_param(name, distribution)
        )

    def _as_then(self) -> FrozenTrial:
        """The trial as the sampler saw it when it was asked for the next of the kept params."""
        seen = copy.copy(self._get_latest_trial())
        sampled = {name: value for name, value in seen.params.items() if name not in self._kept}
        seen.params = {**self._drawn, **sampled}
        seen.distributions = {name: seen.distributions[name] for name in seen.params}
        return seen
