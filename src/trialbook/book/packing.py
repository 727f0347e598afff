"""The content of a checkpoint: a tar archive, without compression, of what was saved.

Its first member, ``trialbook-checkpoint.json``, is what the next attempt needs besides the user's
own file: canonical JSON with the states of random generators and the like. What was saved lies
under ``content/``, so ``tar xf`` brings it back without Trialbook. A random word in the first
member makes each content different from every other one in the book: nothing else can name it, so
it may be removed without asking who does.
"""

from __future__ import annotations

import json
import secrets
import stat
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from trialbook.errors import BookCorruptError, InvalidInputError
from trialbook.records.canonical import canonical_bytes, parsed

FACTS = "trialbook-checkpoint.json"
_CONTENT = "content"
_CHUNK_BYTES = 1024 * 1024
_BLOCK = tarfile.BLOCKSIZE


@dataclass(frozen=True, slots=True)
class _Member:
    path: Path
    info: tarfile.TarInfo


@dataclass(frozen=True, slots=True)
class Package:
    """A file or directory that is about to be packed, as it was listed.

    Args:
        facts: The bytes of the first member.
        members: Everything else.
    """

    facts: bytes
    members: tuple[_Member, ...]

    @property
    def size_bytes(self) -> int:
        """Length of the archive, long names apart."""
        contents = [len(self.facts), *(member.info.size for member in self.members)]
        return sum(_BLOCK + size + -size % _BLOCK for size in contents) + 2 * _BLOCK

    def chunks(self) -> Iterator[bytes]:
        """The archive, piece by piece; files are read now.

        Raises:
            InvalidInputError: A file became shorter while it was read.
        """
        first = tarfile.TarInfo(FACTS)
        first.size = len(self.facts)
        yield _header(first)
        yield self.facts + bytes(-first.size % _BLOCK)
        for member in self.members:
            yield _header(member.info)
            if member.info.isreg():
                yield from _file_chunks(member)
        yield bytes(2 * _BLOCK)


def package(path: Path, facts: Mapping[str, Any]) -> Package:
    """List what is to be packed.

    Args:
        path: A file, or a directory with everything in it. Links to files are packed as files.
        facts: Anything that canonical JSON takes.

    Raises:
        InvalidInputError: There is nothing at the path, or something that is neither file nor
            directory.
    """
    # A path such as "." has no name of its own; a link keeps the name that the user gave it.
    top = path if path.name not in ("", "..") else path.resolve()
    members = tuple(_listed(top, f"{_CONTENT}/{top.name}"))
    whole = {**facts, "format": 1, "name": top.name, "nonce": secrets.token_hex(16)}
    return Package(canonical_bytes(whole), members)


def _listed(path: Path, name: str) -> Iterator[_Member]:
    try:
        found = path.stat()
    except OSError as error:
        raise InvalidInputError(
            f"{str(path)!r} cannot be saved in a checkpoint ({error.strerror})",
            hint="write it first, then save it",
        ) from error
    info = tarfile.TarInfo(name)
    info.mtime = int(found.st_mtime)
    info.mode = stat.S_IMODE(found.st_mode)
    if stat.S_ISREG(found.st_mode):
        info.size = found.st_size
        yield _Member(path, info)
        return
    if not stat.S_ISDIR(found.st_mode) or (name.count("/") > 1 and path.is_symlink()):
        raise InvalidInputError(
            f"{str(path)!r} cannot be saved in a checkpoint: it is no file or directory",
            hint="save a file, or a directory of files",
        )
    info.type = tarfile.DIRTYPE
    yield _Member(path, info)
    for entry in sorted(path.iterdir()):
        yield from _listed(entry, f"{name}/{entry.name}")


def _header(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _file_chunks(member: _Member) -> Iterator[bytes]:
    left = member.info.size
    with member.path.open("rb") as file:
        while left:
            chunk = file.read(min(left, _CHUNK_BYTES))
            if not chunk:
                raise InvalidInputError(
                    f"{str(member.path)!r} became shorter while it was saved in a checkpoint",
                    hint="save it when nothing writes to it",
                )
            left -= len(chunk)
            yield chunk
    yield bytes(-member.info.size % _BLOCK)


def unpacked(file: IO[bytes], directory: Path) -> tuple[Path, dict[str, Any]]:
    """Unpack a content whose digest was checked; the restored path, and the facts.

    Args:
        file: The archive.
        directory: An empty directory for what was saved.

    Raises:
        BookCorruptError: It is no such archive.
        OSError: It cannot be written.
    """
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            first = archive.next()
            content = None if first is None else archive.extractfile(first)
            if first is None or first.name != FACTS or content is None:
                raise ValueError("it does not begin with its facts")
            facts: dict[str, Any] = parsed(content.read())
            # "data" lets nothing out of the directory: no absolute names, no "..", no devices.
            archive.extractall(directory, [m for m in archive if m.name != FACTS], filter="data")
        path = directory / _CONTENT / facts["name"]
        if not path.exists():
            raise ValueError("what it was made of is not in it")
    except (tarfile.TarError, ValueError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise BookCorruptError(f"the content of a checkpoint cannot be read: {error}") from error
    return path, facts
