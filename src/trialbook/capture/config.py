r"""The config probe: file or mapping, overrides applied, credentials left out of the record.

Overrides are dotted: ``optimizer.lr=0.1``, ``layers.0=64``; ``+name=1`` adds a key that is not
there yet; a dot inside a key is written ``\.``. How YAML is read is in ``yaml.py``.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from trialbook.capture.imports import unwatched
from trialbook.capture.probe import Observation
from trialbook.capture.yaml import yaml_value
from trialbook.errors import ConfigError
from trialbook.records.canonical import digest_of_bytes
from trialbook.records.config import (
    ComponentSettings,
    ConfigState,
    SearchSettings,
    key_order,
)
from trialbook.records.coordinates import Kind, Snapshot
from trialbook.records.coverage import Coverage
from trialbook.records.secrets import redacted_mapping, redacted_text, secret_values_of

_DOT = re.compile(r"(?<!\\)\.")
_DEPTH = 100


def parsed_overrides(settings: Iterable[str]) -> dict[str, Any]:
    """The overrides that ``--set KEY=VALUE`` named, in their order; the last of a key stands.

    Values are YAML: ``1e-3`` is a number, ``[64, 32]`` a list, ``"1"`` text.

    Raises:
        ConfigError: An item has no ``=``, no key, or a value that is not YAML.
    """
    overrides: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        key = key.strip()
        if not equals or not key.lstrip("+"):
            raise ConfigError(
                f"{redacted_text(setting)[0]!r} sets nothing", hint="write KEY=VALUE, as in lr=0.1"
            )
        overrides[key] = yaml_value(text, where=f"the value of {key}")
    return overrides


class ConfigProbe:
    """Observes the configuration.

    Args:
        config: A YAML file, a mapping, or ``None`` for an empty configuration.
        overrides: Dotted key to value; values are taken as they are (``parsed_overrides`` reads
            text).
        base: Directory that a relative path is relative to.
        search: What was asked of the search.
        origin: The record that the configuration was taken from. As long as it is the same, it
            comes from where that one came from.

    Raises:
        ConfigError: The file cannot be read, is no mapping, or an override does not fit.
    """

    kind = Kind.CONFIG

    def __init__(
        self,
        config: str | Path | Mapping[str, Any] | None,
        *,
        overrides: Mapping[str, Any] = {},
        base: Path,
        search: SearchSettings = SearchSettings(),  # noqa: B008 (frozen)
        origin: ConfigState | None = None,
    ) -> None:
        self._origin = origin
        self._source: Path | None = None
        self._declared: str | None = None
        self._given: dict[str, Any] = {}
        self._source_digest: str | None = None
        self._signature: tuple[int, ...] | None = None
        self._observed = False
        self._search = search
        self._overrides = {key: _json(value, key, 0) for key, value in overrides.items()}
        if isinstance(config, Mapping):
            self._given = _json(config, "", 0)
        elif isinstance(config, (str, os.PathLike)):
            self._declared = os.fspath(config)
            self._source = (base / Path(self._declared).expanduser()).absolute()
        elif config is not None:
            raise ConfigError(
                f"a configuration must be a YAML file or a mapping, not {type(config).__name__}",
                hint="pass a path or a dictionary",
            )
        self._resolve()

    @property
    def config(self) -> dict[str, Any]:
        """A fresh copy of the resolved configuration, credentials included."""
        copy: dict[str, Any] = _copied(self._resolved)
        return copy

    def observe(self) -> Observation:
        """The resolved configuration without its credentials; the file is read again if need be."""
        if self._stat() != self._signature:
            self._resolve()
        self._observed = True
        secrets = secret_values_of(os.environ)
        resolved, places = redacted_mapping(self._resolved, secrets=secrets)
        overrides, more = redacted_mapping(self._overrides, secrets=secrets)
        redacted = tuple(dict.fromkeys((*places, *(key.lstrip("+") for key in more))))
        state = ConfigState(
            source=None if self._declared is None else redacted_text(self._declared)[0],
            source_digest=self._source_digest,
            resolved=resolved,
            overrides=overrides,
            search=_safe_search(self._search, secrets),
            redacted=redacted,
            order=key_order(resolved),
        )
        if self._origin is not None and _is_same(state, self._origin):
            state = replace(self._origin, search=state.search)
        gaps = [f"the value of {key} looks like a credential and is left out" for key in redacted]
        return Observation(Snapshot.of(Kind.CONFIG, Coverage.of(gaps), state))

    def changed(self) -> bool:
        """Whether the file is not as it was; a mapping was copied and does not change."""
        return not self._observed or self._stat() != self._signature

    def _resolve(self) -> None:
        resolved = self._given
        if self._source is not None:
            resolved = self._read(self._source)
        resolved = _copied(resolved)
        for key, value in self._overrides.items():
            _override(resolved, key, value)
        self._resolved = resolved

    def _read(self, source: Path) -> dict[str, Any]:
        # The signature is older than the content, so an edit in between is seen as a change.
        self._signature = self._stat()
        try:
            with unwatched():
                content = source.read_bytes()
        except OSError as error:
            raise ConfigError(
                f"the configuration cannot be read: {error.strerror or error}",
                where=str(source),
                hint="check the path; a relative one begins at the directory of the objective's "
                "file, or of the study's file",
            ) from error
        value = yaml_value(content, where=str(source))
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise ConfigError(
                f"a configuration must be a mapping, not {_kind_of(value)}",
                where=str(source),
                hint="write 'key: value' lines at the top level",
            )
        self._source_digest = digest_of_bytes(content)
        return value

    def _stat(self) -> tuple[int, ...] | None:
        if self._source is None:
            return None
        try:
            status = self._source.stat()
        except OSError:
            return ()
        return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _safe_search(search: SearchSettings, secrets: tuple[str, ...]) -> SearchSettings:
    def safe(component: ComponentSettings | None) -> ComponentSettings | None:
        if component is None:
            return None
        settings = redacted_mapping(component.settings, secrets=secrets)[0]
        return replace(component, settings=settings)

    return replace(search, sampler=safe(search.sampler), pruner=safe(search.pruner))


def _is_same(here: ConfigState, recorded: ConfigState) -> bool:
    """Whether two configurations have the same values, credentials left out alike."""
    seen = [(state.resolved, state.order, sorted(state.redacted)) for state in (here, recorded)]
    return seen[0] == seen[1]


def _override(resolved: dict[str, Any], dotted: str, value: Any) -> None:
    """Set one dotted key in place."""
    adding = dotted.startswith("+")
    keys = [key.replace("\\.", ".") for key in _DOT.split(dotted.removeprefix("+"))]
    container: Any = resolved
    for depth, key in enumerate(keys[:-1]):
        if adding and isinstance(container, dict) and key not in container:
            container[key] = {}
        container = container[_index(container, key, keys[: depth + 1])]
    last = keys[-1]
    if adding and isinstance(container, dict):
        container[last] = _copied(value)
        return
    index = _index(container, last, keys)
    if isinstance(container[index], dict) and not isinstance(value, dict):
        name, inner = ".".join(keys), next(iter(container[index]), "key")
        raise ConfigError(
            f"{name} is a group of settings and cannot be set to {_kind_of(value)}",
            hint=f"set one of its keys, as in {name}.{inner}",
        )
    container[index] = _copied(value)


def _index(container: Any, key: str, path: Sequence[str]) -> Any:
    """What to index the container with for this key.

    Raises:
        ConfigError: There is no such key.
    """
    name = ".".join(path)
    if isinstance(container, dict):
        if key in container:
            return key
        close = difflib.get_close_matches(key, list(container), n=1, cutoff=0.5)
        hint = f"write +{name}=... to add it"
        if close:
            hint = f"did you mean {'.'.join([*path[:-1], close[0]])}? Or {hint}"
        raise ConfigError(f"the configuration has no key {name!r}", hint=hint)
    if isinstance(container, list):
        if key.isdecimal() and int(key) < len(container):
            return int(key)
        raise ConfigError(
            f"{name!r} names no item of a list of {len(container)}",
            hint=f"use an index from 0 to {len(container) - 1}" if container else "set the list",
        )
    raise ConfigError(
        f"{'.'.join(path[:-1])!r} is {_kind_of(container)}, so {name!r} cannot be set",
        hint="set a key that exists",
    )


def _json(value: Any, place: str, depth: int) -> Any:
    """A deep copy made of JSON values; dates become ISO 8601 text, tuples lists.

    Raises:
        ConfigError: Something in it is no JSON value.
    """
    if depth > _DEPTH:
        raise ConfigError("the configuration is nested too deeply", where=place, hint="flatten it")
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Mapping):
        copy: dict[str, Any] = {}
        for key, item in value.items():
            if not isinstance(key, str):
                raise ConfigError(
                    f"a key must be text, not {type(key).__name__}: {key!r:.40}",
                    where=place or None,
                    hint="write the key as text",
                )
            copy[str(key)] = _json(item, f"{place}.{key}" if place else key, depth + 1)
        return copy
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray, memoryview)):
        return [_json(item, f"{place}[{i}]", depth + 1) for i, item in enumerate(value)]
    return _json_scalar(value, place)


def _json_scalar(value: Any, place: str) -> Any:
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)
    item = getattr(value, "item", None)  # NumPy's scalars and arrays of one item without axes
    if getattr(value, "shape", None) == () and callable(item):
        return _json_scalar(item(), place)
    if value is None or isinstance(value, bool):
        return value
    shown = redacted_text(repr(value))[0]
    raise ConfigError(
        f"a value of type {type(value).__name__} cannot be recorded: {shown:.80}",
        where=place,
        hint="use text, numbers, booleans, lists and mappings",
    )


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copied(item) for item in value]
    return value


def _kind_of(value: object) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        return "text"
    return "nothing" if value is None else f"the value {value!r}"
