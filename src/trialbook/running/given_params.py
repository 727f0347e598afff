"""The sampler of a study of replicates: each trial has the params that it was placed with.

Nothing is sampled. A param that the trial was not given, or that is now asked for with another
distribution, fails the trial: its value would be somebody's choice, and not the configuration's.
"""

from __future__ import annotations

import json
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial

from trialbook.errors import InvalidInputError
from trialbook.records.distributions import distribution_text
from trialbook.records.replicates import Configuration, GivenParam, replicate_of
from trialbook.running.one_by_one import OneByOneSampler


class GivenParamsSampler(OneByOneSampler):
    """Gives every replicate its configuration."""

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """The value that the trial was given.

        Raises:
            InvalidInputError: It was given none, or one that the distribution does not have.
        """
        replicate = replicate_of(trial.system_attrs)
        if replicate is None:
            raise InvalidInputError(
                f"trial {trial.number} was not placed as a replicate, and nothing is sampled here",
                where=study.study_name,
                hint="add replicates with 'trialbook replicate'",
            )
        configuration = replicate.configuration
        for param in configuration.params:
            if param.name == param_name:
                return _given(param, param_distribution, configuration)
        names = ", ".join(param.name for param in configuration.params) or "none"
        raise InvalidInputError(
            f"the objective asked for param {param_name!r}, which configuration "
            f"{configuration.name!r} does not have (it has: {names})",
            where=f"{study.study_name}/{trial.number}",
            hint="give every param of the default with --default NAME=VALUE, in a new --study"
            if configuration.trial is None
            else "this objective asks for other params under another seed; it cannot be replicated",
        )


def _given(param: GivenParam, distribution: BaseDistribution, of: Configuration) -> Any:
    """The value as the objective saw it, tuples and all."""
    if param.internal is None or param.distribution is None:
        return _of_value(param, distribution, of)
    asked = distribution_text(distribution)
    if asked != param.distribution and not _is_in(distribution, param):
        raise InvalidInputError(
            f"the objective asked for param {param.name!r} from {asked}, which does not have the "
            f"{param.value!r} of configuration {of.name!r} (taken from {param.distribution})",
            hint="the space was changed since; replicate a trial of the code as it is now",
        )
    if asked != param.distribution:
        return _of_value(param, distribution, of)
    return distribution.to_external_repr(param.internal)


def _is_in(distribution: BaseDistribution, param: GivenParam) -> bool:
    return internal_value(param, distribution) is not None


def _of_value(param: GivenParam, distribution: BaseDistribution, of: Configuration) -> Any:
    internal = internal_value(param, distribution)
    if internal is None:
        raise InvalidInputError(
            f"configuration {of.name!r} has {param.value!r} for param {param.name!r}, which is not "
            f"in {distribution_text(distribution)}",
            hint="give another value with --default NAME=VALUE, in a new --study",
        )
    return distribution.to_external_repr(internal)


def internal_value(param: GivenParam, distribution: BaseDistribution) -> float | None:
    """The internal value of what was given as JSON; ``None`` when the distribution lacks it."""
    if isinstance(distribution, CategoricalDistribution):
        wanted = json.dumps(param.value, sort_keys=True)
        for index, choice in enumerate(distribution.choices):
            # As text, in which a tuple is a list and True is not 1; else 1 is 1.0.
            same = json.dumps(choice, sort_keys=True, default=repr) == wanted
            if same or (_is_number(choice) and _is_number(param.value) and choice == param.value):
                return float(index)
        return None
    if not _is_number(param.value):
        return None
    internal = distribution.to_internal_repr(param.value)
    return float(internal) if distribution._contains(internal) else None


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
