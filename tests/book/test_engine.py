"""Locks, checkpoints, durability, time limits, and what the databases' errors become."""

from __future__ import annotations

import gc
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from trialbook.book import sqlite_engine as engines
from trialbook.book.book import Book
from trialbook.book.location import lock_path
from trialbook.book.sqlite_engine import SqliteEngine
from trialbook.book.storage import BookStorage
from trialbook.book.writelock import WriteLock
from trialbook.errors import BookBusyError, BookError, BookFullError


def _wal(path: Path) -> int:
    return path.with_name(path.name + "-wal").stat().st_size


def _fill(book: Book, times: int) -> None:
    for _ in range(times):
        with book.writing() as connection:
            connection.exec_driver_sql(
                "INSERT INTO tb_snapshot "
                "VALUES (hex(randomblob(32)), 'code', hex(randomblob(50000)))"
            )


def test_the_log_stays_short(path: Path) -> None:
    book = Book.open(path)
    sizes = []
    for _ in range(30):
        _fill(book, 10)
        sizes.append(_wal(path))
    assert path.stat().st_size > 25_000_000
    assert max(sizes) < 2.5 * engines.CHECKPOINT_BYTES
    book.close()


def test_a_reader_in_the_way_delays_the_checkpoint_only(path: Path) -> None:
    book, other = Book.open(path), Book.open(path)
    with other.reading() as connection:
        connection.exec_driver_sql("SELECT count(*) FROM tb_snapshot").scalar()
        _fill(book, 120)
        held = _wal(path)
        assert held > 2 * engines.CHECKPOINT_BYTES
        assert connection.exec_driver_sql("SELECT count(*) FROM tb_snapshot").scalar() == 0
    _fill(book, 60)
    _fill(book, 10)
    assert _wal(path) < held
    book.close()
    other.close()


def test_results_are_synced_and_the_rest_is_not(path: Path) -> None:
    book = Book.open(path)
    for durable, level in ((True, 2), (False, 1)):
        with book.writing(durable=durable) as connection:
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == level
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    book.close()


def test_an_error_rolls_back(path: Path) -> None:
    book = Book.open(path)
    with pytest.raises(ZeroDivisionError), book.writing() as connection:
        connection.exec_driver_sql("DELETE FROM tb_book")
        _ = 1 / 0
    with pytest.raises(BookError), book.writing() as connection:
        connection.exec_driver_sql("DELETE FROM tb_book")
        connection.exec_driver_sql("SELECT nonsense")
    assert Book.open(path).book_id == book.book_id


def test_the_change_mark_moves_with_every_commit_and_only_then(path: Path) -> None:
    book, other = Book.open(path), Book.open(path)
    marks = [book.change_mark()]
    for writer in (book, other, book):
        assert book.change_mark() == marks[-1]
        _fill(writer, 1)
        marks.append(book.change_mark())
    assert len(set(marks)) == 4


def test_the_lock_is_not_on_the_database(path: Path) -> None:
    """Closing a second handle on a database drops SQLite's locks; so nobody may open one."""
    storage = BookStorage(path)
    storage.create_new_study([], "s")
    storage.get_all_studies()
    targets = [
        os.readlink(f"/proc/self/fd/{fd}")
        for fd in os.listdir("/proc/self/fd")
        if os.path.lexists(f"/proc/self/fd/{fd}")
    ]
    assert str(lock_path(path)) in targets
    storage.close()


def test_nobody_waits_for_ever(tmp_path: Path) -> None:
    place = tmp_path / "lock"
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import fcntl, os, sys, time\n"
            "fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)\n"
            "fcntl.flock(fd, fcntl.LOCK_EX); print('held', flush=True); time.sleep(60)",
            str(place),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    holder.send_signal(signal.SIGSTOP)  # a laptop's debugger, a stopped job
    lock = WriteLock(place, timeout_s=0.3)
    began = time.monotonic()
    with pytest.raises(BookBusyError, match="held the book"), lock.held():
        pass
    assert 0.25 < time.monotonic() - began < 30
    holder.kill()
    holder.communicate()
    for _ in range(3):  # what waited in vain neither keeps the lock nor gives it away twice
        with lock.held():
            other = WriteLock(place, timeout_s=0.05)
            with pytest.raises(BookBusyError), other.held():
                pass
    lock.close()


def test_an_interrupted_wait_leaves_no_lock_behind(tmp_path: Path) -> None:
    place = tmp_path / "lock"
    first, waiting = WriteLock(place, timeout_s=1), WriteLock(place, timeout_s=30)
    with first.held():
        found: list[threading.Thread] = []

        def interrupt() -> None:
            while not found:
                found.extend(t for t in threading.enumerate() if t.name == "trialbook-lock")
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)

        interrupting = threading.Thread(target=interrupt)
        with pytest.raises(KeyboardInterrupt):
            interrupting.start()
            with waiting.held():
                pass
        interrupting.join()
    found[0].join(30)  # the thread that waits comes by the lock now
    with first.held(), pytest.raises(BookBusyError):
        waiting._timeout_s = 0.05
        with waiting.held():
            pass
    first.close()
    waiting.close()


def test_an_interrupt_right_after_the_lock_of_the_threads_leaves_it_free(tmp_path: Path) -> None:
    lock = WriteLock(tmp_path / "lock", timeout_s=0.2)

    def interrupt(frame: object, event: str, called: object) -> None:
        if event == "c_return" and getattr(called, "__name__", "") == "acquire":
            sys.setprofile(None)
            raise KeyboardInterrupt

    def held() -> bool:
        with lock.held():
            return True

    try:
        with pytest.raises(KeyboardInterrupt):
            sys.setprofile(interrupt)
            held()
    finally:
        sys.setprofile(None)
    with ThreadPoolExecutor(1) as other:
        assert other.submit(held).result()
    assert held()
    lock.close()


def test_a_dropped_book_never_waits_for_a_writer(tmp_path: Path) -> None:
    dropped = Book.open(tmp_path / "b.db")
    with dropped.writing():
        pass
    dropped.in_a_cycle = dropped  # type: ignore[attr-defined]
    book = Book.open(tmp_path / "b.db")
    began = time.monotonic()
    with book.writing():
        del dropped
        gc.collect()  # as it may happen inside any transaction
    assert time.monotonic() - began < 30
    book.close()


def test_threads_wait_for_each_other(tmp_path: Path) -> None:
    lock = WriteLock(tmp_path / "lock", timeout_s=0.1)
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with lock.held():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait(10)
    with pytest.raises(BookBusyError), lock.held():
        pass
    leave.set()
    thread.join()
    with lock.held():
        pass


def test_someone_who_knows_nothing_of_the_lock_makes_it_busy(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "BUSY_TIMEOUT_S", 0.2)
    book = Book.open(path)
    stranger = sqlite3.connect(path, isolation_level=None)
    stranger.execute("BEGIN IMMEDIATE")
    with pytest.raises(BookBusyError, match="too long"), book.writing():
        pass
    stranger.execute("COMMIT")
    stranger.close()
    with book.writing():
        pass


FULL = """
import resource, signal, sys
import optuna
from optuna.trial import TrialState
from trialbook.book.storage import BookStorage
from trialbook.errors import BookFullError
from trialbook.records.execution import Seeds
storage = BookStorage(sys.argv[1])
study_id = storage.create_new_study([optuna.study.StudyDirection.MINIMIZE], "digits")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limit = 300_000
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
done = 0
try:
    while True:
        trial_id = storage.create_new_trial(study_id)
        attempt = storage.begin_attempt(trial_id, snapshots=[], seeds=Seeds(trial=1))
        storage.set_trial_user_attr(trial_id, "text", "x" * 2000)
        attempt.log({"loss": 1.0}, 0, 0.0)
        storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
        done += 1
except BookFullError as error:
    print(error)
    print(done)
# Space comes back: the same process goes on, and what was pending is not lost.
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
if storage.held_attempt(trial_id) is not None:
    storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
    assert storage.get_trial(trial_id).user_attrs["text"] == "x" * 2000
"""


def test_a_full_disk_is_said_and_survived(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    *message, count = done.stdout.splitlines()
    assert "try:" in message[-1]
    assert str(path) in done.stdout
    from trialbook.book.verification import verify

    book = Book.open(path)
    assert verify(book).mismatches == ()
    with book.reading() as connection:
        finished = connection.exec_driver_sql("SELECT finished FROM tb_study").scalar()
    assert int(count) <= finished <= int(count) + 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    """A file system of one MiB, for those who may mount one."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(place)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting needs root")
    yield place  # type: ignore[misc]
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_no_space_left_for_a_book_a_blob_or_a_row(small_disk: Path) -> None:
    from trialbook.records.blobs import Blob
    from trialbook.records.execution import Seeds

    filler = small_disk / "filler"
    storage = BookStorage(small_disk / "book.db")
    study_id = storage.create_new_study([], "s")
    trial_id = storage.create_new_trial(study_id)
    with pytest.raises(BookFullError, match="space"):
        storage.begin_attempt(
            trial_id, snapshots=[], blobs=[Blob.of(os.urandom(2_000_000))], seeds=Seeds(trial=1)
        )
    assert list((small_disk / "book.db.blobs").rglob("*")) == []
    attempt = storage.begin_attempt(trial_id, snapshots=[], blobs=[], seeds=Seeds(trial=1))
    assert attempt.number == 1
    filler.write_bytes(b"")
    with pytest.raises(OSError), filler.open("wb") as file:
        while True:
            file.write(b"x" * 4096)
    with pytest.raises(BookFullError, match="space"):
        for _ in range(200):
            storage.create_new_trial(study_id)
    with pytest.raises(BookFullError):
        BookStorage(small_disk / "second.db")
    filler.unlink()
    storage.create_new_trial(study_id)
    storage.close()
    BookStorage(small_disk / "second.db").close()


def test_an_old_sqlite_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "OLDEST_SQLITE", (99, 0, 0))
    with pytest.raises(BookError, match="too old"):
        SqliteEngine(path, create=True, read_only=False)
