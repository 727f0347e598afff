"""The data coordinate: declared inputs with digests, and files read without being declared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file of an input: path relative to the input (or absolute), size and SHA-256."""

    path: str
    size_bytes: int
    digest: str


@dataclass(frozen=True, slots=True)
class InputState:
    """One declared input.

    Args:
        name: The name under which the objective finds it.
        kind: ``file``, ``directory`` or ``glob``.
        declared: The path as it was declared.
        path: The absolute path that was read.
        digest: A file's SHA-256; for a directory or glob the digest of its sorted manifest.
        size_bytes: Total size.
        files: The manifest of a directory or glob, sorted by path; empty for a file.
        verified: Whether the content was hashed here (``False``: the digest was declared).
    """

    name: str
    kind: Literal["file", "directory", "glob"]
    declared: str
    path: str
    digest: str
    size_bytes: int
    files: tuple[DataFile, ...] = ()
    verified: bool = True


@dataclass(frozen=True, slots=True)
class DataState:
    """The state of the data coordinate.

    Args:
        inputs: Declared inputs, sorted by name.
        undeclared: Files that the process read without declaring them, sorted by path.
    """

    inputs: tuple[InputState, ...] = ()
    undeclared: tuple[DataFile, ...] = ()
