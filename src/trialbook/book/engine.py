"""What a book needs of its database, and which engine gives it.

Transactions, locks, durability and forks are an engine's; what the tables mean is not known to
it. An engine is shared by threads. It does not cross a fork: the child starts anew.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from sqlalchemy import Connection

from trialbook.book.location import SERVER_SCHEMES, redacted_url, sqlite_path
from trialbook.book.outlasting import Outage
from trialbook.book.statements import Row, Step
from trialbook.errors import InvalidInputError


class Engine(Protocol):
    """What a book needs of its database."""

    def writing(self, durable: bool, *, alone: bool = False) -> AbstractContextManager[Connection]:
        """A write transaction: committed at the end of the block, rolled back on an error.

        Args:
            durable: Whether the commit must survive power loss.
            alone: Whether no other write transaction may run meanwhile.
        """

    def at_once(self, steps: Sequence[Step], written: Step) -> list[Row]:
        """A durable write transaction of these statements and nothing else, told all at once.

        Only servers can; each statement may name the parameter ``client_``.

        Args:
            steps: The statements. They change something, or the last one gives no row.
            written: Gives the rows of the last one when the transaction was committed and its
                answer was lost. A row of this transaction has the ``xmin`` of the row of
                ``client_`` in ``tb_receipt``.

        Returns:
            The rows of the last statement.
        """

    def reading(self) -> AbstractContextManager[Connection]:
        """A read transaction on one state of the book."""

    def glance(self, step: Step) -> list[Row]:
        """The rows of one statement that reads by itself."""

    def creating(self) -> AbstractContextManager[Connection]:
        """A write transaction that only one process at a time can have, to make the tables."""

    def change_mark(self) -> Hashable | None:
        """A value that stays the same as long as nobody commits; ``None`` if there is none."""

    def own_marks(self) -> tuple[Hashable, Hashable] | None:
        """The change marks before and after this thread's last write transaction.

        Whoever was as new as the first mark and knows what the transaction changed is as new as
        the second one. ``None`` where there are no marks.
        """

    def settled(self, receipt: object) -> bool:
        """Whether the transaction of a ``BookUncertainError`` was committed.

        Args:
            receipt: As the error carries it.

        Raises:
            BookUnreachableError: The server cannot be reached.
        """

    def rest(self) -> None:
        """Close connections that are idle; a later use opens new ones."""

    def after_fork(self) -> None:
        """In a forked child: drop every connection without touching it."""

    def close(self) -> None:
        """Close every connection; the engine opens new ones when it is used again."""

    def discard(self) -> None:
        """Close every connection without waiting for anybody, when nobody uses the engine.

        Garbage is collected anywhere, even inside a transaction of another engine on the same
        book, whose lock this thread then holds itself.
        """


def engine_of(url: str, *, create: bool, read_only: bool, outage: Outage | None = None) -> Engine:
    """The engine for a storage URL, without connecting yet.

    Args:
        url: As ``book_url`` gives it.
        create: Whether to make a file that is missing.
        read_only: Whether to refuse writes.
        outage: Told when a server is reached or lost; ``None`` when nobody waits for one.

    Raises:
        InvalidInputError: The URL's database is neither SQLite nor PostgreSQL, or is written
            badly.
        BookError: The driver is not installed, or too old.
    """
    path = sqlite_path(url)
    if path is not None:
        from trialbook.book.sqlite_engine import SqliteEngine

        return SqliteEngine(path, create=create, read_only=read_only)
    scheme = url.partition("://")[0].partition("+")[0]
    if scheme in SERVER_SCHEMES:
        from trialbook.book.postgres_engine import PostgresEngine

        outage = Outage(redacted_url(url), 0.0) if outage is None else outage
        return PostgresEngine(url, read_only=read_only, outage=outage)
    raise InvalidInputError(
        f"a book cannot be kept in {scheme!r}",
        hint="use a file's path, sqlite:///FILE or postgresql://USER@HOST/DATABASE",
    )


def is_sqlite(connection: Any) -> bool:
    """Whether a connection leads to an SQLite file."""
    return bool(connection.dialect.name == "sqlite")
