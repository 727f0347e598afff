"""The line on which each key of a YAML text stands, for faults that name their line.

Values are read by ``capture/yaml.py``.
"""

from __future__ import annotations

import yaml


def key_lines(text: str) -> dict[tuple[str, ...], int]:
    """Path of keys to its line, from 1; empty for a text that is no YAML."""
    lines: dict[tuple[str, ...], int] = {}
    try:
        node = yaml.compose(text, yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):
        return lines  # reading the values tells what is wrong
    if node is not None:
        _walk(node, (), lines, set())
    return lines


def _walk(
    node: yaml.Node, path: tuple[str, ...], lines: dict[tuple[str, ...], int], seen: set[int]
) -> None:
    if id(node) in seen:
        return  # an alias; what it stands for has its lines already
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _walk(item, (*path, str(index)), lines, seen)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                inner = (*path, str(key.value))
                lines[inner] = key.start_mark.line + 1
                _walk(value, inner, lines, seen)
