"""Transactions on a PostgreSQL server: one connection a process, and no outcome left open.

Threads take turns at the connection. Each write transaction rewrites this client's row of
``tb_receipt``. When the connection is lost in a commit, that row says on a new connection whether
it was done; locking it waits until the old transaction has ended. (The server's transaction ids
cannot say it: after a crash it hands out the same ones again.)

Everything is set for one transaction at a time and sent with its BEGIN (``postgres_setup.py``), so
a pooler in transaction mode may stand in between. What an ordinary trial needs is sent as a whole,
BEGIN to COMMIT, in one round trip (``at_once``).
"""

from __future__ import annotations

import _thread
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from trialbook.book.forks import abandon
from trialbook.book.outlasting import Outage, Pauses
from trialbook.book.postgres_address import address_of, quoted
from trialbook.book.postgres_session import Session, Sessions
from trialbook.book.postgres_setup import BEGIN, NOW, TIDY, bare_setup, setup, whole_setup
from trialbook.book.statements import Row, Step
from trialbook.book.translation import translating
from trialbook.errors import BookBusyError, BookError, BookUncertainError, BookUnreachableError

if TYPE_CHECKING:
    from trialbook.book.postgres_connection import Server
    from trialbook.book.postgres_pipeline import Sent

LEAST_PATIENCE_S = 10.0
"""How long the outcome of a commit is asked for at the least."""

_CREATING = 0x7472_6961_6C62_6F6B


class PostgresEngine:
    """A PostgreSQL database.

    A thread that reads inside its own transaction reads in that transaction; one that writes
    while it reads gets a second connection for so long.

    Args:
        url: ``postgresql://USER:PASSWORD@HOST/DATABASE?schema=NAME``.
        read_only: Whether to refuse writes.
        outage: Told when the server is reached or lost.
    """

    def __init__(self, url: str, *, read_only: bool, outage: Outage) -> None:
        self._address = address_of(url)
        self._read_only = read_only
        self._outage = outage
        self._sessions = Sessions(self._address, outage)
        from trialbook.book.postgres_pipeline import Sent  # there with the driver

        self._sent = Sent
        schema = self._address.schema
        self._path = "" if schema is None else f"SET LOCAL search_path TO {quoted(schema)}; "
        self._start()

    def __repr__(self) -> str:
        return f"PostgresEngine({self._address.shown!r})"

    def _start(self) -> None:
        self._turn = threading.RLock()
        self._session: Session | None = None
        self._open: Session | None = None
        self._writes = False
        self._new_client()

    def _new_client(self) -> None:
        self._client = uuid.uuid4().hex
        self._number = 0

    # Connections.

    def _drop(self, session: Session) -> None:
        if session is self._session:
            self._session = None
        session.end()

    def _begun(self, text: Callable[[Server], str]) -> Session:
        """The connection, with a transaction that begins with these statements."""
        session = self._session
        if session is not None:
            try:
                session.run(text(session.server))
                return session
            except Exception:
                lost = session.raw.lost
                self._drop(session)
                if not lost:
                    raise
            except BaseException:  # an interrupt leaves the connection in the midst of it
                self._drop(session)
                raise
        # The server or something in between has closed what was idle; nothing is lost by that.
        session = self._session = self._sessions.opened()
        try:
            session.run(text(session.server))
        except BaseException:
            self._drop(session)
            raise
        return session

    @contextmanager
    def _in_turn(self, *, writes: bool) -> Iterator[Session | None]:
        """This thread's turn; what it has open already when it takes it once more."""
        with self._turn:
            session = self._open
            if session is None or not writes:
                yield session
                return
            if self._writes:
                raise RuntimeError("this thread has a write transaction open already")
            # Reading has a state of its own, which a write cannot join.
            pinned, self._session, self._open = self._session, None, None
            try:
                yield None
            finally:
                if self._session is not None:
                    self._session.end()
                self._session, self._open, self._writes = pinned, session, False

    # Transactions.

    @contextmanager
    def writing(self, durable: bool, *, alone: bool = False) -> Iterator[Connection]:
        """See ``Engine``.

        Every commit waits for the disk: a server that crashes would lose the others, and with
        them claims and points that other processes have seen.
        """
        with self._in_turn(writes=True):
            self._number += 1
            number = self._number
            session = self._begun(
                lambda server: setup(self._path, server.version, self._client, number, alone=alone)
            )
            with self._transaction(session, writes=True) as connection:
                yield connection
            self._commit(session, number)

    def at_once(self, steps: Sequence[Step], written: Step) -> list[Row]:
        """See ``Engine``."""
        with self._in_turn(writes=True):
            for last_try in (False, True):
                self._number += 1
                number = self._number
                session = self._awake()
                try:
                    found = session.pipeline.rows(self._whole(session.server, number, steps))
                    return steps[-1].statement.made(self._sessions.dialect, found[-2])
                except BaseException as error:
                    interrupted = isinstance(error, KeyboardInterrupt)
                    if not session.raw.lost and not interrupted:
                        self._roll_back(session)
                        raise
                    self._drop(session)
                    if self._found_out(number):
                        self._interrupt_later(interrupted)
                        break
                    if last_try or interrupted:
                        raise
            with self.reading() as connection:
                return written.statement.rows(connection, **written.values, client_=self._client)

    def _awake(self) -> Session:
        """The connection, a new one when the server has closed it while it was idle."""
        session = self._session
        if session is None or session.pipeline.stale:
            return self._begun(lambda _: "SELECT 1")
        return session

    def _whole(self, server: Server, number: int, steps: Sequence[Step]) -> list[Sent]:
        """All statements of a write transaction."""
        *begin, receipt = whole_setup(self._path, server.version)
        sent = [*map(self._sent, begin), self._sent(receipt, (self._client, number))]
        if number == 1:
            sent.append(self._sent(TIDY, prepared=False))
        dialect = self._sessions.dialect
        for step in steps:
            text, values = step.statement.numbered(
                dialect, {**step.values, "client_": self._client}
            )
            sent.append(self._sent(text, values))
        sent.append(self._sent("COMMIT", prepared=False))
        return sent

    @contextmanager
    def _transaction(self, session: Session, *, writes: bool) -> Iterator[Connection]:
        """The block of a transaction that has begun; it is rolled back on an error."""
        self._open, self._writes = session, writes
        try:
            session.connection.begin()
            yield session.connection
        except BaseException:
            self._roll_back(session)
            raise
        finally:
            self._open, self._writes = None, False

    def _roll_back(self, session: Session) -> None:
        with suppress(Exception):
            session.connection.rollback()
            if not session.raw.idle:
                session.raw.rollback()
        if session.raw.lost or not session.raw.idle:
            self._drop(session)

    def _commit(self, session: Session, number: int | None) -> None:
        """Commit; on return it is done, and with an error it is not.

        Raises:
            BookUnreachableError: The server went away and has not committed.
            BookUncertainError: It went away, and did not come back to say.
        """
        if session.raw.lost:
            self._drop(session)
            raise BookUnreachableError(
                "the server went away, nothing of the transaction is stored",
                where=self._address.shown,
            )
        if session.raw.failed:
            self._roll_back(session)
            raise BookError(
                "a statement of the transaction had failed, nothing of it is stored",
                where=self._address.shown,
            )
        try:
            session.connection.commit()
        except BaseException as error:
            interrupted = isinstance(error, KeyboardInterrupt)
            if not session.raw.lost and not interrupted:
                self._roll_back(session)
                raise
            self._drop(session)
            if number is None or not self._found_out(number):
                raise
            self._interrupt_later(interrupted)

    def _interrupt_later(self, interrupted: bool) -> None:
        """Not to forget an interrupt that came in the middle of what is done now."""
        if interrupted:
            threading.Timer(0.02, _thread.interrupt_main).start()

    def _found_out(self, number: int) -> bool:
        """Whether a transaction of this client was committed, asked until the server says."""
        pauses = Pauses(max(self._outage.patience_s, LEAST_PATIENCE_S))
        receipt = (self._client, number)
        try:
            while True:
                try:
                    return self._asked(*receipt)
                except (BookUnreachableError, BookBusyError) as error:
                    if self._outage.given_up or not pauses.left:
                        raise _uncertain(self._address.shown, receipt) from error
                    if isinstance(error, BookUnreachableError):
                        self._outage.noticed(error)
                    pauses.take()
        except BaseException as error:
            # The row must stay as it is, so that it can still be asked.
            self._new_client()
            error.receipt = receipt  # type: ignore[attr-defined]
            raise

    def _asked(self, client: str, number: int) -> bool:
        with translating(self._address.shown):
            begin = bare_setup(self._path)
            session = self._begun(lambda _: begin)
            try:
                # Inserted or found, the row waits for a transaction that still has it.
                row = session.run(
                    f"INSERT INTO tb_receipt (client, number, at) VALUES ('{client}', 0, {NOW}) "
                    "ON CONFLICT (client) DO UPDATE SET at = excluded.at RETURNING number"
                ).fetchone()
            finally:
                self._roll_back(session)
        return row is not None and int(row[0]) == number

    def settled(self, receipt: object) -> bool:
        """See ``Engine``."""
        assert isinstance(receipt, tuple)
        client, number = receipt
        with self._in_turn(writes=True):
            return self._asked(client, number)

    @contextmanager
    def creating(self) -> Iterator[Connection]:
        """See ``Engine``; also makes the database schema that the URL names."""
        with self._in_turn(writes=True):
            begin = f"{BEGIN}; SELECT pg_advisory_xact_lock({_CREATING})"
            session = self._begun(lambda _: begin)
            session.raw.bound_s = None  # moving a large book's tables takes its time
            try:
                with self._transaction(session, writes=True) as connection:
                    missing = self._schema_to_make(session)
                    with self._naming_the_grant(session, missing):
                        if missing is not None:
                            session.run(f"CREATE SCHEMA {quoted(missing)}")
                        if self._path:
                            session.run(self._path)
                        yield connection
                self._commit(session, None)
            finally:
                self._drop(session)

    def _schema_to_make(self, session: Session) -> str | None:
        name = self._address.schema
        if name is None:
            return None
        cursor = session.raw.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (name,))
        return name if cursor.fetchone() is None else None

    @contextmanager
    def _naming_the_grant(self, session: Session, missing: str | None) -> Iterator[None]:
        from trialbook.book.postgres_errors import may_not_create

        try:
            yield
        except Exception as error:
            said = getattr(error, "orig", None) or error
            if getattr(said, "sqlstate", None) not in ("42501", "3F000"):
                raise
            raise may_not_create(
                said,
                where=self._address.shown,
                user=session.server.user,
                database=session.server.database,
                schema=missing,
                at=self._address.schema or session.server.schema,
            ) from error

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """See ``Engine``."""
        with self._in_turn(writes=False) as session:
            if session is not None:
                yield session.connection
                return
            begin = f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {self._path}"
            session = self._begun(lambda _: begin)
            with self._transaction(session, writes=False) as connection:
                yield connection
            self._commit(session, None)  # after a ROLLBACK the driver forgets what it prepared

    def glance(self, step: Step) -> list[Row]:
        """See ``Engine``: without a transaction there is no round trip to begin and to end it."""
        if self._path:  # which is set for a transaction only
            with self.reading() as connection:
                return step.statement.rows(connection, **step.values)
        dialect = self._sessions.dialect
        with self._in_turn(writes=False) as open_already:
            session = open_already or self._awake()
            try:
                sent = self._sent(*step.statement.numbered(dialect, step.values))
                (found,) = session.pipeline.rows([sent])
            except BaseException:
                if session is not open_already:
                    self._drop(session)
                raise
        return step.statement.made(dialect, found)

    def change_mark(self) -> tuple[int, str] | None:
        """See ``Engine``: which transactions the server lets a reader see now.

        Every commit changes that, also one of another book on the server.
        """
        with self._in_turn(writes=False) as session:
            if session is not None:
                return None
            for _ in range(2):
                session = self._session or self._begun(lambda _: "SELECT 1")
                if session.server.standby:  # it does not list what runs on the other server
                    return None
                try:
                    row = session.raw.execute("SELECT pg_current_snapshot()::text").fetchone()
                except Exception:
                    lost = session.raw.lost
                    self._drop(session)
                    if not lost:
                        raise
                else:
                    return session.number, str(row[0]) if row is not None else ""
            return None

    def own_marks(self) -> None:
        """See ``Engine``: others may have committed meanwhile."""
        return

    def rest(self) -> None:
        """See ``Engine``."""
        with self._turn:
            if self._open is None and self._session is not None:
                self._drop(self._session)

    def after_fork(self) -> None:
        """See ``Engine``."""
        abandon((self._session, self._open))
        self._sessions.after_fork()
        self._start()

    def close(self) -> None:
        """See ``Engine``."""
        with self._turn:
            session = self._session
            if session is None or self._open is not None:
                return
            if self._number and not session.raw.lost:
                with suppress(Exception):  # else somebody tidies up later
                    session.run(
                        f"BEGIN; {self._path}SET LOCAL synchronous_commit = off; "
                        f"DELETE FROM tb_receipt WHERE client = '{self._client}'; COMMIT"
                    )
                self._new_client()
            self._drop(session)

    def discard(self) -> None:
        """See ``Engine``."""
        if self._session is not None:
            self._drop(self._session)


def _uncertain(where: str, receipt: tuple[str, int]) -> BookUncertainError:
    return BookUncertainError(
        "the server went away in a commit and did not come back to say whether it was done",
        receipt=receipt,
        where=where,
        hint="look whether it runs and can be reached from here",
    )
