"""The engines by name; an engine's own file is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from trialbook.errors import InvalidInputError
from trialbook.running.launch.contract import Launcher

ENGINES = {
    "local": "LocalLauncher",
    "ssh": "SshLauncher",
    "slurm": "SlurmLauncher",
    "ray": "RayLauncher",
}
"""Name of the engine and of its file here, and the class in it."""


def launcher(engine: str, options: Mapping[str, Any]) -> Launcher:
    """The launcher of an engine.

    Args:
        engine: Its name.
        options: See ``Launcher``.

    Raises:
        InvalidInputError: There is no such engine, or it does not take the options.
        MissingEngineError: The engine is not installed or not to be reached here.
    """
    if engine not in ENGINES:
        raise InvalidInputError(
            f"there is no engine {engine!r}", hint=f"name one of {', '.join(ENGINES)}"
        )
    module = import_module(f"trialbook.running.launch.{engine}")
    kind: type[Launcher] = getattr(module, ENGINES[engine])
    return kind(options)
