"""The database's clock in SQL: seconds since the epoch, the same for all who write to a book.

Leases and waits are measured on it, so that a worker whose own clock is wrong neither keeps a
trial too long nor loses one. An SQLite book has the clock of its machine.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Float
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class database_time(FunctionElement[float]):  # noqa: N801 - reads like the SQL function it is
    """The time when the statement runs, not when its transaction began."""

    type = Float(53)
    inherit_cache = True


@compiles(database_time, "sqlite")
def _sqlite(element: Any, compiler: Any, **_: Any) -> str:
    # 2440587.5 is the Julian day of 1970-01-01; unixepoch('subsec') came with SQLite 3.42.
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(database_time, "postgresql")
def _postgresql(element: Any, compiler: Any, **_: Any) -> str:
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION)"
