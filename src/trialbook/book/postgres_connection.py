"""One connection to a PostgreSQL server: making it, and waiting for its answers with a bound.

Where it leads and what is secret of that is in ``postgres_address.py``. No error raised here
has the driver's own behind it, whose traceback holds the password.
"""

from __future__ import annotations

import array
import fcntl
import termios
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.errors import error_from_result
from psycopg.generators import execute
from psycopg.pq import Conninfo, ExecStatus, TransactionStatus

from trialbook.book.postgres_address import Address
from trialbook.book.postgres_errors import BadAddressError, connection_error
from trialbook.errors import BookError

ANSWER_TIMEOUT_S = 40.0
"""How long an answer may take; longer than the server's own limit for locks."""

OLDEST_SERVER = 13

_SLOWEST_BYTES_S = 10_000
"""Data that comes at this rate or faster is waited for, however much it is."""

_WRITABLE_BYTES = 4096
_READABLE, _WRITABLE = 1, 2  # psycopg's Ready
_ABOUT = (
    "SELECT pg_backend_pid(), pg_is_in_recovery(), current_user, current_database(), "
    "coalesce(current_schema(), '')"
)


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that is given up when an answer does not come.

    Keepalives don't notice a peer whose kernel or proxy still acknowledges, nor bytes that trickle.

    Attributes:
        bound_s: How long an answer may take; ``None`` for ever.
        unanswered: Whether one took longer: what the server does is then not known.
    """

    bound_s: float | None = None
    unanswered = False

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        """See psycopg."""
        if self.bound_s is not None:
            gen = self._bounded(gen, self.bound_s)
        return super().wait(gen, *args, **kwargs)

    def _bounded(self, gen: Any, bound_s: float) -> Generator[Any, Any, Any]:
        until = time.monotonic() + bound_s
        waiting_for: Any = None
        descriptor = self.pgconn.socket
        try:
            waiting_for = next(gen)
            while True:
                ready = yield waiting_for
                if ready & _READABLE:
                    until += _available_bytes(descriptor) / _SLOWEST_BYTES_S
                elif ready & _WRITABLE:
                    until += _WRITABLE_BYTES / _SLOWEST_BYTES_S
                now_waiting_for = gen.send(ready)
                if ready:
                    waiting_for = now_waiting_for
                if time.monotonic() > until:
                    self.unanswered = True
                    raise psycopg.OperationalError(f"no answer within {bound_s:g} s")
        except StopIteration as done:
            return done.value

    def rollback(self) -> None:
        """See psycopg, which would also have the server forget all that was prepared."""
        with self.lock:
            if not self.idle:
                self.wait(self._rolling_back())

    def _rolling_back(self) -> Generator[Any, Any, None]:
        self.pgconn.send_query(b"ROLLBACK")
        for result in (yield from execute(self.pgconn)):
            if result.status != ExecStatus.COMMAND_OK:
                raise error_from_result(result, self.info.encoding)

    @property
    def lost(self) -> bool:
        """Whether nothing more can come of it."""
        return self.unanswered or self.closed or self.broken

    @property
    def idle(self) -> bool:
        """Whether no transaction is open on it."""
        return self.info.transaction_status is TransactionStatus.IDLE

    @property
    def failed(self) -> bool:
        """Whether a statement of the open transaction has failed, so that it cannot commit."""
        return self.info.transaction_status is TransactionStatus.INERROR


def _available_bytes(descriptor: int) -> int:
    size = array.array("i", [0])
    fcntl.ioctl(descriptor, termios.FIONREAD, size)
    return size[0]


@dataclass(frozen=True, slots=True)
class Server:
    """What a server says of itself and of the user.

    Args:
        version: As libpq numbers it: 170_004 for 17.4.
        standby: Whether it follows another server, and can only be read.
        user: The user.
        database: The database.
        schema: Where a new table would go; empty for nowhere.
    """

    version: int
    standby: bool
    user: str
    database: str
    schema: str


def connected(address: Address) -> tuple[BoundedConnection, Server]:
    """A new connection, in autocommit mode.

    Raises:
        BookUnreachableError: The server cannot be reached now.
        BookNotFoundError: It has no such database.
        InvalidInputError: An option of the URL is none of libpq's.
        BookError: It refuses, or is too old.
    """
    raw: BoundedConnection | None = None
    failure: BookError | KeyboardInterrupt
    try:
        _refuse_unknown(address)
        raw = BoundedConnection.connect(
            make_conninfo(
                **address.parameters,
                **{key: secret.revealed() for key, secret in address.secrets.items()},
            ),
            autocommit=True,
        )
        raw.bound_s = ANSWER_TIMEOUT_S
        return raw, _met(raw, address)
    except psycopg.Error as error:
        failure = connection_error(error, address)
    except BookError as error:
        failure = error
    except KeyboardInterrupt:  # with a traceback that holds no password
        failure = KeyboardInterrupt()
    if raw is not None:
        raw.close()
    raise failure


def _refuse_unknown(address: Address) -> None:
    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    unknown = sorted({*address.parameters, *address.secrets} - known)
    if unknown:
        raise BadAddressError(
            f"the URL has an option that libpq does not know: {unknown[0]!r}",
            where=address.shown,
        )


def _met(raw: BoundedConnection, address: Address) -> Server:
    version = raw.info.server_version
    if version < OLDEST_SERVER * 10_000:
        raise BookError(
            f"PostgreSQL {version // 10_000} is too old: {OLDEST_SERVER} is needed",
            where=address.shown,
        )
    encoding = raw.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise BookError(
            f"the database keeps its text as {encoding}, a book needs UTF8",
            where=address.shown,
            hint="make one with 'createdb --encoding=UTF8 --template=template0 NAME'",
        )
    found = raw.execute(_ABOUT, prepare=False).fetchone()
    assert found is not None
    process, standby, user, database, schema = found
    if process != raw.info.backend_pid:
        # A pooler is in between and gives each transaction to another process of the server,
        # which knows nothing of statements that were prepared on the last one.
        raw.prepare_threshold = None
    return Server(version, standby, user, database, schema)
