"""Doing a thing again: how long, how often, and what is not done again."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest

from trialbook.book.book import Book
from trialbook.book.outlasting import Outage, outlasting
from trialbook.errors import (
    BookConflictError,
    BookError,
    BookFullError,
    BookUncertainError,
    BookUnreachableError,
)


class Failing:
    """Fails so many times, then answers."""

    def __init__(self, error: BookError, times: int, patience_s: float = 5.0) -> None:
        self.outage = Outage("here", patience_s)
        self.error = error
        self.left = times
        self.calls = 0

    @outlasting
    def ask(self) -> str:
        self.calls += 1
        if self.left:
            self.left -= 1
            raise self.error
        return "answer"

    @outlasting
    def ask_through(self) -> str:
        return self.ask()


@pytest.mark.parametrize("error", [BookUnreachableError("away"), BookConflictError("given up")])
def test_it_is_done_again(error: BookError) -> None:
    failing = Failing(error, 3)
    assert failing.ask() == "answer"
    assert failing.calls == 4


@pytest.mark.parametrize("error", [BookFullError("full"), BookUncertainError("who knows")])
def test_other_errors_come_at_once(error: BookError) -> None:
    failing = Failing(error, 3)
    with pytest.raises(type(error)):
        failing.ask()
    assert failing.calls == 1


def test_conflicts_end() -> None:
    failing = Failing(BookConflictError("given up"), 1000)
    with pytest.raises(BookConflictError):
        failing.ask()
    assert 5 < failing.calls < 20


def test_one_within_another_does_not_wait_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    clock = SimpleNamespace(monotonic=lambda: now, sleep=sleep)
    monkeypatch.setattr("trialbook.book.outlasting.time", clock)
    failing = Failing(BookUnreachableError("away"), 1000, patience_s=60.0)
    with pytest.raises(BookUnreachableError):
        failing.ask_through()
    assert now == pytest.approx(60.0)


def test_no_patience_is_one_try() -> None:
    failing = Failing(BookUnreachableError("away"), 1, patience_s=0)
    with pytest.raises(BookUnreachableError):
        failing.ask()
    assert failing.calls == 1


def test_whoever_gives_up_waits_no_longer() -> None:
    failing = Failing(BookUnreachableError("away"), 1000, patience_s=60.0)
    giving_up = threading.Timer(0.1, failing.outage.give_up)
    giving_up.start()
    began = time.monotonic()
    with pytest.raises(BookUnreachableError):
        failing.ask()
    assert time.monotonic() - began < 20
    giving_up.join()


def test_a_deadlock_is_the_servers_to_end(postgres_url: str) -> None:
    """Two that lock two rows crosswise: one is given up, and then both are done."""
    books = [Book.open(postgres_url) for _ in range(2)]
    with books[0].writing() as connection:
        connection.exec_driver_sql("INSERT INTO tb_book VALUES ('a', '0'), ('b', '0')")
    both_have_one = threading.Barrier(2)
    tries = []

    def work(book: Book, keys: str) -> None:
        def change() -> None:
            tries.append(keys)
            with book.writing() as connection:
                for key in keys:
                    connection.exec_driver_sql(
                        f"UPDATE tb_book SET value = value::int + 1 WHERE key = '{key}'"
                    )
                    if key == keys[0] and tries.count(keys) == 1:
                        both_have_one.wait(20)

        book.outage.outlast(change)

    threads = [
        threading.Thread(target=work, args=(book, keys))
        for book, keys in zip(books, ("ab", "ba"), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    # The one that is given up may be met again by the other, before that has both.
    assert len(tries) >= 3
    with books[0].reading() as connection:
        found = connection.exec_driver_sql("SELECT value FROM tb_book WHERE key IN ('a', 'b')")
        assert [row[0] for row in found] == ["2", "2"]
    for book in books:
        book.close()
