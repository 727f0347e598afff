"""Statements that are sent together, and what becomes of their values."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from trialbook.book.postgres_connection import BoundedConnection
from trialbook.book.postgres_pipeline import Pipeline, Sent


@pytest.fixture
def raw(postgres_url: str) -> Iterator[BoundedConnection]:
    with BoundedConnection.connect(postgres_url, autocommit=True) as raw:
        yield raw


def test_values_come_back_as_they_went(raw: BoundedConnection) -> None:
    texts = ["", "a,b", 'a "word"', "back\\slash", "{}", "NULL", "ünï", None]
    numbers = [0.1, -0.0, float("inf"), float("-inf"), 5e-324, None]
    contents = [b"", b"\x00\xff\\", bytes(range(256))]
    whole = [2**62, -1, 0]
    (rows,) = Pipeline(raw).rows(
        [
            Sent(
                "SELECT $1::varchar[], $2::float8[], $3::bytea[], $4::bigint[], $5::text, $6::int",
                (texts, numbers, contents, whole, 'one, "two" \\', None),
            )
        ]
    )
    assert repr(rows) == repr([(texts, numbers, contents, whole, 'one, "two" \\', None)])


def test_rows_of_each_statement_in_order(raw: BoundedConnection) -> None:
    pipeline = Pipeline(raw)
    for _ in range(3):  # prepared by the first round, used by the others
        one, none, two = pipeline.rows(
            [
                Sent("SELECT $1::int + 1", (1,)),
                Sent("SELECT 1 WHERE false"),
                Sent("SELECT * FROM generate_series(1, 2)", prepared=False),
            ]
        )
        assert (one, none, two) == ([(2,)], [], [(1,), (2,)])
    (prepared,) = pipeline.rows([Sent("SELECT count(*) FROM pg_prepared_statements")])
    assert prepared == [(3,)]


def test_after_a_failure_nothing_is_done_and_the_connection_goes_on(
    raw: BoundedConnection,
) -> None:
    pipeline = Pipeline(raw)
    raw.execute("CREATE TABLE kept (number int)")
    statements = [
        Sent("BEGIN"),
        Sent("INSERT INTO kept VALUES (1)"),
        Sent("SELECT 1 / $1::int", (0,)),
        Sent("INSERT INTO kept VALUES (2)"),
        Sent("COMMIT"),
    ]
    for _ in range(2):
        with pytest.raises(psycopg.errors.DivisionByZero):
            pipeline.rows(statements)
        assert raw.failed
        raw.rollback()
    assert pipeline.rows([Sent("SELECT count(*) FROM kept")]) == [[(0,)]]
    statements[2] = Sent("SELECT 1 / $1::int", (1,))
    pipeline.rows(statements)
    assert pipeline.rows([Sent("SELECT count(*) FROM kept")]) == [[(2,)]]


def test_what_is_prepared_outlives_a_rollback(raw: BoundedConnection) -> None:
    pipeline, statement = Pipeline(raw), Sent("SELECT 1")
    for _ in range(10):  # so often that the driver prepares its own as well
        pipeline.rows([Sent("BEGIN"), statement])
        assert raw.execute("SELECT 2").fetchall() == [(2,)]
        raw.rollback()
        assert raw.idle
        assert pipeline.rows([statement]) == [[(1,)]]


def test_a_connection_that_the_server_closed_is_stale(
    raw: BoundedConnection, postgres_url: str
) -> None:
    pipeline = Pipeline(raw)
    assert not pipeline.stale
    with psycopg.connect(postgres_url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", (raw.info.backend_pid,))
    assert pipeline.stale
