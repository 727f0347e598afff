"""The config coordinate: the resolved configuration and what was asked of the search."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ComponentSettings:
    """A sampler or pruner.

    Args:
        name: Class name, as in ``optuna.samplers``, or the dotted path of the user's own class.
        settings: Constructor arguments that are known, as JSON values.
        by_name: Whether Trialbook built it from its name, so that it is restored with the study;
            one that the user built must be passed again.
    """

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    by_name: bool = True


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """What was asked of the search.

    Args:
        sampler: The sampler, or ``None`` when unknown (the study was not made by Trialbook).
        pruner: The pruner, likewise.
        seed: The study's seed; ``None`` when there is none.
        trials: Budget in trials, ``None`` for no limit.
        hours: Budget in hours of wall time, ``None`` for no limit.
    """

    sampler: ComponentSettings | None = None
    pruner: ComponentSettings | None = None
    seed: int | None = None
    trials: int | None = None
    hours: float | None = None


@dataclass(frozen=True, slots=True)
class ConfigState:
    """The state of the config coordinate.

    Args:
        source: The YAML file as declared, or ``None``.
        source_digest: SHA-256 of that file.
        resolved: File, overrides and defaults merged; what ``trial.config`` holds.
        overrides: What ``--set`` and the decorator changed, dotted key to value.
        search: Sampler, pruner, seed and budget.
        redacted: Dotted keys whose values looked like credentials and were left out.
    """

    source: str | None = None
    source_digest: str | None = None
    resolved: dict[str, Any] = field(default_factory=dict)
    overrides: dict[str, Any] = field(default_factory=dict)
    search: SearchSettings = field(default_factory=SearchSettings)
    redacted: tuple[str, ...] = ()
