"""Samplers and pruners: built from their recorded names, and refused where that cannot be.

Constructor seeds are the study's, because grid and quasi-random samplers take their order from
them. How a sampler is seeded before each trial is elsewhere.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from math import prod
from typing import Any

import optuna
from optuna.samplers import BaseSampler

from trialbook.errors import InvalidInputError, SettingsDifferError
from trialbook.records.config import ComponentSettings
from trialbook.records.replicates import GIVEN_PARAMS
from trialbook.running.given_params import GivenParamsSampler

DEFAULT_SAMPLER = ComponentSettings("TPESampler")
DEFAULT_PRUNER = ComponentSettings("MedianPruner")


def sampler_by_name(settings: ComponentSettings, entropy: int) -> BaseSampler:
    """Build a sampler of Optuna.

    Args:
        settings: Class name in ``optuna.samplers`` and constructor arguments; a mapping of
            ``name`` and ``settings`` among them builds a nested sampler.
        entropy: The study's seed, or its own entropy without one; given to constructors that
            take a seed and were not given one.

    Raises:
        InvalidInputError: There is no such sampler, or it does not take these arguments.
    """
    if settings.name == GIVEN_PARAMS:
        return GivenParamsSampler()
    built = _built(optuna.samplers, settings.name, settings.settings, entropy % 2**32)
    if not isinstance(built, BaseSampler):
        raise InvalidInputError(f"{settings.name!r} is no sampler of Optuna")
    return built


def pruner_by_name(settings: ComponentSettings) -> optuna.pruners.BasePruner:
    """Build a pruner of Optuna, likewise; pruners take no seed."""
    built = _built(optuna.pruners, settings.name, settings.settings, None)
    if not isinstance(built, optuna.pruners.BasePruner):
        raise InvalidInputError(f"{settings.name!r} is no pruner of Optuna")
    return built


def _built(module: Any, name: str, settings: Mapping[str, Any], seed: int | None) -> object:
    kind = getattr(module, name, None)
    if not inspect.isclass(kind):
        raise InvalidInputError(
            f"there is no {name!r} in {module.__name__}",
            hint="use a class name as Optuna spells it, such as TPESampler",
        )
    arguments: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and set(value) <= {"name", "settings"} and "name" in value:
            home = optuna.pruners if value["name"].endswith("Pruner") else optuna.samplers
            value = _built(home, value["name"], value.get("settings") or {}, seed)
        arguments[key] = value
    if seed is not None and "seed" in inspect.signature(kind).parameters:
        arguments.setdefault("seed", seed)
    try:
        return kind(**arguments)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"{name} does not take these settings: {error}", where=f"{name}({dict(settings)!r})"
        ) from error


def grid_size(settings: ComponentSettings | None) -> int | None:
    """How many points Optuna's ``GridSampler`` has; ``None`` for any other sampler."""
    if settings is None or settings.name != "GridSampler":
        return None
    space = settings.settings.get("search_space")
    return prod(len(values) for values in space.values()) if isinstance(space, Mapping) else None


class MissingSampler(BaseSampler):
    """Stands for a sampler that the user built and that was not passed again.

    The study can be read; asking it for a trial is refused, naming the sampler.
    """

    def __init__(self, settings: ComponentSettings) -> None:
        self._settings = settings

    def refusal(self) -> SettingsDifferError:
        """The error for a search that would go on without it."""
        return _missing("sampler", self._settings)

    def infer_relative_search_space(self, study: Any, trial: Any) -> Any:
        """Refused."""
        raise self.refusal()

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> Any:
        """Refused."""
        raise self.refusal()

    def sample_independent(
        self, study: Any, trial: Any, param_name: str, param_distribution: Any
    ) -> Any:
        """Refused."""
        raise self.refusal()


class MissingPruner(optuna.pruners.BasePruner):
    """Stands for a pruner that the user built and that was not passed again, likewise."""

    def __init__(self, settings: ComponentSettings) -> None:
        self._settings = settings

    def refusal(self) -> SettingsDifferError:
        """The error for a search that would go on without it."""
        return _missing("pruner", self._settings)

    def prune(self, study: Any, trial: Any) -> bool:
        """Refused."""
        raise self.refusal()


def _missing(what: str, settings: ComponentSettings) -> SettingsDifferError:
    name = settings.name
    return SettingsDifferError(
        f"the study was searched with {name}, an object that only its owner can build",
        where=f"{name}({settings.settings!r})",
        hint=f"pass it again: {what}={name.rpartition('.')[2]}(...)",
    )
