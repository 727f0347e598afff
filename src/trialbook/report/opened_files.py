"""Opening a file that came from anywhere: only plain files, and never one that is a book's own.

Closing any handle on an SQLite file drops the locks that SQLite holds on it in the same process: so
files of books are told by their identity, before they are opened.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from trialbook.book.book import files_of_open_books
from trialbook.errors import InvalidInputError, NotFoundError

_CHUNK = 1024 * 1024
_STREAM_AT_MOST = 1024 * 1024 * 1024
_KINDS = (
    (stat.S_ISDIR, "a directory", "name a file in it"),
    (stat.S_ISFIFO, "a pipe", "read it through 'trialbook locate -'"),
    (stat.S_ISSOCK, "a socket", None),
    (stat.S_ISCHR, "a device", None),
    (stat.S_ISBLK, "a device", None),
)


@contextmanager
def opened_file(path: Path) -> Iterator[BinaryIO]:
    """A plain file, open for reading at its beginning; links are followed.

    Raises:
        NotFoundError: There is no such file.
        InvalidInputError: It is no plain file, or a file of a book that is open.
        OSError: It cannot be read.
    """
    try:
        before = path.stat()
    except ValueError as error:
        raise InvalidInputError(f"{str(path)!r} names no file: {error}") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _not_there(path) from error
    _refuse_others(path, before)
    try:
        # O_NONBLOCK: should a pipe have taken the file's place meanwhile, nobody waits for it.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except FileNotFoundError as error:
        raise _not_there(path) from error
    with os.fdopen(descriptor, "rb") as file:
        _refuse_others(path, os.fstat(descriptor))
        yield file


def _not_there(path: Path) -> NotFoundError:
    if path.is_symlink():
        return NotFoundError(f"the link {str(path)!r} leads nowhere")
    return NotFoundError(f"the file {str(path)!r} is not there")


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
