"""Opening a file that came from anywhere: only plain files, and never one that is a book's own.

Closing any handle on an SQLite file drops the locks that SQLite holds on it in the same process: so
files of books are told by their identity, before they are opened.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from trialbook.book.book import files_of_open_books
from trialbook.errors import InvalidInputError, NotFoundError, TrialbookError, UnreadableFileError

_CHUNK = 1024 * 1024
_STREAM_AT_MOST = 1024 * 1024 * 1024
_KINDS = (
    (stat.S_ISDIR, "a directory", "name a file in it, or all of them as DIRECTORY/*"),
    (stat.S_ISFIFO, "a pipe", "read it through 'trialbook locate -'"),
    (stat.S_ISSOCK, "a socket", "name a file"),
    (stat.S_ISCHR, "a device", "name a file"),
    (stat.S_ISBLK, "a device", "name a file"),
)
_NAMES_LOOKED_AT = 10_000


@contextmanager
def opened_file(path: Path) -> Iterator[BinaryIO]:
    """A plain file, open for reading at its beginning; links are followed.

    Raises:
        NotFoundError: There is no such file.
        InvalidInputError: It is no plain file, or a file of a book that is open.
        UnreadableFileError: It cannot be opened, or reading it failed.
    """
    try:
        before = path.stat()
    except ValueError as error:
        raise InvalidInputError(
            f"{str(path)!r} names no file: {error}", hint="name a file"
        ) from error
    except OSError as error:
        raise _refused(path, error) from error
    _refuse_others(path, before)
    try:
        # O_NONBLOCK: should a pipe have taken the file's place meanwhile, nobody waits for it.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        with os.fdopen(descriptor, "rb") as file:
            _refuse_others(path, os.fstat(descriptor))
            yield file
    except TrialbookError:
        raise
    except OSError as error:
        raise _refused(path, error) from error


def _refused(path: Path, error: OSError) -> TrialbookError:
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return _not_there(path)
    hint = {
        errno.EACCES: "ask its owner for the right to read it, or name a copy that you may read",
        errno.EPERM: "ask its owner for the right to read it, or name a copy that you may read",
        errno.ELOOP: "name the file itself: the link leads back to itself",
        errno.ENAMETOOLONG: "name a file: no name can be that long",
    }.get(error.errno or 0, "name a copy of it that can be read")
    return UnreadableFileError(
        f"the file cannot be read: {error.strerror or error}", where=str(path), hint=hint
    )


def _not_there(path: Path) -> NotFoundError:
    if path.is_symlink():
        return NotFoundError(
            f"the link {str(path)!r} leads nowhere", hint="name the file where it is now"
        )
    here = "the current directory" if path.parent == Path() else str(path.parent)
    try:
        with os.scandir(path.parent) as entries:
            names = [entry.name for entry in islice(entries, _NAMES_LOOKED_AT)]
    except OSError:
        return NotFoundError(
            f"the file {str(path)!r} is not there",
            hint=f"there is no directory {here}: name another",
        )
    near = [str(path.parent / name) for name in get_close_matches(path.name, names, n=2)]
    return NotFoundError(
        f"the file {str(path)!r} is not there",
        hint=f"did you mean {' or '.join(map(repr, near))}?" if near else f"look what is in {here}",
    )


def _refuse_others(path: Path, found: os.stat_result) -> None:
    for is_kind, name, hint in _KINDS:
        if is_kind(found.st_mode):
            raise InvalidInputError(f"{str(path)!r} is {name}, not a file", hint=hint)
    for own in files_of_open_books():
        if os.path.samestat(own.stat(), found):
            raise InvalidInputError(
                f"{str(path)!r} is a file of the book itself",
                hint="run 'trialbook ls' to see what it holds",
            )


@contextmanager
def spooled(stream: BinaryIO) -> Iterator[BinaryIO]:
    """What a stream gives, as a file that can be read twice; gone at the end.

    Raises:
        InvalidInputError: It gives more than a gibibyte.
    """
    with tempfile.TemporaryFile() as file:
        size = 0
        while chunk := stream.read(_CHUNK):
            size += len(chunk)
            if size > _STREAM_AT_MOST:
                raise InvalidInputError("more than 1 GiB comes from the pipe", hint="name a file")
            file.write(chunk)
        file.seek(0)
        yield file


def digest_of_file(file: BinaryIO) -> str:
    """SHA-256 of a file from its beginning, 64 hexadecimal digits."""
    file.seek(0)
    hashed = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        hashed.update(chunk)
    return hashed.hexdigest()
