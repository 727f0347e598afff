"""Opening books: new, foreign, corrupt, newer, read-only, full, and many at once."""

from __future__ import annotations

import os
import pickle
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from trialbook.book import migration
from trialbook.book.book import Book
from trialbook.book.storage import BookStorage
from trialbook.errors import (
    BookCorruptError,
    BookForeignError,
    BookNotFoundError,
    BookReadOnlyError,
    BookVersionError,
)

from .forked import in_processes


def test_a_new_book_has_an_identity_that_stays(path: Path) -> None:
    first = Book.open(path)
    assert len(first.book_id) == 32
    first.close()
    assert Book.open(path).book_id == first.book_id


def test_a_missing_book_is_not_made_when_it_must_not_be(path: Path) -> None:
    with pytest.raises(BookNotFoundError):
        Book.open(path, create=False)
    with pytest.raises(BookNotFoundError):
        Book.open(path, read_only=True)
    assert not path.exists()


@pytest.mark.parametrize("content", [b"hello\n", b"\0" * 4096, os.urandom(20_000)])
def test_a_file_that_is_no_database_is_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(BookCorruptError) as caught:
        BookStorage(path)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == content


def test_a_damaged_book_is_named(path: Path) -> None:
    Book.open(path).close()
    content = bytearray(path.read_bytes())
    content[100:4096] = b"\xff" * (4096 - 100)
    path.write_bytes(content)
    with pytest.raises(BookCorruptError):
        Book.open(path)


def test_a_foreign_database_is_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE photos (name TEXT)")
    connection.close()
    before = path.read_bytes()
    for create in (True, False):
        with pytest.raises(BookForeignError):
            Book.open(path, create=create)
    assert path.read_bytes() == before
    assert sorted(p.name for p in path.parent.iterdir()) == ["book.db"]


def test_a_table_of_the_same_name_is_foreign(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE tb_trial (name TEXT)")
    connection.close()
    with pytest.raises(BookForeignError, match="tb_trial"):
        Book.open(path)


def test_a_book_shares_a_database_with_optuna(url: str) -> None:
    import optuna

    theirs = optuna.storages.RDBStorage(url.replace("postgresql:", "postgresql+psycopg:"))
    optuna.create_study(storage=theirs, study_name="theirs")
    ours = BookStorage(url)
    study = optuna.create_study(storage=ours, study_name="ours")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    assert optuna.get_all_study_names(theirs) == ["theirs"]
    assert optuna.get_all_study_names(ours) == ["ours"]
    ours.close()
    theirs.engine.dispose()


def _set_revision(path: Path, revision: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE {migration.VERSION_TABLE} SET version_num=?", (revision,))
    connection.close()


def test_a_newer_book_is_refused(path: Path) -> None:
    Book.open(path).close()
    _set_revision(path, "9999")
    with pytest.raises(BookVersionError, match="newer"):
        Book.open(path)


def test_the_book_is_in_wal_mode(path: Path) -> None:
    Book.open(path).close()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_a_book_can_be_read_only(path: Path) -> None:
    Book.open(path).close()
    book = Book.open(path, read_only=True)
    with book.reading() as connection:
        assert migration.book_id(connection) == book.book_id
    with pytest.raises(BookReadOnlyError), book.writing():
        pass


def test_reading_cannot_write(path: Path) -> None:
    book = Book.open(path)
    with pytest.raises(BookReadOnlyError), book.reading() as connection:
        connection.exec_driver_sql("DELETE FROM tb_book")


BOUND_BY_PERMISSIONS = """
import ctypes, os, sys
from pathlib import Path
path = Path(sys.argv[1])
from trialbook.book.book import Book
from trialbook.book.storage import BookStorage
from trialbook.errors import BookReadOnlyError
if os.getuid() == 0:
    # Root without capabilities: permissions hold for it as for anybody (capset(2), version 3).
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    assert ctypes.CDLL(None).capset(header, (ctypes.c_uint32 * 6)()) == 0
%s
"""


def _bound_by_permissions(path: Path, code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BOUND_BY_PERMISSIONS % code, str(path)],
        capture_output=True,
        text=True,
    )


def test_a_read_only_directory_cannot_get_a_book(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0o555)
    done = _bound_by_permissions(
        closed / "book.db",
        "try:\n    BookStorage(path)\nexcept BookReadOnlyError as e:\n    print(e)",
    )
    assert "closed" in done.stdout, done.stderr
    assert "try:" in done.stdout
    assert list(closed.iterdir()) == []
    closed.chmod(0o755)


def test_a_book_in_a_read_only_directory_can_be_read(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    storage = BookStorage(closed / "book.db")
    storage.create_new_study([], "kept")
    storage.close()
    for file in closed.iterdir():
        file.chmod(0o444)
    closed.chmod(0o555)
    done = _bound_by_permissions(
        closed / "book.db",
        "from trialbook.book.reading import Reader\n"
        "book = Book.open(path, read_only=True)\n"
        "print([s.name for s in Reader(book).studies()])\n"
        "try:\n    BookStorage(path).create_new_study([], 'new')\n"
        "except BookReadOnlyError as e:\n    print('refused')",
    )
    assert done.stdout.splitlines() == ["['kept']", "refused"], done.stderr
    closed.chmod(0o755)


def test_many_processes_make_one_book(url: str) -> None:
    code = """
import sys
from trialbook.book.book import Book
ready()
say(Book.open(sys.argv[1]).book_id)
"""
    said = in_processes([code] * 8, url)
    assert said == [[Book.open(url, create=False).book_id]] * 8


def test_a_pickled_book_is_the_same_book(path: Path) -> None:
    book = Book.open(path)
    again = pickle.loads(pickle.dumps(book))
    assert again.book_id == book.book_id
    book.close()
    path.unlink()
    with pytest.raises(BookNotFoundError):
        pickle.loads(pickle.dumps(book))


def test_another_book_in_its_place_is_noticed(path: Path) -> None:
    book = Book.open(path)
    pickled = pickle.dumps(book)
    book.close()
    path.unlink()
    Book.open(path).close()
    with pytest.raises(BookForeignError):
        pickle.loads(pickled)
