"""Digests of data files that workers have hashed, so that others that see them need not.

What identifies a file is its worker's to say (``capture/shared_digests.py``). A row is a saving and
no record: deleting all of them costs time and nothing else.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, delete, select

from trialbook.book import schema
from trialbook.book.book import Book
from trialbook.book.statements import insert_or_update
from trialbook.records.data import HashedFile

_NAMED = 500
_KEPT_S = 365 * 86400.0

_f = schema.hashed_file.c
_put = insert_or_update(schema.hashed_file, "digest", "host", "at")


def known(book: Book, keys: Sequence[str]) -> dict[str, str]:
    """The digests of those of the files that a worker has hashed, by key."""
    found: dict[str, str] = {}
    with book.reading() as connection:
        for start in range(0, len(keys), _NAMED):
            rows = connection.execute(
                select(_f.key, _f.digest).where(_f.key.in_(keys[start : start + _NAMED]))
            )
            found.update((row.key, row.digest) for row in rows)
    return found


def learned(book: Book, files: Iterable[HashedFile]) -> None:
    """Keep what a worker has hashed; what is known already costs a look and no writing."""
    wanted = {file.key: file for file in files}
    there = known(book, list(wanted)) if wanted else {}
    # In one order for everybody, so that two who learn the same never wait for each other.
    new = [file for key, file in sorted(wanted.items()) if there.get(key) != file.digest]
    if not new:
        return
    host, now_s = socket.gethostname(), time.time()
    with book.writing() as connection:
        _put.many(
            connection,
            (
                {
                    "key": file.key,
                    "path": file.path,
                    "size": file.size_bytes,
                    "mtime_ns": file.mtime_ns,
                    "digest": file.digest,
                    "host": host,
                    "at": now_s,
                }
                for file in new
            ),
        )


def forget_old(connection: Connection) -> None:
    """Drop what was hashed a year ago; whoever still needs it hashes it again."""
    connection.execute(delete(schema.hashed_file).where(_f.at < time.time() - _KEPT_S))
