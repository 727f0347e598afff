"""Samplers and pruners: built from their recorded names, and seeded before each trial.

Every ``LazyRandomState`` that a sampler holds is seeded from the study's entropy, the trial's
number and the attribute path, so that a resumed sequential study equals an uninterrupted one and
parallel workers do not repeat each other. Constructor seeds stay the study's, because grid and
quasi-random samplers take their order from them.
"""

from __future__ import annotations

import inspect
import zlib
from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

import numpy as np
import optuna
from optuna.samplers import BaseSampler
from optuna.samplers._lazy_random_state import LazyRandomState

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


def reseed(sampler: BaseSampler, entropy: int, number: int) -> None:
    """Seed every random state that a sampler holds, for one trial.

    Args:
        sampler: Any sampler; one that holds no ``LazyRandomState`` is left as it is.
        entropy: The study's own non-negative integer.
        number: The trial's number.
    """
    for path, state in _random_states(sampler, "", set()):
        key = (number, zlib.crc32(path.encode()))
        words = np.random.SeedSequence(entropy, spawn_key=key).generate_state(4)
        state.rng.seed(words)


def _random_states(
    holder: object, path: str, seen: set[int]
) -> Iterator[tuple[str, LazyRandomState]]:
    if id(holder) in seen:
        return
    seen.add(id(holder))
    for name, value in getattr(holder, "__dict__", {}).items():
        inner = f"{path}.{name}"
        if isinstance(value, LazyRandomState):
            if id(value) not in seen:
                seen.add(id(value))
                yield inner, value
        elif isinstance(value, BaseSampler) or type(value).__module__.startswith("optuna.samplers"):
            yield from _random_states(value, inner, seen)


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
