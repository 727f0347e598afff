"""Connections to an SQLite book: locks, durability, checkpoints and forks."""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import sqlalchemy
from sqlalchemy import Connection, event
from sqlalchemy.pool import NullPool, QueuePool

from trialbook.book.forks import GATE, abandon
from trialbook.book.location import lock_path
from trialbook.book.statements import Row, Step
from trialbook.book.writelock import WriteLock
from trialbook.errors import BookCorruptError, BookError

BUSY_TIMEOUT_S = 60.0
CHECKPOINT_BYTES = 4 * 1024 * 1024
"""Size of SQLite's write-ahead log above which a commit is followed by a checkpoint."""

OLDEST_SQLITE = (3, 35, 0)
"""The first version with RETURNING."""

_RESET_BUG_FIXED = (3, 51, 3)


class SqliteEngine:
    """An SQLite file in WAL mode.

    One connection writes for each durability, under the write lock; readers have a pool. Closing
    the last connection of all processes lets SQLite tidy the log away.

    Args:
        path: Absolute path of the file.
        create: Whether to make the file when it is missing.
        read_only: Whether to refuse writes.
    """

    def __init__(self, path: Path, *, create: bool, read_only: bool) -> None:
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            raise BookError(
                f"SQLite {sqlite3.sqlite_version} is too old: 3.35 is needed",
                hint="use a Python built with a newer SQLite",
            )
        self._path = path
        self._mode = "ro" if read_only else "rwc" if create else "rw"
        self._read_only = read_only
        self._lock = WriteLock(lock_path(path), BUSY_TIMEOUT_S)
        self._wal = Path(f"{path}-wal")
        self._start()

    def _start(self) -> None:
        self._writers: dict[bool, Connection] = {}
        self._files: list[int | None] | None = None
        self._readers = self._engine(QueuePool, "BEGIN", ("PRAGMA query_only=ON",))
        self._own = threading.local()
        self._watch: sqlite3.Connection | None = None
        self._watch_lock = threading.Lock()
        self._sweep_lock = threading.Lock()
        self._checkpoint_at = CHECKPOINT_BYTES

    def _connect(self) -> sqlite3.Connection:
        uri = f"{self._path.as_uri()}?mode={self._mode}"
        if self._read_only and self._lies_still():
            uri += "&immutable=1"
        connection = sqlite3.connect(
            uri,
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        if sys.platform == "darwin":
            connection.execute("PRAGMA fullfsync=ON")
            connection.execute("PRAGMA checkpoint_fullfsync=ON")
        return connection

    def _lies_still(self) -> bool:
        """Whether nobody can be writing, so that the file may be read without shared memory.

        SQLite cannot make its shared memory in a directory that is not writable.
        """
        if os.access(self._path.parent, os.W_OK):
            return False
        return not self._wal.exists() or self._wal.stat().st_size == 0

    def _engine(
        self, pool: type[sqlalchemy.Pool], begin: str, pragmas: tuple[str, ...]
    ) -> sqlalchemy.Engine:
        def connected() -> sqlite3.Connection:
            connection = self._connect()
            try:
                for pragma in pragmas:
                    connection.execute(pragma)
            except BaseException:
                connection.close()
                raise
            return connection

        engine = sqlalchemy.create_engine(
            sqlalchemy.URL.create("sqlite", database=str(self._path)),
            creator=connected,
            poolclass=pool,
            **({"pool_size": 4, "max_overflow": 64} if pool is QueuePool else {}),
        )

        @event.listens_for(engine, "begin")
        def begun(connection: Connection) -> None:
            connection.connection.execute(begin)

        return engine

    def _writer(self, durable: bool) -> Connection:
        """The pinned connection for this durability; the write lock is held."""
        writer = self._writers.get(durable)
        if writer is None:
            pragmas = (
                # A file that was exported or put back from a backup is not in this mode.
                "PRAGMA journal_mode=WAL",
                f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}",
                "PRAGMA foreign_keys=ON",
                "PRAGMA wal_autocheckpoint=0",
                # An emptied log is cut to nothing, so that its size says how full it is.
                "PRAGMA journal_size_limit=0",
            )
            writer = self._engine(NullPool, "BEGIN IMMEDIATE", pragmas).connect()
            self._writers[durable] = writer
        return writer

    def at_once(self, steps: Sequence[Step], written: Step) -> list[Row]:
        """See ``Engine``: there is no way to a file that would be worth saving."""
        raise NotImplementedError

    @contextmanager
    def writing(self, durable: bool, *, alone: bool = False) -> Iterator[Connection]:
        """See ``Engine``; SQLite has one writer at a time in any case."""
        with self._lock.held():
            with GATE:
                self._require_same_files()
                with self._transaction(durable) as connection:
                    before = self.change_mark()
                    yield connection
                self._require_same_files()
                self._own.marks = before, self.change_mark()
            due = self._checkpoint_due()
            if due and sqlite3.sqlite_version_info < _RESET_BUG_FIXED:
                # These versions may damage a log that is written and emptied at one instant
                # (sqlite.org/wal.html#walresetbug); under the lock that cannot happen.
                self._checkpoint()
                due = False
        if due:
            self._checkpoint()

    @contextmanager
    def _transaction(self, durable: bool) -> Iterator[Connection]:
        writer = self._writer(durable)
        try:
            with writer.begin():
                yield writer
        except sqlite3.IntegrityError:
            raise
        except (sqlite3.Error, sqlalchemy.exc.DBAPIError):
            # After a refused write the connection's state is not to be relied on.
            del self._writers[durable]
            if not self._writers:
                self._files = None
            with suppress(Exception):
                writer.close()
            raise

    @contextmanager
    def creating(self) -> Iterator[Connection]:
        """See ``Engine``; also switches the file to WAL."""
        with self._lock.held(), GATE:
            switch = self._connect()
            try:
                mode = switch.execute("PRAGMA journal_mode=WAL").fetchone()[0]
                if mode != "wal":
                    raise BookError(
                        f"SQLite cannot keep a write-ahead log here (journal mode {mode!r})",
                        where=str(self._path),
                        hint="name a book on a local disk with --storage",
                    )
            finally:
                switch.close()
            with self._transaction(True) as connection:
                yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """See ``Engine``."""
        with GATE, self._readers.connect() as connection, connection.begin():
            yield connection

    def glance(self, step: Step) -> list[Row]:
        """See ``Engine``."""
        with self.reading() as connection:
            return step.statement.rows(connection, **step.values)

    def change_mark(self) -> int:
        """SQLite's ``data_version``, on a connection that is used for nothing else."""
        # The gate first: who waits for it must hold nothing that somebody inside may want.
        with GATE, self._watch_lock:
            if self._watch is None:
                self._watch = self._connect()
            mark: int = self._watch.execute("PRAGMA data_version").fetchone()[0]
            return mark

    def own_marks(self) -> tuple[int, int] | None:
        """See ``Engine``; nobody else can commit while the write lock is held."""
        return getattr(self._own, "marks", None)

    def settled(self, receipt: object) -> bool:
        """See ``Engine``; a commit on a file is never uncertain."""
        raise NotImplementedError

    def rest(self) -> None:
        """See ``Engine``; connections to a file cost nobody anything."""

    def _require_same_files(self) -> None:
        """Refuse to write into files that somebody has deleted or replaced while they were open.

        SQLite goes on in the deleted ones and says nothing, and all of it is gone at the end.
        """
        if not self._writers:
            return
        found: list[int | None] = []
        for path in (self._path, self._wal):
            try:
                found.append(os.stat(path).st_ino)  # noqa: PTH116 - twice a transaction
            except FileNotFoundError:
                found.append(None)
        # The log is made by the first transaction, and stays as long as a writer has it open.
        if self._files is None and None not in found:
            self._files = found
        if self._files is not None and found != self._files:
            raise BookCorruptError(
                "the book's files were deleted or replaced while it was open",
                where=str(self._path),
                hint="end every process that has it open, put the files back if you can, "
                "then run 'trialbook verify'",
            )

    def _checkpoint_due(self) -> bool:
        try:
            size = os.stat(self._wal).st_size  # noqa: PTH116 - once a commit
        except FileNotFoundError:
            return False
        if size < CHECKPOINT_BYTES:
            self._checkpoint_at = CHECKPOINT_BYTES
        return size > self._checkpoint_at

    def _checkpoint(self) -> None:
        """Move what the log holds into the file, as far as no reader is in the way."""
        if not self._sweep_lock.acquire(blocking=False):
            return
        try:
            with GATE:
                sweeper = self._connect()
                try:
                    found = sweeper.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                finally:
                    sweeper.close()
            busy, logged, moved = found
            if busy or moved < logged:  # a reader stood in the way: not at every commit again
                self._checkpoint_at += CHECKPOINT_BYTES
        except sqlite3.Error:
            # The transaction before it is committed. What the disk refuses now, the next write
            # or checkpoint will say.
            self._checkpoint_at += CHECKPOINT_BYTES
        finally:
            self._sweep_lock.release()

    def after_fork(self) -> None:
        """See ``Engine``."""
        abandon((self._writers, self._readers, self._watch))
        self._lock.after_fork()
        self._start()

    def close(self) -> None:
        """See ``Engine``."""
        if self._writers:
            # The last connection of all moves the log into the file: not while others write.
            with self._lock.held():
                self._close_writers()
        self._close_rest()

    def discard(self) -> None:
        """See ``Engine``."""
        # Whoever holds the write lock has the book open, so that these are not the last.
        self._close_writers()
        self._close_rest()

    def _close_writers(self) -> None:
        with GATE:
            for writer in self._writers.values():
                writer.close()
            self._writers.clear()
            self._files = None

    def _close_rest(self) -> None:
        self._lock.close()
        with GATE, self._watch_lock:
            if self._watch is not None:
                self._watch.close()
                self._watch = None
            self._readers.dispose()
