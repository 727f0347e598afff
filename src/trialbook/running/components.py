"""Whether a sampler or pruner asked for by name exists and takes the settings given.

Checks only, against ``optuna.samplers`` and ``optuna.pruners`` and their constructors;
``samplers.py`` builds them.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

Problem = tuple[tuple[str, ...], str]
"""Path of keys below the component, and what is wrong there."""

_NESTED = {
    "base_sampler": "sampler",
    "independent_sampler": "sampler",
    "wrapped_pruner": "pruner",
}
"""Settings that are themselves a sampler or pruner."""

_OBJECTS = frozenset(
    {
        "after_trial_strategy",
        "child_generation_strategy",
        "constraints_func",
        "crossover",
        "elite_population_selection_strategy",
        "gamma",
        "mutation",
        "source_trials",
        "weights",
    }
)
"""Settings that take a Python function or object, which a file cannot hold."""


def component_classes(kind: str) -> dict[str, type]:
    """Name to class of everything that can be asked for.

    Args:
        kind: ``sampler`` or ``pruner``.
    """
    import optuna

    module: Any = optuna.samplers if kind == "sampler" else optuna.pruners
    base = optuna.samplers.BaseSampler if kind == "sampler" else optuna.pruners.BasePruner
    named = {name: getattr(module, name) for name in module.__all__}
    return {
        name: value
        for name, value in named.items()
        if isinstance(value, type) and issubclass(value, base) and not name.startswith("Base")
    }


def component_problems(kind: str, value: object) -> Iterator[Problem]:
    """Everything that is wrong with a sampler or pruner as written in a file.

    Args:
        kind: ``sampler`` or ``pruner``.
        value: A class name, or a mapping of ``name`` and ``settings``.
    """
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, Mapping):
        yield (), f"must be a name, or {{name, settings}}, not {value!r}"
        return
    for key in value:
        if key not in ("name", "settings"):
            yield (str(key),), f"unknown key{_near(str(key), ['name', 'settings'])}"
    name, settings = value.get("name"), value.get("settings")
    classes = component_classes(kind)
    if name is None:
        yield (), f"has no name; write {{name: {next(iter(classes))}, settings: {{...}}}}"
        return
    if name not in classes:
        near = _near(str(name), list(classes)) or f"; there are {', '.join(classes)}"
        yield ("name",), f"Optuna has no {kind} {name!r}{near}"
        return
    if settings is not None and not isinstance(settings, Mapping):
        yield ("settings",), f"must be a mapping of arguments, not {settings!r}"
        return
    yield from _settings_problems(str(name), classes[str(name)], dict(settings or {}))


def _settings_problems(name: str, cls: type, settings: dict[Any, Any]) -> Iterator[Problem]:
    parameters = {
        key: parameter
        for key, parameter in inspect.signature(cls).parameters.items()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }
    for key, value in settings.items():
        path = ("settings", str(key))
        if key not in parameters:
            near = _near(str(key), list(parameters))
            known = f"; it takes {', '.join(parameters)}" if parameters else "; it takes none"
            yield path, f"{name} has no setting {key!r}{near or known}"
        elif key in _NESTED and value is not None:
            for inner, message in component_problems(_NESTED[key], value):
                yield (*path, *inner), message
        elif key in _OBJECTS and value is not None:
            yield (
                path,
                f"{name} takes a Python object here, which a file cannot hold; "
                "make the study in Python with trialbook.create_study",
            )
    for key, parameter in parameters.items():
        if parameter.default is parameter.empty and key not in settings:
            yield ("settings",), f"{name} needs the setting {key!r}"


def _near(word: str, known: list[str]) -> str:
    lowered = {name.lower(): name for name in known}
    for suffix in ("", "sampler", "pruner"):
        if word.lower() + suffix in lowered:
            return f"; did you mean {lowered[word.lower() + suffix]!r}?"
    near = get_close_matches(word.lower(), list(lowered), 1, 0.6)
    return f"; did you mean {lowered[near[0]]!r}?" if near else ""
