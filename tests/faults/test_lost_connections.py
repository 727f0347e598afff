"""A connection that is lost at a commit: nothing that was stored is doubled, nothing is lost."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from trialbook.book.reading import Reader
from trialbook.book.storage import BookStorage
from trialbook.errors import BookUncertainError, BookUnreachableError
from trialbook.records.execution import Seeds
from trialbook.records.workers import Claim, Holder, WorkerIdentity
from trialbook.testing import invariants

from .proxy import Fault, Proxy

if TYPE_CHECKING:
    from ..postgres import Server

MINIMIZE = [optuna.study.StudyDirection.MINIMIZE]
MOST_COMMITS = 20
HOLDER = Holder(WorkerIdentity("a" * 32, "here", 1))


@pytest.fixture
def proxy(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    monkeypatch.setattr("trialbook.book.postgres_connection.ANSWER_TIMEOUT_S", 3.0)
    monkeypatch.setattr("trialbook.book.postgres_setup.IDLE_TIMEOUT_S", 1)
    monkeypatch.setattr("trialbook.book.postgres_setup.TRANSACTION_TIMEOUT_S", 2)
    with Proxy(postgres.port) as proxy:
        yield proxy


def through(proxy: Proxy, url: str) -> str:
    return f"postgresql://trialbook@127.0.0.1:{proxy.port}/{url.rpartition('/')[2]}"


def one_trial(storage: BookStorage, name: str) -> None:
    """A whole life: made, claimed, begun, written to, finished."""
    study_id = storage.create_new_study(MINIMIZE, name)
    claim = storage.claim(study_id, holder=HOLDER)
    assert isinstance(claim, Claim)
    attempt = storage.begin_attempt(
        claim.trial_id, snapshots=[], seeds=Seeds(trial=1), claimed=claim.attempt
    )
    storage.set_trial_param(claim.trial_id, "x", 0.5, FloatDistribution(0, 1))
    for step in range(3):
        attempt.log({"loss": float(step)}, step, 0.0)
        storage.set_trial_intermediate_value(claim.trial_id, step, float(step))
        if step == 1:
            storage.flush()
    storage.set_trial_user_attr(claim.trial_id, "note", "kept")
    assert storage.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, [1.5])


def assert_whole(url: str, name: str) -> None:
    """The study has one trial, with everything that it was given, once."""
    storage = BookStorage(url, create=False)
    (trial,) = storage.get_all_trials(storage.get_study_id_from_name(name))
    assert trial.state is TrialState.COMPLETE
    assert trial.values == [1.5]
    assert trial.params == {"x": 0.5}
    assert trial.user_attrs == {"note": "kept"}
    assert trial.intermediate_values == {0: 0.0, 1: 1.0, 2: 2.0}
    record = Reader(storage.book).trial(f"{name}/0")
    assert list(Reader(storage.book).trial_series(record)["loss"].steps) == [0, 1, 2]
    assert [attempt.number for attempt in record.attempts] == [1]
    storage.close()


@pytest.mark.parametrize("fault", [Fault.CUT_BEFORE, Fault.CUT_AFTER])
def test_every_commit_may_lose_its_connection(
    postgres_url: str, proxy: Proxy, fault: Fault
) -> None:
    BookStorage(postgres_url).close()
    storage = BookStorage(through(proxy, postgres_url))
    storage.leases.register(HOLDER.worker)
    for at in range(1, MOST_COMMITS):
        name = f"{fault.name} {at}"
        proxy.set(fault, at)
        one_trial(storage, name)
        assert_whole(postgres_url, name)
        if not proxy.fired:
            break
    assert 5 < at < MOST_COMMITS - 1
    storage.close()
    assert invariants(postgres_url, overdue_s=0.25) == []


def ordinary_trial(storage: BookStorage, study_id: int) -> int:
    """What ``study.optimize`` does with a tracked objective; its id."""
    trial_id = storage.create_new_trial(study_id)
    storage.begin_attempt(trial_id, snapshots=[], seeds=Seeds(trial=1), holder=HOLDER)
    storage.set_trial_param(trial_id, "x", 0.5, FloatDistribution(0, 1))
    storage.set_trial_intermediate_value(trial_id, 0, 2.0)
    return trial_id


@pytest.mark.parametrize("fault", [Fault.CUT_BEFORE, Fault.CUT_AFTER])
def test_an_ordinary_trial_is_three_commits_and_each_may_lose_its_connection(
    postgres_url: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    monkeypatch.setattr("trialbook.book.pending.URGENT_S", 60.0)  # all goes with the result
    storage = BookStorage(through(proxy, postgres_url))
    study_id = storage.create_new_study(MINIMIZE, "s")
    for at in (0, 1, 2, 3, 0):  # the first one makes known what is in the book
        proxy.set(fault, at)
        trial_id = ordinary_trial(storage, study_id)
        assert storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.5])
        assert proxy.fired == (at > 0)
    assert proxy.commits == 3
    storage.close()
    storage = BookStorage(postgres_url)
    trials = storage.get_all_trials(study_id)
    assert [trial.number for trial in trials] == [0, 1, 2, 3, 4]
    assert [trial.params for trial in trials] == [{"x": 0.5}] * 5
    assert [trial.intermediate_values for trial in trials] == [{0: 2.0}] * 5
    for trial in trials:
        assert [a.number for a in Reader(storage.book).trial(f"s/{trial.number}").attempts] == [1]
    storage.close()
    assert invariants(postgres_url, overdue_s=0.25) == []


@pytest.mark.parametrize("fault", [None, Fault.CUT_BEFORE, Fault.CUT_AFTER])
def test_what_somebody_else_wrote_meanwhile_is_kept_with_the_result(
    postgres_url: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, fault: Fault | None
) -> None:
    """Then the result is not what was sent first; a lost answer must not pass for it."""
    monkeypatch.setattr("trialbook.book.pending.URGENT_S", 60.0)
    storage, other = BookStorage(through(proxy, postgres_url)), BookStorage(postgres_url)
    study_id = storage.create_new_study(MINIMIZE, "s")
    for _ in range(2):
        trial_id = ordinary_trial(storage, study_id)
        other.set_trial_user_attr(trial_id, "note", "of the dashboard")
        if fault is not None:
            proxy.set(fault, 1)
        assert storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.5])
    assert proxy.fired == (fault is not None)
    for trial in other.get_all_trials(study_id):
        assert (trial.values, trial.params) == ([1.5], {"x": 0.5})
        assert trial.user_attrs == {"note": "of the dashboard"}
    storage.close()
    other.close()
    assert invariants(postgres_url, overdue_s=0.25) == []


@pytest.mark.slow
@pytest.mark.parametrize("fault", [Fault.FREEZE_BEFORE, Fault.FREEZE_AFTER, Fault.TRICKLE])
def test_an_answer_that_never_comes_is_not_waited_for(
    postgres_url: str, proxy: Proxy, fault: Fault
) -> None:
    BookStorage(postgres_url).close()
    storage = BookStorage(through(proxy, postgres_url))
    storage.leases.register(HOLDER.worker)
    for at in (2, 5):  # a claim, a result
        name = f"{fault.name} {at}"
        proxy.set(fault, at)
        one_trial(storage, name)
        assert proxy.fired
        assert_whole(postgres_url, name)
    storage.close()
    assert invariants(postgres_url, overdue_s=0.25) == []


def test_a_crash_that_repeats_transaction_ids_does_not_deceive(
    postgres: Server, postgres_url: str, proxy: Proxy
) -> None:
    """The server crashes before the COMMIT, and others then commit under its old ids."""
    others = BookStorage(postgres_url)
    storage = BookStorage(through(proxy, postgres_url))

    def crash() -> None:
        postgres.restart(signal.SIGQUIT)
        for number in range(5):
            others.create_new_study(MINIMIZE, f"other {number}")

    proxy.set(Fault.CUT_BEFORE, 1, also=crash)
    study_id = storage.create_new_study(MINIMIZE, "mine")
    assert proxy.fired
    assert others.get_study_id_from_name("mine") == study_id
    storage.close()
    others.close()


@pytest.mark.parametrize("first", ["the teller", "the thread that flushes"])
def test_a_finish_that_nobody_can_confirm_is_confirmed_later(
    postgres: Server,
    postgres_url: str,
    proxy: Proxy,
    monkeypatch: pytest.MonkeyPatch,
    first: str,
) -> None:
    monkeypatch.setattr("trialbook.book.postgres_engine.LEAST_PATIENCE_S", 0.2)
    storage = BookStorage(through(proxy, postgres_url))
    storage.outage.patience_s = 0.2
    study_id = storage.create_new_study(MINIMIZE, "s")
    trial_id = storage.create_new_trial(study_id)
    attempt = storage.begin_attempt(trial_id, snapshots=[], seeds=Seeds(trial=1))
    storage._renewal.stop()
    storage._shelf.flusher.stop()
    attempt.log({"loss": 1.0}, 0, 0.0)
    proxy.set(Fault.CUT_AFTER, 1, also=lambda: postgres.stop(signal.SIGQUIT))
    try:
        with pytest.raises(BookUncertainError, match="did not come back"):
            storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
        with pytest.raises(BookUnreachableError):
            storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
    finally:
        postgres.start()
    if first == "the thread that flushes":
        storage.flush()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: pytest.fail("it was stored as fenced"))
        assert storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
    storage.close()
    assert invariants(postgres_url, overdue_s=0.25) == []


def test_a_server_that_is_away_is_waited_for_and_said_once(
    postgres: Server, postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    storage = BookStorage(postgres_url)
    study_id = storage.create_new_study(MINIMIZE, "s")
    postgres.stop(signal.SIGQUIT)
    timer = threading.Timer(1.0, postgres.start)
    timer.start()
    numbers = [storage.create_new_trial(study_id) for _ in range(3)]
    timer.join()
    assert len(storage.get_all_trials(study_id)) == len(numbers)
    said = [record.getMessage() for record in caplog.records]
    assert len([text for text in said if "cannot be reached" in text or "went away" in text]) == 1
    assert len([text for text in said if "is back" in text]) == 1
    storage.close()


def test_opening_fails_at_once_unless_somebody_says_how_long_to_wait(
    postgres: Server, postgres_url: str
) -> None:
    BookStorage(postgres_url).close()
    postgres.stop(signal.SIGQUIT)
    timer = threading.Timer(1.0, postgres.start)
    try:
        began = time.monotonic()
        with pytest.raises(BookUnreachableError, match="cannot be reached"):
            BookStorage(postgres_url)
        assert time.monotonic() - began < 20  # it waits for a server for half an hour
    finally:
        timer.start()
    BookStorage(postgres_url, patience_s=30).close()
    timer.join()


WAITING = """
import sys, time
from trialbook.book.storage import BookStorage
storage = BookStorage(sys.argv[1])
storage.create_new_study([], "s")
print("ready", flush=True)
sys.stdin.readline()
try:
    storage.get_all_studies()
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_an_interrupt_ends_the_wait(postgres: Server, postgres_url: str) -> None:
    waiting = subprocess.Popen(
        [sys.executable, "-c", WAITING, postgres_url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert waiting.stdin is not None
    assert waiting.stdout is not None
    assert waiting.stderr is not None
    assert waiting.stdout.readline() == "ready\n"
    postgres.stop(signal.SIGQUIT)
    try:
        waiting.stdin.write("\n")
        waiting.stdin.flush()
        assert "waiting for it" in waiting.stderr.readline()
        waiting.send_signal(signal.SIGINT)
        assert waiting.stdout.readline() == "interrupted\n"
        assert waiting.wait(20) == 0
    finally:
        waiting.kill()
        waiting.communicate()
        postgres.start()


SEARCH = """
import sys, time
import trialbook
from trialbook import tracked_objective

@tracked_objective(seed=1)
def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    for step in range(20):
        trial.log({"loss": x + step}, step=step)
        trial.report(x + step, step)
        time.sleep(0.02)
    print("done", trial.number, flush=True)
    return x

study = trialbook.create_study(study_name="s", storage=sys.argv[1], seed=1)
study.optimize(objective, n_trials=8)
"""


@pytest.mark.slow
def test_a_study_outlives_crashes_of_its_server(
    postgres: Server, postgres_url: str, tmp_path: Path
) -> None:
    (tmp_path / "search.py").write_text(SEARCH)
    search = subprocess.Popen(
        [sys.executable, "search.py", postgres_url],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert search.stdout is not None
    for away_s in (0.0, 3.0):
        assert search.stdout.readline().startswith("done")
        assert search.stdout.readline().startswith("done")
        postgres.stop(signal.SIGQUIT)
        time.sleep(away_s)
        postgres.start()
    _, errors = search.communicate(timeout=120)
    assert search.returncode == 0, errors
    assert "Traceback" not in errors
    storage = BookStorage(postgres_url)
    trials = storage.get_all_trials(storage.get_study_id_from_name("s"))
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 8
    reader = Reader(storage.book)
    for trial in trials:
        record = reader.trial(f"s/{trial.number}")
        assert list(reader.trial_series(record)["loss"].steps) == list(range(20))
        assert sorted(trial.intermediate_values) == list(range(20))
        assert len(record.attempts) == 1
    storage.close()
    assert invariants(postgres_url, overdue_s=0.25) == []
