"""What a project says of its book: ``[tool.trialbook]`` in ``pyproject.toml``."""

from __future__ import annotations

import tomllib
from difflib import get_close_matches
from pathlib import Path

from trialbook.errors import ConfigError

PROJECT_FILE = "pyproject.toml"
_KEYS = ("storage",)


def project_storage(start: Path) -> tuple[str, Path] | None:
    """The storage that the nearest ``pyproject.toml`` with ``[tool.trialbook]`` names.

    Args:
        start: Directory to begin at; then upwards.

    Returns:
        The text of ``storage`` and the file; ``None`` when no project names one. A relative
        path begins at the file's directory.

    Raises:
        ConfigError: The table is not to be understood.
    """
    for directory in (start, *start.parents):
        file = directory / PROJECT_FILE
        if not file.is_file():
            continue
        try:
            table = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {})
        except (OSError, ValueError):
            continue  # not ours to complain about: other tools read this file too
        own = table.get("trialbook") if isinstance(table, dict) else None
        if own is not None:
            storage = _checked(own, file)
            return None if storage is None else (storage, file)
    return None


def _checked(own: object, file: Path) -> str | None:
    where = f"{file}, [tool.trialbook]"
    if not isinstance(own, dict):
        raise ConfigError("[tool.trialbook] must be a table", where=where)
    for key in own:
        if key not in _KEYS:
            near = get_close_matches(key, _KEYS, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"the keys are {', '.join(_KEYS)}"
            raise ConfigError(f"unknown key {key!r}", where=where, hint=hint)
    storage = own.get("storage")
    if storage is not None and (not isinstance(storage, str) or not storage):
        raise ConfigError(
            f"storage must be a storage URL or a path, not {storage!r}",
            where=where,
            hint='storage = "books/lab.db"',
        )
    if storage is None or "://" in storage:
        return storage
    return str(file.parent / Path(storage).expanduser())
