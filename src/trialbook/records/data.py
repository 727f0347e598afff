"""The data coordinate: declared inputs with digests, and files read without being declared."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from trialbook.records.canonical import digest_of_bytes


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file of an input: path relative to the input (or absolute), size and SHA-256."""

    path: str
    size_bytes: int
    digest: str


@dataclass(frozen=True, slots=True)
class HashedFile:
    """A file that a worker has hashed, as the book keeps it for other workers.

    Args:
        key: What identifies it, see ``capture/shared_digests.py``; 64 hexadecimal digits.
        path: Absolute, for people; credentials redacted.
        size_bytes: Its length.
        mtime_ns: When it was modified last.
        digest: SHA-256 of its content.
    """

    key: str
    path: str
    size_bytes: int
    mtime_ns: int
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


def manifest_digest(files: Iterable[DataFile]) -> str:
    r"""Digest of a directory or glob: SHA-256 over what ``sha256sum`` prints for its files.

    Files are sorted by the bytes of their paths, so with GNU coreutils this prints the same::

        cd DIRECTORY && find -L . -type f -printf '%P\0' | LC_ALL=C sort -z |
            xargs -0 -r sha256sum | sha256sum
    """
    ordered = sorted(files, key=_name)
    return digest_of_bytes(b"".join(_line(_name(file), file.digest) for file in ordered))


def _name(file: DataFile) -> bytes:
    return file.path.encode("utf-8", "surrogateescape")


def _line(name: bytes, digest: str) -> bytes:
    escaped = name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
    mark = b"" if escaped == name else b"\\"
    return mark + digest.encode() + b"  " + escaped + b"\n"
