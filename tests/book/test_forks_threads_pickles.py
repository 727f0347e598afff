"""Forks, threads and pickles: no connection, lock, held trial or password crosses them."""

from __future__ import annotations

import fcntl
import gc
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from trialbook.book.attempt import Attempt
from trialbook.book.book import Book
from trialbook.book.forks import GATE, ForkGate
from trialbook.book.location import lock_path
from trialbook.book.postgres_engine import PostgresEngine
from trialbook.book.reading import Reader
from trialbook.book.series_rows import append_parts
from trialbook.book.storage import BookStorage
from trialbook.book.trials import locked
from trialbook.records.execution import Seeds
from trialbook.records.series import Series
from trialbook.testing import invariants

Begin = Callable[..., Attempt]
FORK = multiprocessing.get_context("fork")


def _in_child(work: Callable[[], object]) -> object:
    """What the work gives in a forked child."""
    receiver, sender = FORK.Pipe(duplex=False)

    def run() -> None:
        try:
            sender.send(work())
        except BaseException as error:
            sender.send(repr(error))

    child = FORK.Process(target=run)
    child.start()
    assert receiver.poll(30), "the child hangs"
    result = receiver.recv()
    child.join(30)
    assert child.exitcode == 0
    return result


def test_a_child_writes_and_the_parent_goes_on(storage: BookStorage, study_id: int) -> None:
    before = storage.create_new_trial(study_id)

    def work() -> int:
        storage.set_trial_state_values(before, TrialState.COMPLETE, [1.0])
        return storage.create_new_trial(study_id)

    made = _in_child(work)
    assert storage.get_trial(before).value == 1.0
    assert {t._trial_id for t in storage.get_all_trials(study_id)} == {before, made}
    storage.set_trial_state_values(made, TrialState.FAIL)


def test_a_child_does_not_hold_what_its_parent_holds(begin: Begin, storage: BookStorage) -> None:
    attempt = begin()
    storage._shelf.flusher.stop()
    attempt.log({"loss": 1.0}, 0, 0.0)
    storage.set_trial_user_attr(attempt.trial_id, "pending", 1)

    def work() -> object:
        held = storage.held_attempt(attempt.trial_id)
        storage.set_trial_intermediate_value(attempt.trial_id, 0, 0.5)
        storage.flush()
        return held

    assert _in_child(work) is None
    storage.set_trial_state_values(attempt.trial_id, TrialState.COMPLETE, [1.0])
    trial = storage.get_trial(attempt.trial_id)
    assert trial.intermediate_values == {0: 0.5}
    assert trial.user_attrs == {"pending": 1}


def test_what_a_child_logs_is_written_at_once_and_once(begin: Begin, storage: BookStorage) -> None:
    """A data loader's process that was forked while the parent had points pending."""
    attempt = begin()
    storage._shelf.flusher.stop()
    attempt.log({"loss": 1.0}, 0, 0.0)

    def work() -> None:
        attempt.log({"loss": 2.0, "batch": 3.0}, 1, 0.0)
        os._exit(0)  # nothing that runs at exit has to help

    child = FORK.Process(target=work)
    child.start()
    child.join(30)
    assert child.exitcode == 0
    attempt.log({"loss": 4.0}, 2, 0.0)
    storage.set_trial_state_values(attempt.trial_id, TrialState.COMPLETE, [1.0])
    series = Reader(storage.book).series(attempt.attempt_id)
    assert sorted(series["loss"].values.tolist()) == [1.0, 2.0, 4.0]
    assert series["batch"].values.tolist() == [3.0]


def test_what_a_child_writes_while_its_parent_tells_is_kept(postgres_url: str) -> None:
    """On a server a result waits for the child's transaction, and must look at parts after it."""
    storage, child = BookStorage(postgres_url), BookStorage(postgres_url)
    study_id = storage.create_new_study([optuna.study.StudyDirection.MINIMIZE], "digits")
    trial_id = storage.create_new_trial(study_id)
    attempt = storage.begin_attempt(trial_id, snapshots=[], seeds=Seeds(trial=1))
    attempt.log({"loss": 1.0}, 0, 0.0)
    storage.flush()
    attempt.log({"loss": 2.0}, 1, 0.0)
    points = Series("loss", np.array([7]), np.array([3.0]), np.array([0.0]))
    with ThreadPoolExecutor(1) as pool:
        with child.book.writing() as connection:
            locked(connection, trial_id)
            append_parts(connection, attempt.attempt_id, {"loss": points})
            told = pool.submit(storage.set_trial_state_values, trial_id, TrialState.COMPLETE, [1.0])
            until = time.monotonic() + 20
            while not connection.exec_driver_sql("SELECT 1 FROM pg_locks WHERE NOT granted").all():
                assert time.monotonic() < until, "the result does not wait"
        assert told.result(20)
    series = Reader(storage.book).series(attempt.attempt_id)
    assert sorted(series["loss"].values.tolist()) == [1.0, 2.0, 3.0]
    assert invariants(storage.book) == []
    for opened in (storage, child):
        opened.close()


def test_a_child_begins_what_its_parent_claimed(
    url: str, storage: BookStorage, study_id: int
) -> None:
    from trialbook.records.execution import Seeds

    trial_id = storage.claim(study_id).trial_id
    assert trial_id is not None

    def work() -> int:
        attempt = storage.begin_attempt(trial_id, snapshots=[], seeds=Seeds(trial=1))
        storage.set_trial_param(trial_id, "x", 0.5, FloatDistribution(0, 1))
        other, until = BookStorage(url), time.monotonic() + 20
        while other.get_trial(trial_id).params != {"x": 0.5}:  # the child has its own flusher
            assert time.monotonic() < until
            time.sleep(0.01)
        storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
        return attempt.number

    assert _in_child(work) == 1
    assert storage.get_trial(trial_id).value == 1.0


def test_a_child_forked_while_threads_write_does_not_hang(
    storage: BookStorage, study_id: int
) -> None:
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            trial_id = storage.create_new_trial(study_id)
            storage.get_all_trials(study_id, deepcopy=False)
            storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])

    with ThreadPoolExecutor(3) as pool:
        writers = [pool.submit(write) for _ in range(3)]
        try:
            for _ in range(8):
                known = _in_child(
                    lambda: (
                        storage.create_new_trial(study_id),
                        len(storage.get_all_trials(study_id)),
                    )
                )
                assert isinstance(known, tuple), known
        finally:
            stop.set()
        for writer in writers:
            writer.result()


def test_a_fork_waits_for_nobody_who_waits_for_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One writer asks for the change mark inside the gate, while another is held up outside."""
    monkeypatch.setattr("trialbook.book.forks.PATIENCE_S", 60.0)
    storage = BookStorage(path)
    inside, held_up = threading.Event(), threading.Event()

    def write() -> None:
        with storage.book.writing():
            inside.set()
            held_up.wait(30)

    def fork() -> float:
        began = time.monotonic()
        GATE.before_fork()
        waited = time.monotonic() - began
        GATE.after_fork_in_parent()
        return waited

    with ThreadPoolExecutor(3) as pool:
        writer = pool.submit(write)
        assert inside.wait(30)
        forked = pool.submit(fork)
        while GATE._forking is None:
            time.sleep(0.001)
        reader = pool.submit(storage.book.change_mark)
        time.sleep(0.2)  # for as long it is held up by the fork
        held_up.set()
        assert forked.result(120) < 30
        writer.result(30)
        reader.result(30)
    storage.close()


def test_a_book_that_is_collected_in_the_middle_of_a_fork_is_closed() -> None:
    gate = ForkGate()

    def fork() -> None:
        gate.before_fork()
        with gate:  # garbage is collected, and closing the connections of a book enters
            pass
        gate.after_fork_in_parent()

    forking = threading.Thread(target=fork, daemon=True)
    forking.start()
    forking.join(30)
    assert not forking.is_alive()


def test_a_child_that_outlives_its_parent_does_not_keep_the_lock(path: Path) -> None:
    """The lock of a writer that forks in the middle of a write ends with the writer."""
    storage = BookStorage(path)
    with storage.book.writing():
        child = FORK.Process(target=time.sleep, args=(30,))
        child.start()
    descriptor = os.open(lock_path(path), os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(descriptor)
        child.kill()
        child.join()
    storage.close()


def test_threads_share_a_storage(storage: BookStorage) -> None:
    study = optuna.create_study(storage=storage)

    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        for step in range(5):
            trial.report(x, step)
        trial.set_user_attr("number", trial.number)
        return x

    study.optimize(objective, n_trials=40, n_jobs=4)
    assert [trial.number for trial in study.trials] == list(range(40))
    assert all(trial.user_attrs == {"number": trial.number} for trial in study.trials)
    assert all(len(trial.intermediate_values) == 5 for trial in study.trials)


def test_threads_log_into_one_attempt(begin: Begin, storage: BookStorage) -> None:
    attempt = begin()

    def log(thread: int) -> None:
        for step in range(5000):
            attempt.log({f"m{thread}": float(step), "shared": float(thread)}, step, 0.0)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(log, range(4)))
    storage.set_trial_state_values(attempt.trial_id, TrialState.COMPLETE, [1.0])
    series = Reader(storage.book).series(attempt.attempt_id)
    assert len(series["shared"]) == 20_000
    for thread in range(4):
        assert series[f"m{thread}"].values.tolist() == [float(step) for step in range(5000)]


def test_a_pickle_holds_no_trial_and_flushes_first(begin: Begin, storage: BookStorage) -> None:
    attempt = begin()
    attempt.log({"loss": 1.0}, 0, 0.0)
    storage.set_trial_user_attr(attempt.trial_id, "u", 1)
    again = pickle.loads(pickle.dumps(storage))
    assert again.held_attempt(attempt.trial_id) is None
    assert again.get_trial(attempt.trial_id).user_attrs == {"u": 1}
    again.close()


def test_a_fresh_process_uses_a_pickled_study(tmp_path: Path, storage: BookStorage) -> None:
    study = optuna.create_study(storage=storage, study_name="s")
    pickled = tmp_path / "study.pickle"
    pickled.write_bytes(pickle.dumps(study))
    code = (
        "import pickle, sys; study = pickle.load(open(sys.argv[1], 'rb'));"
        "study.optimize(lambda trial: trial.suggest_float('x', 0, 1), n_trials=2)"
    )
    subprocess.run([sys.executable, "-c", code, str(pickled)], check=True, timeout=60)
    assert len(study.trials) == 2


def test_no_password_is_shown_or_pickled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A book on a server that is not there: nothing that can be printed holds the password."""
    secret = "hunter2-canary"
    with pytest.raises(Exception) as caught:
        Book.open(f"postgresql://ada:{secret}@127.0.0.1:9/book?connect_timeout=1")
    shown = [str(caught.value), repr(caught.value)]
    cause: BaseException | None = caught.value
    while cause is not None:
        shown += [str(cause), repr(cause)]
        cause = cause.__cause__ or cause.__context__
    assert not any(secret in text for text in shown)

    def identified(self: Book, create: bool) -> str:
        return "0" * 32

    monkeypatch.setattr(Book, "_identified", identified)
    book = Book.open(f"postgresql://ada:{secret}@127.0.0.1:9/book")
    assert secret not in repr(book) + book.url
    assert secret.encode() not in pickle.dumps(book)
    assert isinstance(book._engine, PostgresEngine)
    assert secret not in repr(vars(book._engine))
    again = pickle.loads(pickle.dumps(book))
    assert again.url == "postgresql://ada@127.0.0.1:9/book"


@pytest.mark.parametrize("idle_for_s", [2.0, 0.0], ids=["polling", "parked"])
def test_the_thread_of_a_dropped_storage_ends(
    path: Path, monkeypatch: pytest.MonkeyPatch, idle_for_s: float
) -> None:
    monkeypatch.setattr("trialbook.book.flusher._PARKED_S", 0.1)
    monkeypatch.setattr("trialbook.book.flusher._IDLE_FOR_S", idle_for_s)
    monkeypatch.setattr("trialbook.book.flusher._FAST_FOR_S", idle_for_s)
    storage = BookStorage(path)
    storage._shelf.flusher.urgent()
    thread = storage._shelf.flusher._thread
    assert thread is not None
    time.sleep(0.3)
    assert thread.is_alive()
    del storage
    gc.collect()
    thread.join(30)
    assert not thread.is_alive()
