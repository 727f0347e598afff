"""Ends a process at its N-th write call.

Counted are the points before each statement that changes a row, before and after each COMMIT,
before and after each transaction that is sent as a whole, and before each change of a file below a
place. No part of the product knows of it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import sqlalchemy.engine.default
import sqlalchemy.pool.base

from trialbook.book.postgres_pipeline import Pipeline

_CHANGING = ("INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "DROP")
_FILE_EVENTS = ("open", "os.rename", "os.remove", "os.link", "os.mkdir", "os.truncate")


class Points:
    """Counts the write calls of this process and ends it at one of them."""

    def __init__(self, fatal: int) -> None:
        self._fatal = fatal
        self.count = 0
        self._own = threading.local()

    def point(self, what: str) -> None:
        self.count += 1
        if self.count == self._fatal:
            with suppress(OSError):
                os.write(3, f"{what}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)
            signal.pause()  # in a thread the signal takes a moment

    def install(self, place: Path) -> None:
        points = self

        class Cursor:
            def __init__(self, cursor: Any) -> None:
                self._cursor = cursor

            def __getattr__(self, name: str) -> Any:
                return getattr(self._cursor, name)

            def __iter__(self) -> Any:
                return iter(self._cursor)

            def execute(self, text: str, *values: Any, **more: Any) -> Any:
                points.statement(text)
                return self._cursor.execute(text, *values, **more)

            def executemany(self, text: str, *values: Any, **more: Any) -> Any:
                points.statement(text)
                return self._cursor.executemany(text, *values, **more)

        fairy: Any = sqlalchemy.pool.base._ConnectionFairy
        plain = fairy.cursor
        fairy.cursor = lambda self, *args, **more: Cursor(plain(self, *args, **more))
        dialect: Any = sqlalchemy.engine.default.DefaultDialect
        commit = dialect.do_commit

        def do_commit(self: Any, connection: Any) -> None:
            changed, points._own.changed = getattr(points._own, "changed", False), False
            if changed:  # reading ends with a COMMIT as well
                points.point("before COMMIT")
            commit(self, connection)
            if changed:
                points.point("after COMMIT")

        dialect.do_commit = do_commit
        rows = Pipeline.rows

        def sent(self: Pipeline, statements: Any) -> Any:
            whole = statements[-1].text == "COMMIT"
            if whole:
                changing = " ".join(statements[-2].text.split())[:60]
                points.point(f"before a whole transaction: {changing}")
            found = rows(self, statements)
            if whole:
                points.point(f"after a whole transaction: {changing}")
            return found

        pipeline: Any = Pipeline
        pipeline.rows = sent
        below = str(place)

        def heard(event: str, arguments: tuple[Any, ...]) -> None:
            if event not in _FILE_EVENTS or not str(arguments[0]).startswith(below):
                return
            if event == "open" and not (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR):
                return
            if not str(arguments[0]).endswith(("acknowledged", "said")):
                points.point(f"{event} {arguments[0]}")

        sys.addaudithook(heard)

    def statement(self, text: str) -> None:
        if text.lstrip().upper().startswith(_CHANGING):
            self._own.changed = True
            self.point(" ".join(text.split())[:60])
