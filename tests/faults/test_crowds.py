"""Many processes at one trial, and at one book: no trial twice, no error, bounded waits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trialbook.book.book import Book
from trialbook.book.reading import Reader
from trialbook.testing import invariants

pytestmark = pytest.mark.slow


def _crowd(*arguments: object) -> dict[str, Any]:
    script = Path(__file__).with_name("crowds.py")
    command = [sys.executable, script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    seen: dict[str, Any] = json.loads(done.stdout)
    assert seen["failed"] == 0, done.stderr[-3000:]
    return seen


def _one_winner(seen: dict[str, Any], rounds: int) -> None:
    assert (seen["rounds"], seen["both"], seen["none"]) == (rounds, 0, 0)
    assert 0 < seen["first"] < rounds  # it was a race


def test_two_workers_at_one_waiting_trial_on_sqlite(url: str) -> None:
    _one_winner(_crowd("race", url, 10_000), 10_000)
    assert invariants(url, overdue_s=0.25) == []


def test_two_workers_at_one_waiting_trial_on_postgresql(postgres_url: str) -> None:
    _one_winner(_crowd("race", postgres_url, 1000), 1000)
    assert invariants(postgres_url, overdue_s=0.25) == []


def test_thirty_two_processes_on_one_sqlite_book(url: str) -> None:
    seen = _crowd("crowd", url, 32, 6)
    assert seen["longest_wait_s"] < 20
    assert invariants(url, overdue_s=0.25) == []
    book = Book.open(url, create=False)
    trials = list(Reader(book).trials("digits"))
    book.close()
    assert [trial.values for trial in trials] == [(float(n),) for n in range(32 * 6)]
