"""YAML as configuration files need it: scalars of YAML 1.2, no surprises, nothing executed.

PyYAML follows YAML 1.1, where ``1e-3`` is text, ``no`` is false, ``010`` is eight and ``1:30`` is
ninety. The loader here resolves plain scalars by the core schema of YAML 1.2.2 (section 10.3.2),
leaves dates as text, keeps merge keys (``<<``), and refuses duplicate keys, tags that are not
JSON's, and aliases that contain themselves or grow without bound.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable
from typing import Any, ClassVar

import yaml

from trialbook.errors import ConfigError

_LIMIT_NODES = 1_000_000
_JSON_TAGS = ("null", "bool", "int", "float", "str", "seq", "map")


def yaml_value(text: str | bytes, *, where: str) -> Any:
    """The value of a YAML document, made of dicts, lists, text, numbers, booleans and ``None``.

    Args:
        text: The document; bytes are UTF-8, or UTF-16 with a byte order mark.
        where: What errors call it.

    Raises:
        ConfigError: The text is not YAML, or holds something that is not JSON.
    """
    try:
        # The loader builds JSON values only (see ``_tag`` below).
        value = yaml.load(text, Loader=_Loader)  # noqa: S506
        return _Unfolding(where).plain(value)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = (
            where if mark is None else f"{where}, line {mark.line + 1}, column {mark.column + 1}"
        )
        raise ConfigError(
            f"the YAML cannot be read: {error.problem or error.context}",
            where=place,
            hint="correct it there",
        ) from error
    except (yaml.YAMLError, UnicodeError) as error:
        raise ConfigError(
            f"the YAML cannot be read: {error}", where=where, hint="save it as UTF-8 text"
        ) from error
    except RecursionError:
        raise ConfigError("the YAML is nested too deeply", where=where, hint="flatten it") from None


class _Loader(yaml.SafeLoader):
    """The core schema of YAML 1.2, on PyYAML's parser."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (as its base declares it)
    yaml_constructors: ClassVar[dict[Any, Any]] = {}

    def construct_unique_mapping(self, node: yaml.Node) -> dict[Hashable, Any]:
        """A mapping whose own keys differ; a merged key may be overridden."""
        if not isinstance(node, yaml.MappingNode):
            raise yaml.constructor.ConstructorError(
                None, None, "a mapping was expected here", node.start_mark
            )
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None,
                    None,
                    f"the key {key!r} is no text; write it in quotes",
                    key_node.start_mark,
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands here twice", key_node.start_mark
                )
            seen.add(key)
        return self.construct_mapping(node)

    def construct_any_mapping(self, node: yaml.Node) -> Any:
        # In two steps, as PyYAML does, so that an alias may point into what is being built.
        mapping: dict[Hashable, Any] = {}
        yield mapping
        mapping.update(self.construct_unique_mapping(node))

    def construct_number(self, node: yaml.Node) -> int:
        text = str(self.construct_scalar(node))  # type: ignore[arg-type]
        try:
            return int(text, 0) if text[:2] in ("0x", "0o") else int(text)
        except ValueError as error:
            problem = f"{text[:40]!r} cannot be read as a whole number"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from error

    def construct_real(self, node: yaml.Node) -> float:
        text = str(self.construct_scalar(node)).lower()  # type: ignore[arg-type]
        if text.endswith(".nan"):
            return math.nan
        if text.endswith(".inf"):
            return -math.inf if text.startswith("-") else math.inf
        return float(text)

    def construct_truth(self, node: yaml.Node) -> bool:
        text = str(self.construct_scalar(node)).lower()  # type: ignore[arg-type]
        if text not in ("true", "false"):
            raise yaml.constructor.ConstructorError(
                None, None, f"{text!r} is neither true nor false", node.start_mark
            )
        return text == "true"

    def refuse(self, node: yaml.Node) -> Any:
        raise yaml.constructor.ConstructorError(
            None,
            None,
            f"the tag {node.tag!r} is not allowed here; only JSON values are",
            node.start_mark,
        )


def _install() -> None:
    resolvers = (
        ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
        ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
        ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
        (
            "float",
            r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
            r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
            list("-+.0123456789"),
        ),
        ("merge", r"<<", ["<"]),
    )
    for name, pattern, first in resolvers:
        tag = f"tag:yaml.org,2002:{name}"
        _Loader.add_implicit_resolver(tag, re.compile(rf"(?:{pattern})\Z"), first)
    builders = {
        "null": lambda loader, node: None,
        "bool": _Loader.construct_truth,
        "int": _Loader.construct_number,
        "float": _Loader.construct_real,
        "str": yaml.SafeLoader.construct_yaml_str,
        "seq": yaml.SafeLoader.construct_yaml_seq,
        "map": _Loader.construct_any_mapping,
    }
    for name in _JSON_TAGS:
        _Loader.add_constructor(f"tag:yaml.org,2002:{name}", builders[name])
    _Loader.add_constructor(None, _Loader.refuse)


_install()


class _Unfolding:
    """Copies a loaded value, so that no two places share one object, within bounds."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._count = 0
        self._open: set[int] = set()

    def plain(self, value: Any) -> Any:
        self._count += 1
        if self._count > _LIMIT_NODES:
            raise ConfigError(
                f"the YAML unfolds to more than {_LIMIT_NODES:,} values",
                where=self._where,
                hint="use fewer aliases",
            )
        if not isinstance(value, (dict, list)):
            return value
        if id(value) in self._open:
            raise ConfigError(
                "an alias in the YAML contains itself", where=self._where, hint="write it out"
            )
        self._open.add(id(value))
        copy: Any
        if isinstance(value, dict):
            copy = {key: self.plain(item) for key, item in value.items()}
        else:
            copy = [self.plain(item) for item in value]
        self._open.remove(id(value))
        return copy
