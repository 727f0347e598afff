"""Several statements to a server in one round trip, with as little work here as can be.

psycopg's own pipeline costs a process nearly as much as the round trips that it saves. Here each
statement is prepared once a connection, its values go as text, and the answers are looked at when
all of them are there.
"""

from __future__ import annotations

import select
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.generators import fetch_many, send
from psycopg.pq import ExecStatus

from trialbook.book.postgres_connection import BoundedConnection
from trialbook.book.statements import Row

_DONE = (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK)


@dataclass(frozen=True, slots=True)
class Sent:
    """A statement to be sent.

    Args:
        text: With ``$1``, ``$2``, ...
        values: For these.
        prepared: Whether it is worth preparing: the text comes again.
    """

    text: str
    values: Sequence[Any] = ()
    prepared: bool = True


class Pipeline:
    """The statements of one connection that are sent together.

    Args:
        raw: The connection, in autocommit mode.
    """

    def __init__(self, raw: BoundedConnection) -> None:
        self._raw = raw
        self._names: dict[str, bytes] = {}
        self._prepares = raw.prepare_threshold is not None
        self._values = Transformer.from_context(raw)
        self._poll = select.poll()
        self._poll.register(raw.pgconn.socket, select.POLLIN)

    @property
    def stale(self) -> bool:
        """Whether the server has said something unasked: it has closed what was idle."""
        if self._raw.lost:
            return True
        return bool(self._poll.poll(0))

    def rows(self, statements: Sequence[Sent]) -> list[list[Row]]:
        """Send them in one round trip; the rows of each.

        Once one fails, the server does none of those that follow. Then an open transaction has
        failed.

        Raises:
            psycopg.Error: The first failure.
        """
        raw = self._raw
        dumped = [self._dumped(statement.values) for statement in statements]
        with raw.lock:
            try:
                answers = raw.wait(self._exchange(statements, dumped))
            except BaseException:
                if raw.pgconn.pipeline_status:  # nobody knows what is still to come
                    raw.close()
                raise
        values, found = self._values, []
        for answer in answers:
            rows: list[Row] = []
            if answer.ntuples:
                values.set_pgresult(answer)
                rows = values.load_rows(0, answer.ntuples, tuple)
            found.append(rows)
        return found

    def _dumped(self, values: Sequence[Any]) -> Sequence[Any]:
        plain = [_array(value) if type(value) is list else value for value in values]
        return self._values.dump_sequence(plain, [PyFormat.TEXT] * len(plain))

    def _exchange(
        self, statements: Sequence[Sent], dumped: Sequence[Sequence[Any]]
    ) -> Generator[Any, Any, list[Any]]:
        pgconn = self._raw.pgconn
        pgconn.enter_pipeline_mode()
        new: dict[int, tuple[str, bytes]] = {}
        expected = 0
        for statement, values in zip(statements, dumped, strict=True):
            if not (statement.prepared and self._prepares):
                pgconn.send_query_params(statement.text.encode(), values)
                expected += 1
                continue
            name = self._names.get(statement.text)
            if name is None:
                name = f"tb_{len(self._names) + len(new)}".encode()
                pgconn.send_prepare(name, statement.text.encode())
                new[expected] = statement.text, name
                expected += 1
            pgconn.send_query_prepared(name, values)
            expected += 1
        pgconn.pipeline_sync()
        yield from send(pgconn)
        answers = []
        failed = None
        for index in range(expected):
            results = yield from fetch_many(pgconn)
            if not results:
                raise psycopg.OperationalError("the connection is lost")
            answer = results[0]
            if answer.status not in _DONE:
                failed = failed or answer
            elif index in new:
                text, name = new[index]
                self._names[text] = name
                continue
            answers.append(answer)
        yield from fetch_many(pgconn)  # the end of the pipeline
        pgconn.exit_pipeline_mode()
        if failed is not None:
            raise error_from_result(failed, self._raw.info.encoding)
        return answers


def _array(values: list[Any]) -> str:
    """An array of one dimension as the server reads it; the driver's own way takes much longer."""
    return "{" + ",".join([_element(value) for value in values]) + "}"


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f'"\\\\x{value.hex()}"'
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return str(value)
