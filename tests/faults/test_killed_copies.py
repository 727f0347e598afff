"""SIGKILL at the N-th write call of a copy: no half study is there, and the next one makes it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trialbook.book.book import Book
from trialbook.book.storage import BookStorage
from trialbook.testing import invariants

from ..book.moved import make_study, whole

pytestmark = pytest.mark.slow


@pytest.fixture
def source(tmp_path: Path) -> Book:
    storage = BookStorage(tmp_path / "source" / "book.db")
    make_study(storage, tmp_path)
    storage.close()
    return storage.book


def _killed(place: Path, source: Book, server: str, every: int) -> list[dict[str, Any]]:
    place.mkdir()
    done = subprocess.run(
        [
            sys.executable,
            Path(__file__).with_name("killed_copies.py"),
            *(place, source.url, server, str(every)),
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def _check(lines: list[dict[str, Any]], source: Book) -> None:
    wanted = whole(source)
    counts = {
        "tb_study": 1,
        "tb_trial": len(wanted["trial"]),
        "tb_attempt": len(wanted["attempt"]),
        "tb_series": len(wanted["tb_series"]),
    }
    *killed, survivor = lines
    assert survivor["said"] == ""
    for line in lines:
        assert line["successor"] == 0, line
        # The whole study is there as soon as its rows are committed, and nothing of it before.
        over = not line["said"] or (line["said"] == "after COMMIT" and line["found"]["tb_study"])
        assert line["found"] == (counts if over else dict.fromkeys(counts, 0)), line
    assert any(line["found"]["tb_study"] == 0 for line in killed)
    for line in (killed[0], killed[len(killed) // 2], killed[-1]):
        book = Book.open(line["url"], create=False, read_only=True)
        found = whole(book)
        for table in ("trial", "attempt", "trial_value", "tb_series", "tb_artifact", "tb_rerun"):
            assert found[table] == wanted[table], (table, line)
        assert invariants(book) == [], line
        book.close()


def test_killed_at_each_write_on_sqlite(source: Book, tmp_path: Path) -> None:
    lines = _killed(tmp_path / "copies", source, "", 6)
    assert len(lines) >= 6
    _check(lines, source)


def test_killed_at_each_write_on_postgresql(
    source: Book, tmp_path: Path, postgres_url: str
) -> None:
    lines = _killed(tmp_path / "copies", source, postgres_url, 11)
    assert len(lines) >= 3
    _check(lines, source)
