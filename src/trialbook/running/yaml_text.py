"""YAML text into plain values with the line of every key; study files only.

Two faults of YAML readers are repaired here: a key given twice is reported instead of one value
silently winning, and ``1e-3`` is a number (YAML 1.2), which YAML 1.1 reads as text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml

from trialbook.errors import SpecError

_FLOAT = re.compile(
    r"""^[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?
        |\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?
        |[0-9][0-9_]*[eE][-+]?[0-9]+
        |\.(?:inf|Inf|INF))$|^\.(?:nan|NaN|NAN)$""",
    re.VERBOSE,
)


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with YAML 1.2 floats."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:float"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """What a text holds.

    Args:
        value: Plain values; ``None`` for an empty text.
        lines: Path of keys to the line (from 1) on which the last of them stands.
        problems: Keys that are given twice.
    """

    value: Any
    lines: dict[tuple[str, ...], int]
    problems: tuple[str, ...]


def yaml_document(text: str, where: str) -> YamlDocument:
    """Read YAML text.

    Args:
        text: The text.
        where: Its file, for the error.

    Raises:
        SpecError: The text is no YAML.
    """
    loader = _Loader(text)
    lines: dict[tuple[str, ...], int] = {}
    problems: list[str] = []
    try:
        node = loader.get_single_node()
        if node is None:
            return YamlDocument(None, lines, ())
        _walk(node, (), lines, problems)
        return YamlDocument(loader.construct_document(node), lines, tuple(problems))
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise SpecError(
            "the study file is no YAML",
            problems=(" ".join(str(error).split()),),
            where=where,
            hint="correct the line that is named",
        ) from error
    finally:
        loader.dispose()


def _walk(
    node: yaml.Node,
    path: tuple[str, ...],
    lines: dict[tuple[str, ...], int],
    problems: list[str],
) -> None:
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _walk(item, (*path, str(index)), lines, problems)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        line = key.start_mark.line + 1
        inner = (*path, str(key.value))
        if key.value in seen and key.value != "<<":
            problems.append(f"line {line}: {'.'.join(inner)}: the key is given twice")
        seen.add(key.value)
        lines[inner] = line
        _walk(value, inner, lines, problems)
