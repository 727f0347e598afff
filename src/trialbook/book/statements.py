"""SQL that is written with SQLAlchemy Core once, compiled once a dialect, and run on the driver.

Core's own execution costs some 50 microseconds a statement, a trial runs dozens of them, so the
rooms that write trials keep their statements here-made at module level. Values pass through the
column types on their way in and out, as with Core.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Dialect, Float, Table
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql.expression import ClauseElement

Row = tuple[Any, ...]
_Processor = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class _Compiled:
    text: str
    names: tuple[str, ...]
    positional: bool
    defaults: Mapping[str, Any]
    bind: Mapping[str, _Processor]
    result: tuple[tuple[int, _Processor], ...]

    def bound(self, names: Sequence[str], values: Mapping[str, Any]) -> list[Any]:
        found = []
        for name in names:
            value = values[name] if name in values else self.defaults[name]
            processor = self.bind.get(name)
            found.append(value if processor is None else processor(value))
        return found

    def arguments(self, values: Mapping[str, Any]) -> Any:
        found = self.bound(self.names, values)
        return found if self.positional else dict(zip(self.names, found, strict=True))

    def row(self, row: Sequence[Any]) -> Row:
        if not self.result:
            return tuple(row)
        changed = list(row)
        for index, processor in self.result:
            changed[index] = processor(changed[index])
        return tuple(changed)


class Statement:
    """One statement with named parameters.

    Args:
        clause: The statement, or a function that gives it for a dialect.
    """

    def __init__(self, clause: ClauseElement | Callable[[Dialect], ClauseElement]) -> None:
        self._clause = clause
        self._compiled: dict[str, _Compiled] = {}
        self._numbered: tuple[str, tuple[str, ...]] | None = None

    def _for(self, dialect: Dialect) -> _Compiled:
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            compiled = self._compiled[dialect.name] = self._compile(dialect)
        return compiled

    def _compiled_by(self, dialect: Dialect) -> Any:
        clause = self._clause
        if not isinstance(clause, ClauseElement):
            clause = clause(dialect)
        return clause.compile(dialect=dialect)

    def _compile(self, dialect: Dialect) -> _Compiled:
        compiled = self._compiled_by(dialect)
        positional = bool(compiled.positional)
        names = tuple(compiled.positiontup) if positional else tuple(compiled.binds)
        binds = compiled.binds
        bind = {}
        for name in names:
            processor = binds[name].type.dialect_impl(dialect).bind_processor(dialect)
            if processor is not None:
                bind[name] = processor
        result = []
        for index, column in enumerate(compiled._result_columns):
            if isinstance(column.type, Float):  # both drivers give floats, and no type code here
                continue
            processor = column.type.dialect_impl(dialect).result_processor(dialect, None)
            if processor is not None:
                result.append((index, processor))
        defaults = {n: binds[n].effective_value for n in names if not binds[n].required}
        return _Compiled(str(compiled), names, positional, defaults, bind, tuple(result))

    def numbered(self, dialect: Dialect, values: Mapping[str, Any]) -> tuple[str, list[Any]]:
        """The text with ``$1``, ``$2``, ..., as a server takes it, and the values for these."""
        compiled = self._for(dialect)
        if self._numbered is None:
            whole = self._compiled_by(dialect)
            self._numbered = _numbered(str(whole), whole.binds, dialect)
        text, names = self._numbered
        return text, compiled.bound(names, values)

    def made(self, dialect: Dialect, rows: Sequence[Row]) -> list[Row]:
        """Rows of it as they came from the driver, with values as the columns' types have them."""
        compiled = self._for(dialect)
        return [compiled.row(row) for row in rows]

    def given(self, **values: Any) -> Step:
        """The statement with values, as a step of ``Engine.at_once``."""
        return Step(self, values)

    def run(self, connection: Connection, **values: Any) -> int:
        """Execute; the number of rows that it changed."""
        compiled = self._for(connection.dialect)
        cursor = connection.connection.cursor()
        cursor.execute(compiled.text, compiled.arguments(values))
        count: int = cursor.rowcount
        cursor.close()
        return count

    def many(self, connection: Connection, values: Iterable[Mapping[str, Any]]) -> None:
        """Execute once for each set of values."""
        compiled = self._for(connection.dialect)
        cursor = connection.connection.cursor()
        cursor.executemany(compiled.text, [compiled.arguments(item) for item in values])
        cursor.close()

    def rows(self, connection: Connection, **values: Any) -> list[Row]:
        """Execute; every row that it gives."""
        compiled = self._for(connection.dialect)
        cursor = connection.connection.cursor()
        cursor.execute(compiled.text, compiled.arguments(values))
        found = cursor.fetchall()
        cursor.close()
        return [compiled.row(row) for row in found]

    def asked(self, connection: Connection, **values: Any) -> Callable[[], list[Row]]:
        """Ask for every row; what gives them, when it is called (see ``together``)."""
        if connection.dialect.name != "postgresql":
            return lambda: self.rows(connection, **values)
        compiled = self._for(connection.dialect)
        cursor = connection.connection.cursor()
        cursor.execute(compiled.text, compiled.arguments(values))

        def answer() -> list[Row]:
            found = cursor.fetchall()
            cursor.close()
            return [compiled.row(row) for row in found]

        return answer

    def row(self, connection: Connection, **values: Any) -> Row | None:
        """Execute; the first row that it gives, ``None`` when there is none."""
        compiled = self._for(connection.dialect)
        cursor = connection.connection.cursor()
        cursor.execute(compiled.text, compiled.arguments(values))
        found = cursor.fetchone()
        cursor.close()
        return None if found is None else compiled.row(found)


@dataclass(frozen=True, slots=True)
class Step:
    """A statement with its values, to be run together with others."""

    statement: Statement
    values: Mapping[str, Any]


def _numbered(text: str, binds: Mapping[str, Any], dialect: Dialect) -> tuple[str, tuple[str, ...]]:
    """A text with ``$1``, ``$2``, ... for the driver's ``%(name)s``, and the names in that order.

    Values that the statement brings itself are written out.
    """
    names: list[str] = []

    def replaced(found: re.Match[str]) -> str:
        name = found[1]
        if name is None:
            return "%"
        bind = binds[name]
        if not bind.required:
            literal: _Processor = bind.type.dialect_impl(dialect).literal_processor(dialect)
            return str(literal(bind.effective_value))
        if name not in names:
            names.append(name)
        # The driver says of what type a number is; here the text must.
        cast = "::double precision" if isinstance(bind.type, Float) else ""
        return f"${names.index(name) + 1}{cast}"

    return re.sub(r"%\((\w+)\)s|%%", replaced, text), tuple(names)


@contextmanager
def together(connection: Connection) -> Iterator[None]:
    """Send the statements of the block to a server in as few round trips as their rows allow.

    They are sent when rows are looked at, and at the end of the block; only then one that is
    refused raises. The number of rows that ``run`` gives is not known inside.
    """
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name != "postgresql":
        yield
        return
    with driver.pipeline():
        yield


def insert_if_absent(table: Table, *columns: str) -> Statement:
    """Insert one row, or leave the one that has its key as it is.

    Args:
        table: The table.
        columns: Columns that are given, each a parameter of its name; all when empty.
    """
    return Statement(lambda dialect: _insert(dialect, table, columns).on_conflict_do_nothing())


def insert_or_update(table: Table, *changed: str) -> Statement:
    """Insert one row of all columns; when its key is there, change these columns of it."""

    def clause(dialect: Dialect) -> ClauseElement:
        statement = _insert(dialect, table, ())
        whole: ClauseElement = statement.on_conflict_do_update(
            index_elements=list(table.primary_key.columns),
            set_={name: statement.excluded[name] for name in changed},
        )
        return whole

    return Statement(clause)


def _insert(dialect: Dialect, table: Table, columns: Sequence[str]) -> Any:
    from sqlalchemy import bindparam

    made: Any = sqlite.insert
    if dialect.name == "postgresql":
        # Only then: it takes a tenth of a second to import.
        from sqlalchemy.dialects.postgresql import insert as made
    names = columns or [column.name for column in table.columns]
    types = {name: table.c[name].type for name in names}
    return made(table).values({name: bindparam(name, type_=types[name]) for name in names})


def inserting(table: Table, *columns: str) -> Statement:
    """Insert one row of these columns, each a parameter of its name."""
    return Statement(lambda dialect: _insert(dialect, table, columns).inline())
