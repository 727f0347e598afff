"""Observe a sampler or pruner: its class and those constructor arguments that can be seen.

Optuna keeps most constructor arguments in attributes of the same name, with or without an
underscore in front. What is kept under another name, or is no JSON value, is left out.
"""

from __future__ import annotations

import inspect
from typing import Any

import optuna

from trialbook.records.config import ComponentSettings

_PLAIN = (bool, int, float, str, type(None))


def component_settings(component: object, *, by_name: bool = False) -> ComponentSettings:
    """Class and settings of a sampler or pruner.

    Args:
        component: The object.
        by_name: Whether Trialbook built it from its name.
    """
    kind = type(component)
    module = kind.__module__
    known = module.startswith(("optuna.samplers", "optuna.pruners"))
    name = kind.__name__ if known else f"{module}.{kind.__qualname__}"
    return ComponentSettings(name, _settings(component), by_name)


def _settings(component: object) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    try:
        parameters = inspect.signature(type(component).__init__).parameters
    except (TypeError, ValueError):
        return settings
    for name in list(parameters)[1:]:
        for attribute in (f"_{name}", name):
            value = getattr(component, attribute, _MISSING)
            if value is not _MISSING:
                plain = _plain(value)
                if plain is not _MISSING:
                    settings[name] = plain
                break
    return settings


_MISSING: Any = object()


def _plain(value: object) -> Any:
    """The value as JSON, or ``_MISSING`` when it is none."""
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, (list, tuple)):
        items = [_plain(item) for item in value]
        return _MISSING if any(item is _MISSING for item in items) else items
    if isinstance(value, dict):
        pairs = {str(key): _plain(item) for key, item in value.items()}
        return _MISSING if any(item is _MISSING for item in pairs.values()) else pairs
    if isinstance(value, (optuna.samplers.BaseSampler, optuna.pruners.BasePruner)):
        inner = component_settings(value)
        return {"name": inner.name, "settings": inner.settings}
    return _MISSING
