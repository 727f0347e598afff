"""What doctor finds on this machine and in books of every condition."""

from __future__ import annotations

import sqlite3

import pytest
from optuna.study import StudyDirection

from trialbook.analysis.doctor import (
    Check,
    Standing,
    checks,
    has_wal_reset_bug,
    sqlite_check,
    storage_source,
)
from trialbook.book.book import Book
from trialbook.book.storage import BookStorage
from trialbook.records.workers import Holder, WorkerIdentity


def _by_name(storage=None) -> dict[str, Check]:
    return {check.name: check for check in checks(storage)}


@pytest.mark.parametrize(
    ("version", "affected"),
    [
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 0), True),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 52, 0), False),
    ],
)
def test_sqlite_versions_with_the_bug_are_warned_of(version, affected):
    assert has_wal_reset_bug(version) is affected
    check = sqlite_check(version)
    assert (check.standing is Standing.WARNING) is affected
    assert ".".join(map(str, version)) in check.detail
    if affected:
        assert "3.51.3" in check.hint


def test_this_machine_is_looked_at():
    found = _by_name()
    assert {"python", "packages", "optional", "sqlite", "storage", "book", "git", "uv", "fork"} <= (
        found.keys()
    )
    assert found["python"].standing is Standing.OK
    assert found["packages"].standing is Standing.OK
    assert sqlite3.sqlite_version in found["sqlite"].detail


def test_where_the_storage_came_from(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert storage_source("x.db") == "--storage"
    assert storage_source(None).startswith("the default")
    Book.open(None).close()
    assert storage_source(None) == "found in this directory"
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert storage_source(None) == f"found above, in {tmp_path}"
    monkeypatch.setenv("TRIALBOOK_STORAGE", "other.db")
    assert storage_source(None) == "TRIALBOOK_STORAGE"
    assert "other.db" in _by_name()["storage"].detail


def test_a_password_is_not_shown(monkeypatch):
    monkeypatch.setenv("TRIALBOOK_STORAGE", "postgresql://me:canary@127.0.0.1:1/none")
    assert "canary" not in repr(list(checks()))


def test_books_of_every_condition(tmp_path):
    (tmp_path / "text.db").write_text("this is no database, it is text")
    sqlite3.connect(tmp_path / "foreign.db").execute("CREATE TABLE t (x)").connection.close()
    Book.open(tmp_path / "good.db").close()
    standings = {
        name: _by_name(tmp_path / name)["book"].standing
        for name in ("none.db", "text.db", "foreign.db", "good.db")
    }
    assert standings == {
        "none.db": Standing.NOTE,
        "text.db": Standing.FAILED,
        "foreign.db": Standing.FAILED,
        "good.db": Standing.OK,
    }
    assert not (tmp_path / "none.db").exists()


def test_leases_that_are_over_are_noted(tmp_path):
    path = tmp_path / "book.db"
    storage = BookStorage(path)
    study_id = storage.create_new_study([StudyDirection.MINIMIZE], "digits")
    worker = WorkerIdentity("a" * 32, "here", 1)
    storage.leases.register(worker, study_id)
    storage.claim(study_id, holder=Holder(worker, 60.0))
    assert "leases" not in _by_name(path)
    storage.claim(study_id, holder=Holder(worker, -1.0))
    found = _by_name(path)["leases"]
    assert (found.standing, found.detail[:13]) == (Standing.NOTE, "1 trial is he")
    assert "trialbook reap" in found.hint
    storage.close()


def test_programs_that_are_not_there_are_noted(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = _by_name()
    assert found["git"].standing is found["uv"].standing is Standing.NOTE
    (tmp_path / "git").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "git").chmod(0o755)
    assert _by_name()["git"].standing is Standing.WARNING
