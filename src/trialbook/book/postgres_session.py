"""Open connections to a PostgreSQL server, each as the driver's and as SQLAlchemy's.

How one is made is in ``postgres_connection.py``, what is sent on it in ``postgres_engine.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy
from sqlalchemy import Connection, Dialect
from sqlalchemy.pool import NullPool

from trialbook.book.forks import abandon
from trialbook.book.outlasting import Outage
from trialbook.book.postgres_address import Address
from trialbook.errors import BookError

if TYPE_CHECKING:
    from trialbook.book.postgres_connection import BoundedConnection, Server
    from trialbook.book.postgres_pipeline import Pipeline


@dataclass(frozen=True, slots=True)
class Session:
    """An open connection.

    Args:
        raw: The driver's.
        connection: SQLAlchemy's.
        server: What is at the other end.
        number: Its number among those of this process.
        pipeline: Sends many statements at once on it.
    """

    raw: BoundedConnection
    connection: Connection
    server: Server
    number: int
    pipeline: Pipeline

    def run(self, text: str) -> Any:
        """Send statements without values, in one round trip; the last one's cursor."""
        cursor = self.raw.cursor()
        cursor.execute(text, prepare=False)
        return cursor

    def end(self) -> None:
        """Close it, whatever state it is in."""
        with suppress(Exception):
            self.connection.invalidate()
        with suppress(Exception):
            self.connection.close()
        with suppress(Exception):
            self.raw.close()


class Sessions:
    """Opens connections to one database.

    Args:
        address: The database.
        outage: Told when the server is reached.
    """

    def __init__(self, address: Address, outage: Outage) -> None:
        try:
            from trialbook.book.postgres_connection import connected
            from trialbook.book.postgres_pipeline import Pipeline
        except ImportError as error:
            raise BookError(
                "the driver for PostgreSQL is not installed",
                hint="pip install 'trialbook[postgres]'",
            ) from error
        self._address = address
        self._outage = outage
        self._connected: Callable[..., tuple[BoundedConnection, Server]] = connected
        self._pipeline = Pipeline
        self._made = 0
        self._start()

    def _start(self) -> None:
        self._new: list[tuple[BoundedConnection, Server]] = []
        self._maker = sqlalchemy.create_engine(
            "postgresql+psycopg://",
            creator=self._created,
            poolclass=NullPool,
            pool_reset_on_return=None,
            use_native_hstore=False,
            hide_parameters=True,
        )

    @property
    def dialect(self) -> Dialect:
        """How SQLAlchemy writes statements for it."""
        return self._maker.dialect

    def _created(self) -> BoundedConnection:
        raw, server = self._connected(self._address)
        self._new.append((raw, server))
        return raw

    def opened(self) -> Session:
        """A new one."""
        self._new.clear()
        connection = self._maker.connect()
        raw, server = self._new.pop()
        self._made += 1
        self._outage.over()
        return Session(raw, connection, server, self._made, self._pipeline(raw))

    def after_fork(self) -> None:
        """In a forked child: the parent's are left alone."""
        abandon(self._maker)
        self._start()
