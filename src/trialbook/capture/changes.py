"""Whether a tracked file differs from what git has, told from its bytes alone.

git itself would run the repository's clean filters to find out; this does not. A file whose size
and times are those in git's index is unchanged, by git's own rule; of any other the object id is
computed as git does, with the line endings that git would give it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass

from trialbook.capture.git import Repository, TrackedFile, attributes_of

_LINK = "120000"


@dataclass(frozen=True, slots=True)
class Suspect:
    """A tracked file whose times or size are not those in the index.

    Args:
        entry: Its entry in the index.
        mode: The mode that it has now.
        content: What it holds now; a link's target for a link.
    """

    entry: TrackedFile
    mode: str
    content: bytes


def is_as_in_index(entry: TrackedFile, mode: str, status: os.stat_result, tree: Repository) -> bool:
    """Whether size, times and mode say that the file is as git last saw it."""
    if not entry.merged or entry.intended or not _same_mode(entry, mode, tree):
        return False
    seconds, part = divmod(status.st_mtime_ns, 10**9)
    if (entry.size_bytes, entry.mtime_s) != (status.st_size % 2**32, seconds):
        return False
    if entry.mtime_part_ns not in (0, part) or entry.ctime_s != status.st_ctime_ns // 10**9:
        return False
    # Racy: written in the same instant as the index, so the times prove nothing.
    written = entry.mtime_s * 10**9 + entry.mtime_part_ns
    grain = 0 if entry.mtime_part_ns else 10**9
    return written + grain < tree.index_mtime_ns


def modified_files(
    suspects: Iterable[Suspect], tree: Repository
) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """Which of the suspects differ from the index.

    Returns:
        The paths that differ, and those of them where only a filter of the repository, which is
        not run, could say that they do not.

    Raises:
        GitUnavailableError: git does not tell the attributes of a file.
    """
    paths: list[bytes] = []
    converted: list[Suspect] = []
    for suspect in suspects:
        entry = suspect.entry
        if not entry.merged or entry.intended or not _same_mode(entry, suspect.mode, tree):
            paths.append(entry.path)
        elif _oid(suspect.content, tree) != entry.oid:
            if suspect.mode == _LINK:
                paths.append(entry.path)
            else:
                converted.append(suspect)
    if not converted:
        return tuple(paths), ()
    attributes = attributes_of(tree.top, [suspect.entry.path for suspect in converted])
    undecided = []
    for suspect in converted:
        path = suspect.entry.path
        wanted = attributes[path]
        if not _matches_converted(suspect, wanted, tree):
            paths.append(path)
            if _is_set(wanted, "filter") or _is_set(wanted, "working-tree-encoding"):
                undecided.append(path)
    return tuple(paths), tuple(undecided)


def _same_mode(entry: TrackedFile, mode: str, tree: Repository) -> bool:
    if entry.mode == mode:
        return True
    return not tree.file_mode and _LINK not in (entry.mode, mode)


def _oid(content: bytes, tree: Repository) -> str:
    """Object id of a blob: gitformat-object, ``blob SIZE NUL CONTENT``."""
    digest = hashlib.new(tree.object_format, usedforsecurity=False)
    digest.update(b"blob %d\0" % len(content))
    digest.update(content)
    return digest.hexdigest()


def _matches_converted(suspect: Suspect, attributes: dict[str, str], tree: Repository) -> bool:
    content = suspect.content
    if attributes.get("filter") == "lfs":
        pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n" % (
            hashlib.sha256(content).hexdigest().encode(),
            len(content),
        )
        return _oid(pointer, tree) == suspect.entry.oid
    if b"\r\n" not in content or not _normalizes(attributes, content, tree):
        return False
    return _oid(content.replace(b"\r\n", b"\n"), tree) == suspect.entry.oid


def _normalizes(attributes: dict[str, str], content: bytes, tree: Repository) -> bool:
    """Whether git turns this file's line endings into LF (gitattributes, End-of-line)."""
    text = attributes.get("text", "unspecified")
    if text == "unspecified":
        text = attributes.get("crlf", "unspecified")
    if text == "set" or (text == "unspecified" and _is_set(attributes, "eol")):
        return True
    if text == "unset" or b"\0" in content:
        return False
    return text in ("auto", "input") or tree.autocrlf in ("true", "input")


def _is_set(attributes: dict[str, str], name: str) -> bool:
    return attributes.get(name, "unspecified") not in ("unspecified", "unset")
