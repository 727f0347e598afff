"""An open book: its identity, its engine, and the transactions that everything else runs in.

What the tables mean is in the rooms that use them (``studies.py``, ``trials.py``, ...).
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from trialbook.book import forks, migration
from trialbook.book.engine import Engine, engine_of
from trialbook.book.location import (
    DIRECTORY,
    blob_directory,
    book_files,
    book_url,
    redacted_url,
    refuse_network,
    sqlite_path,
)
from trialbook.book.outlasting import PATIENCE_S, Outage
from trialbook.book.statements import Row, Step
from trialbook.book.translation import translating
from trialbook.errors import (
    BookForeignError,
    BookNotFoundError,
    BookReadOnlyError,
)


class Book:
    """A book, opened by ``Book.open``. Threads may share it; forks and pickles open it anew.

    Attributes:
        book_id: The book's identity, which moves with it.
        url: Its storage URL without a password.
        path: The SQLite file, ``None`` on a server.
        read_only: Whether writes are refused.
        writes: Number of write transactions that this process has begun.
        outage: What is known of a server that cannot be reached, and how long to wait for it.
    """

    def __init__(
        self, location: str, *, create: bool, read_only: bool, patience_s: float | None = None
    ) -> None:
        # The location has the password, so it is neither shown nor pickled.
        self._opened_to_write: Callable[[], Book] = lambda: Book(
            location, create=False, read_only=False
        )
        self.url = redacted_url(location)
        self.path = sqlite_path(location)
        self.read_only = read_only
        self.writes = 0
        if self.path is not None:
            _prepare(self.path, create and not read_only)
        self.outage = Outage(self.url, PATIENCE_S if patience_s is None else patience_s)
        with translating(self.url):
            self._engine: Engine = engine_of(
                location, create=create, read_only=read_only, outage=self.outage
            )
        try:
            # Whoever has said how long to wait, waits here too; a command fails at once.
            self.book_id = self.outage.outlast(
                lambda: self._identified(create and not read_only), patience_s or 0.0
            )
        except BaseException:
            self._engine.close()
            raise
        _open_books.add(self)
        # A book that is dropped without being closed leaves no connection open.
        weakref.finalize(self, self._engine.discard).atexit = False

    @classmethod
    def open(
        cls,
        url: str | Path | None = None,
        *,
        create: bool = True,
        read_only: bool = False,
        patience_s: float | None = None,
    ) -> Book:
        """Open a book.

        Args:
            url: Its storage, as in ``book_url``.
            create: Whether to make it when it is not there.
            read_only: Whether to refuse writes; never creates.
            patience_s: How long to wait for a server that cannot be reached, now and later, in
                seconds. ``None``: fail at once now, and wait ten minutes later.

        Raises:
            BookNotFoundError: It is not there, and ``create`` is false.
            BookForeignError: The database holds something else.
            BookVersionError: The book is of a schema that this program does not know.
            BookCorruptError: The file is not a database, or damaged.
            BookNetworkError: An SQLite file on a network file system.
            BookReadOnlyError: It cannot be made or written there.
            BookUnreachableError: Its server cannot be reached.
        """
        location = book_url(url)
        return cls(location, create=create, read_only=read_only, patience_s=patience_s)

    def __repr__(self) -> str:
        return f"Book({self.url!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {
            "url": self.url,
            "read_only": self.read_only,
            "book_id": self.book_id,
            "patience_s": self.outage.patience_s,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(  # type: ignore[misc]
            state["url"],
            create=False,
            read_only=state["read_only"],
            patience_s=state["patience_s"],
        )
        if self.book_id != state["book_id"]:
            self.close()
            raise BookForeignError("another book lies where the pickled one was", where=self.url)

    def writable(self) -> Book:
        """This book, or one opened anew when this one is read-only; the caller closes that one.

        Raises:
            BookReadOnlyError: It cannot be written there.
        """
        return self if not self.read_only else self._opened_to_write()

    @property
    def blob_directory(self) -> Path | None:
        """Where larger blobs lie as files, ``None`` when the database holds them all."""
        return None if self.path is None else blob_directory(self.path)

    @contextmanager
    def writing(self, durable: bool = False, *, alone: bool = False) -> Iterator[Connection]:
        """A write transaction: committed at the end of the block, rolled back on an error.

        Args:
            durable: Whether the commit must survive power loss; else it survives the death of
                this process.
            alone: Whether no other write transaction of anybody may run meanwhile.

        Raises:
            BookUnreachableError: The server went away; nothing of it is stored.
            BookUncertainError: The server went away in the commit and did not come back.
            BookError: The database refused; which error of the tree says why.
        """
        self._begin_to_write()
        with translating(self.url), self._engine.writing(durable, alone=alone) as connection:
            yield connection

    def at_once(self, steps: Sequence[Step], written: Step) -> list[Row]:
        """A durable write transaction in one round trip, see ``Engine.at_once``; servers only.

        Raises:
            BookUnreachableError: The server went away; nothing of it is stored.
            BookUncertainError: The server went away meanwhile and did not come back.
            BookError: The database refused; which error of the tree says why.
        """
        self._begin_to_write()
        with translating(self.url):
            return self._engine.at_once(steps, written)

    def _begin_to_write(self) -> None:
        if self.read_only:
            raise BookReadOnlyError("the book is open for reading only", where=self.url)
        self.writes += 1

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A read transaction on one state of the book; it must not outlive a call.

        Raises:
            BookError: The database refused.
        """
        with translating(self.url), self._engine.reading() as connection:
            yield connection

    def glance(self, step: Step) -> list[Row]:
        """The rows of one statement that reads by itself; cheaper than ``reading``.

        Raises:
            BookError: The database refused.
        """
        with translating(self.url):
            return self._engine.glance(step)

    def change_mark(self) -> Hashable | None:
        """A value that stays the same while nobody commits; ``None`` where there is none."""
        with translating(self.url):
            return self._engine.change_mark()

    def own_marks(self) -> tuple[Hashable, Hashable] | None:
        """The change marks before and after this thread's last write transaction, if there are."""
        return self._engine.own_marks()

    def settled(self, receipt: object) -> bool:
        """Whether the transaction of a ``BookUncertainError`` was committed.

        Args:
            receipt: As the error carries it.

        Raises:
            BookUnreachableError: The server still cannot be reached.
        """
        return self._engine.settled(receipt)

    def rest(self) -> None:
        """Close an idle connection to a server; a later use opens a new one."""
        self._engine.rest()

    def close(self) -> None:
        """Close every connection; a later use opens new ones."""
        self._engine.close()

    def _identified(self, create: bool) -> str:
        with translating(self.url):
            identity = self._looked_up(create)
            if identity is not None:
                return identity
            if not create:
                if self.path is not None and self.path.stat().st_size == 0:
                    raise BookNotFoundError("there is no book", where=self.url)
                raise BookForeignError(
                    "the database holds no book",
                    where=self.url,
                    hint="run 'trialbook storage init' to make one, or name another --storage",
                )
            with self._engine.creating() as connection:
                identity = migration.book_id(connection)  # another process may have been first
                if identity is None:
                    identity = migration.make_tables(connection)
        return identity

    def _looked_up(self, create: bool) -> str | None:
        with self._engine.reading() as connection:
            identity = migration.book_id(connection, self.url)
            if identity is None and create:  # in one transaction: a book may come to be meanwhile
                migration.refuse_foreign(connection)
            return identity

    def _after_fork(self) -> None:
        self.outage.after_fork()
        self._engine.after_fork()


def _prepare(path: Path, create: bool) -> None:
    """Look at the place of an SQLite file before SQLite does."""
    refuse_network(path)
    if not path.exists():
        if not create:
            raise BookNotFoundError(
                "there is no book",
                where=str(path),
                hint="run 'trialbook storage init' to make one, or name another with --storage",
            )
        _make_directory(path.parent)
        return
    if not path.is_file():
        raise BookForeignError("what is there is not a file", where=str(path))


def _make_directory(directory: Path) -> None:
    try:
        new = not directory.exists()
        directory.mkdir(parents=True, exist_ok=True)
        ignore = directory / ".gitignore"
        if directory.name == DIRECTORY and (new or not ignore.exists()):
            ignore.write_text("*\n")
    except OSError as error:
        raise BookReadOnlyError(
            f"the directory of the book cannot be made ({error.strerror})",
            where=str(directory),
            hint="make it yourself, or name another place with --storage",
        ) from error


_open_books: weakref.WeakSet[Book] = weakref.WeakSet()


def files_of_open_books() -> tuple[Path, ...]:
    """Files of SQLite books that this process has open: opening them otherwise drops their locks.

    Directories are left out, so blobs that lie beside a book are not among them.
    """
    found = {path for book in list(_open_books) for path in book_files(book.url)}
    return tuple(sorted(path for path in found if path.is_file()))


def _after_fork() -> None:
    for book in list(_open_books):
        book._after_fork()


# Hooks run in the order in which they are registered, and closing what a child must not use passes
# the gate: so the gate's come first.
assert forks.GATE
os.register_at_fork(after_in_child=_after_fork)
