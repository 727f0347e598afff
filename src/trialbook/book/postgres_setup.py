"""What a write transaction on a server begins with: settings, the lock that all share, its receipt.

As one text for a transaction that goes on step by step, or as statements for one that is sent as a
whole. Everything holds for that transaction only.
"""

from __future__ import annotations

from collections.abc import Sequence

LOCK_TIMEOUT_S = 30
"""How long a transaction waits for another one's locks."""

IDLE_TIMEOUT_S = 15
"""How long the server keeps a write transaction whose client says nothing.

It bounds what others wait for a process that was stopped or cut off in mid-transaction.
"""

TRANSACTION_TIMEOUT_S = 120
"""How long the server, from version 17 on, lets a write transaction last at all.

The server does not count a client as idle that has just ended a pipeline.
"""

KEPT_RECEIPTS_S = 24 * 3600

BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
NOW = "extract(epoch from clock_timestamp())"
TIDY = (
    "DELETE FROM tb_receipt WHERE client IN (SELECT client FROM tb_receipt "
    f"WHERE at < {NOW} - {KEPT_RECEIPTS_S} FOR UPDATE SKIP LOCKED)"
)
"""Lets go of receipts of processes that were killed."""

_WITH_TRANSACTION_TIMEOUT = 170_000
_WRITING = 0x7462_6F6B
_TABLES = "'tb_book'::regclass::oid::int"
_RENEWED = "ON CONFLICT (client) DO UPDATE SET number = excluded.number, at = excluded.at"


def _settings(version: int, *, alone: bool) -> str:
    """What is set, and the lock: columns of one row."""
    bound = ""
    if not alone and version >= _WITH_TRANSACTION_TIMEOUT:
        bound = f"set_config('transaction_timeout', '{TRANSACTION_TIMEOUT_S}s', true), "
    lock = "pg_advisory_xact_lock" if alone else "pg_advisory_xact_lock_shared"
    return (
        f"set_config('lock_timeout', '{LOCK_TIMEOUT_S}s', true), "
        f"{bound}CASE current_setting('synchronous_commit') "
        "WHEN 'off' THEN set_config('synchronous_commit', 'on', true) END, "
        f"{lock}({_WRITING}, {_TABLES})"
    )


def setup(path: str, version: int, client: str, number: int, *, alone: bool) -> str:
    """The statements that begin a transaction.

    Args:
        path: Sets the search path, or is empty.
        version: The server's, as libpq numbers it.
        client: Whose receipt it is.
        number: The number of the transaction among those of the client.
        alone: Whether no other write transaction may run meanwhile.
    """
    return (
        f"{BEGIN}; {path}"
        f"SELECT set_config('idle_in_transaction_session_timeout', '{IDLE_TIMEOUT_S}s', true), "
        f"{_settings(version, alone=alone)}; "
        f"{f'{TIDY}; ' if number == 1 else ''}"
        "INSERT INTO tb_receipt (client, number, at) "
        f"VALUES ('{client}', {number}, {NOW}) {_RENEWED}"
    )


def bare_setup(path: str) -> str:
    """The statements that begin a transaction that leaves no receipt and shares no lock."""
    return (
        f"{BEGIN}; {path}SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s'; "
        f"SET LOCAL idle_in_transaction_session_timeout = '{IDLE_TIMEOUT_S}s'"
    )


def whole_setup(path: str, version: int) -> Sequence[str]:
    """The same for a transaction that is sent as a whole, without receipts to tidy up.

    The last statement takes client and number as ``$1`` and ``$2``.
    """
    receipt = (
        f"WITH setup AS MATERIALIZED (SELECT {_settings(version, alone=False)}) "
        "INSERT INTO tb_receipt (client, number, at) "
        f"SELECT $1, $2::bigint, {NOW} FROM setup {_RENEWED}"
    )
    return (BEGIN, *([path.rstrip("; ")] if path else []), receipt)
