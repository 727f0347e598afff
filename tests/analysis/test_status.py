"""How a study is doing, on books of both databases that workers have left in every state."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import optuna
import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState

from trialbook import analysis
from trialbook.analysis.status import StudyStatus, WorkerState
from trialbook.book.storage import BookStorage
from trialbook.errors import NotFoundError
from trialbook.records.config import SearchSettings
from trialbook.records.execution import EndReason, OutcomeState, Seeds
from trialbook.records.retries import BudgetUse, RetryBudgets
from trialbook.records.study import StudySpec
from trialbook.records.workers import Claim, Holder, WorkerIdentity

ONE = WorkerIdentity("a" * 32, "one", 11, launcher="slurm", job="77")
TWO = WorkerIdentity("b" * 32, "two", 12)
LOST = OutcomeState(EndReason.LOST, signal="SIGKILL", message="killed", died=True)


@pytest.fixture
def study_id(storage: BookStorage) -> int:
    study_id = storage.create_new_study([StudyDirection.MINIMIZE], "digits")
    for worker in (ONE, TWO):
        storage.leases.register(worker, study_id)
    return study_id


def _ask(storage: BookStorage, study_id: int, *, backoff_s: float = 0.0, trials: int = 10) -> None:
    retries = RetryBudgets(backoff_s=backoff_s)
    spec = StudySpec(retries=retries, search=SearchSettings(trials=trials))
    storage.set_study_spec(study_id, spec)


def _claim(
    storage: BookStorage, study_id: int, worker: WorkerIdentity = ONE, lease_s: float = 60.0
) -> Claim:
    claim = storage.claim(study_id, holder=Holder(worker, lease_s))
    assert isinstance(claim, Claim)
    return claim


def _finish(storage: BookStorage, claim: Claim, state: TrialState = TrialState.COMPLETE) -> None:
    storage.begin_attempt(claim.trial_id, snapshots=[], seeds=Seeds(trial=1), claimed=claim.attempt)
    values = [1.0] if state is TrialState.COMPLETE else None
    storage.set_trial_state_values(claim.trial_id, state, values)


def _status(storage: BookStorage) -> StudyStatus:
    return analysis.status("digits", storage=storage)


def test_a_study_without_workers_and_trials(storage: BookStorage) -> None:
    storage.create_new_study([StudyDirection.MINIMIZE], "digits")
    found = _status(storage)
    assert (found.study.name, found.study.states, found.endings) == ("digits", {}, {})
    assert (found.workers, found.retries, found.expired, found.unleased) == ((), (), (), ())
    assert (found.budget, found.left_s) == (None, None)
    assert (found.throughput.finished, found.throughput.per_hour) == (0, None)
    with pytest.raises(NotFoundError, match="did you mean 'digits'"):
        analysis.status("digit", storage=storage)


def test_who_works_holds_and_has_finished_what(storage: BookStorage, study_id: int) -> None:
    _ask(storage, study_id)
    for _ in range(2):
        _finish(storage, _claim(storage, study_id))
    _finish(storage, _claim(storage, study_id, TWO), TrialState.FAIL)
    claim = _claim(storage, study_id, TWO)
    storage.leases.leave(ONE.worker_id)

    found = _status(storage)

    one, two = found.workers
    assert (one.worker, one.state, one.holds, one.finished) == (ONE, WorkerState.LEFT, (), 2)
    assert one.is_gone
    assert (two.worker, two.state, two.finished) == (TWO, WorkerState.WORKING, 1)
    (held,) = two.holds
    assert (held.number, held.attempt, held.worker_id) == (claim.number, 1, TWO.worker_id)
    assert 0 < held.lease_left_s <= 60
    assert 0 <= held.running_s < 60
    assert 0 <= two.silent_s < 60
    assert found.throughput.finished == 3
    assert found.throughput.recent_per_hour > 0
    assert found.throughput.per_hour is not None
    assert one.per_hour is not None
    budget = found.budget
    assert budget is not None
    assert (budget.trials, budget.taken, budget.to_begin, budget.to_go) == (10, 4, 6, 7)
    assert found.left_s is not None
    assert found.endings == {EndReason.COMPLETE: 2, EndReason.FAILED: 1}
    assert (found.expired, found.unleased) == ((), ())


def test_what_is_tried_again_and_when(storage: BookStorage, study_id: int) -> None:
    _ask(storage, study_id, backoff_s=200.0)
    _finish(storage, _claim(storage, study_id))
    claims = [_claim(storage, study_id) for _ in range(3)]
    for claim, outcome in zip(
        claims, (LOST, OutcomeState(EndReason.OUT_OF_MEMORY, exit_code=137)), strict=False
    ):
        storage.end_dead_attempt(claim.trial_id, outcome)
    storage.set_trial_state_values(claims[2].trial_id, TrialState.WAITING)

    found = _status(storage)

    given, *others = found.retries
    assert (given.number, given.attempt, given.wait_s) == (3, 2, 0.0)
    assert given.reason is EndReason.PREEMPTED
    lost, memory = sorted(others, key=lambda retry: retry.number)
    assert (lost.number, lost.attempt, lost.reason) == (1, 2, EndReason.LOST)
    assert lost.use == BudgetUse("lost", 1, 3)
    assert lost.last == LOST
    assert (memory.number, memory.use) == (2, BudgetUse("out_of_memory", 1, 1))
    assert all(99 < retry.wait_s <= 300 for retry in others)
    assert found.budget is not None
    assert (found.budget.taken, found.budget.to_begin, found.budget.to_go) == (4, 6, 9)
    assert [worker.finished for worker in found.workers] == [1, 0]


def test_leases_that_are_over_and_trials_that_nobody_leases(
    storage: BookStorage, study_id: int
) -> None:
    storage.create_new_trial(study_id)
    claim = _claim(storage, study_id, TWO, lease_s=-30.0)
    _claim(storage, study_id, ONE)

    found = _status(storage)

    (expired,) = found.expired
    assert (expired.number, expired.worker_id) == (claim.number, TWO.worker_id)
    assert -90 < expired.lease_left_s <= -30
    assert found.unleased == (0,)
    assert [worker.state for worker in found.workers] == [WorkerState.WORKING, WorkerState.SILENT]
    assert len(storage.reap(study_id)) == 1
    assert _status(storage).expired == ()


def test_trials_in_quarantine_have_their_reason(storage: BookStorage, study_id: int) -> None:
    _ask(storage, study_id)
    for _ in range(3):
        storage.end_dead_attempt(_claim(storage, study_id).trial_id, LOST)

    found = _status(storage)

    (quarantined,) = found.quarantined
    assert quarantined.number == 0
    assert quarantined.reason == "3 processes that ran this trial died without a word"
    assert found.endings == {EndReason.LOST: 3}
    assert found.workers[0].finished == 0


def test_only_the_books_clock_counts(
    storage: BookStorage, study_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    _claim(storage, study_id)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 86400.0)

    found = _status(storage)

    assert 0 < found.workers[0].holds[0].lease_left_s <= 60
    assert found.workers[0].silent_s < 60
    assert abs(found.at_s - now) < 60


def test_other_studies_are_left_out(storage: BookStorage, study_id: int) -> None:
    other = storage.create_new_study([StudyDirection.MINIMIZE], "other")
    _finish(storage, _claim(storage, other, TWO))
    _claim(storage, other, TWO)

    found = _status(storage)

    assert found.study.states == {}
    assert [(w.worker, w.holds, w.finished) for w in found.workers] == [(ONE, (), 0), (TWO, (), 0)]
    # TWO was registered for the first study, and worked on both.
    (worker,) = analysis.status("other", storage=storage).workers
    assert (worker.worker, worker.finished, len(worker.holds)) == (TWO, 1, 1)


def test_an_optuna_study_and_a_book_that_is_only_read(tmp_path: Path) -> None:
    path = tmp_path / "book.db"
    storage = BookStorage(path)
    study = optuna.create_study(study_name="digits", storage=storage)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    assert analysis.status(study).study.states == {"COMPLETE": 3}
    storage.close()
    before = path.read_bytes()

    assert analysis.status("digits", storage=path).study.states == {"COMPLETE": 3}

    assert path.read_bytes() == before


def test_a_large_study_takes_few_queries(tmp_path: Path) -> None:
    """As many for 2,000 trials as for none: what SQLite is asked is counted."""
    path = tmp_path / "book.db"
    storage = BookStorage(path)
    study_id = storage.create_new_study([StudyDirection.MINIMIZE], "digits")
    storage.leases.register(ONE, study_id)
    _claim(storage, study_id)
    few = _statements(storage)
    with sqlite3.connect(path) as connection:
        connection.executemany(
            "INSERT INTO tb_trial(study_id, number, state, attempt) VALUES (?, ?, ?, 1)",
            [(study_id, number, number % 2 * 4) for number in range(1, 2001)],
        )
        connection.execute(
            "INSERT INTO tb_attempt(trial_id, number, worker_id, lease, started) "
            "SELECT trial_id, 1, ?, 4e9, 1.0 FROM tb_trial WHERE number > 0",
            [ONE.worker_id],
        )
    connection.close()
    many = _statements(storage)
    found = _status(storage)
    assert (len(found.workers[0].holds), len(found.retries)) == (1001, 1000)
    assert many == few
    storage.close()


def _statements(storage: BookStorage) -> int:
    count = 0

    def counted(statement: str) -> None:
        nonlocal count
        count += statement.startswith("SELECT")

    with storage.book.reading() as connection:
        raw = connection.connection.driver_connection
    assert raw is not None
    raw.set_trace_callback(counted)
    _status(storage)
    raw.set_trace_callback(None)
    assert count > 4
    return count
