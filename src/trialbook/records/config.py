"""The config coordinate: the resolved configuration and what was asked of the search."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from trialbook.records.canonical import canonical_bytes, parsed

_GRID = "GridSampler"


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

    @property
    def text(self) -> str:
        """As in ``TPESampler(multivariate=true)``."""
        given = (f"{k}={json.dumps(v, ensure_ascii=False)}" for k, v in self.settings.items())
        return f"{self.name}({', '.join(given)})"

    @property
    def lacks_seed(self) -> bool:
        """Whether a grid was put in order by a seed that nobody can read back from the sampler.

        A digest of that order may stand for it as the study's seed. The seed of a sampler that was
        built from its name is among the settings.
        """
        return not self.by_name and _GRID in _names(self.name, self.settings)


def _names(name: str, settings: dict[str, Any]) -> Iterator[str]:
    """A sampler's name and those of the samplers inside it."""
    yield name
    for value in settings.values():
        if isinstance(value, dict) and isinstance(value.get("name"), str):
            inner = value.get("settings")
            yield from _names(value["name"], inner if isinstance(inner, dict) else {})


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
        order: The order of the keys of ``resolved`` as ``key_order`` writes it, since canonical
            JSON sorts them and code may go through them in turn; ``None`` when they were sorted.
    """

    source: str | None = None
    source_digest: str | None = None
    resolved: dict[str, Any] = field(default_factory=dict)
    overrides: dict[str, Any] = field(default_factory=dict)
    search: SearchSettings = field(default_factory=SearchSettings)
    redacted: tuple[str, ...] = ()
    order: str | None = None

    @property
    def as_seen(self) -> dict[str, Any]:
        """``resolved`` with its keys in the order in which the objective saw them."""
        if self.order is None:
            return self.resolved
        value: dict[str, Any] = _ordered(self.resolved, json.loads(self.order))
        return value


def key_order(resolved: dict[str, Any]) -> str | None:
    """The order of every mapping's keys, as JSON text with 0 for values that have none.

    Args:
        resolved: JSON values.

    Returns:
        ``None`` when canonical JSON would not change the order.
    """
    order = json.dumps(_skeleton(resolved))
    canonical = json.dumps(_skeleton(parsed(canonical_bytes(resolved))))
    return None if order == canonical else order


def _skeleton(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _skeleton(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_skeleton(item) for item in value]
    return 0


def _ordered(value: Any, skeleton: Any) -> Any:
    if isinstance(value, dict) and isinstance(skeleton, dict):
        keys = [key for key in skeleton if key in value]
        keys += [key for key in value if key not in skeleton]
        return {key: _ordered(value[key], skeleton.get(key)) for key in keys}
    if isinstance(value, list) and isinstance(skeleton, list) and len(value) == len(skeleton):
        return [_ordered(item, inner) for item, inner in zip(value, skeleton, strict=True)]
    return value
