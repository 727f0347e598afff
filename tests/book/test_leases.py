from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from trialbook.book.reading import Reader
from trialbook.book.retrying import Fate
from trialbook.book.storage import BookStorage
from trialbook.book.verification import verify
from trialbook.errors import AttemptFencedError, TrialbookWarning
from trialbook.records.execution import EndReason, OutcomeState, Seeds
from trialbook.records.retries import QUARANTINED, RetryBudgets
from trialbook.records.study import AttemptRecord, StudySpec, TrialRecord
from trialbook.records.workers import Claim, Holder, WaitFor, WorkerIdentity

from .conftest import config_snapshot

HERE = Holder(WorkerIdentity("a" * 32, "here", 1, boot="b", start_ticks=7), 60.0)
THERE = Holder(WorkerIdentity("c" * 32, "there", 2), 60.0)
DEATH = OutcomeState(EndReason.LOST, signal="SIGKILL", died=True)
WAITING = create_trial(state=TrialState.WAITING)


@pytest.fixture
def elsewhere(url: str, storage: BookStorage) -> Iterator[BookStorage]:
    elsewhere = BookStorage(url)
    yield elsewhere
    elsewhere.close()


@pytest.fixture(autouse=True)
def _workers(storage: BookStorage, study_id: int) -> None:
    for holder in (HERE, THERE):
        storage.leases.register(holder.worker, study_id)


@pytest.fixture
def budgets(storage: BookStorage, study_id: int) -> Callable[..., None]:
    def asked(**values: float) -> None:
        retries = RetryBudgets(**{"backoff_s": 0.0, **values})
        storage.set_study_spec(study_id, StudySpec(retries=retries))

    return asked


def _claim(storage: BookStorage, study_id: int, holder: Holder = HERE, **more: int) -> Claim:
    claim = storage.claim(study_id, holder=holder, **more)
    assert isinstance(claim, Claim)
    return claim


def _begin(storage: BookStorage, claim: Claim):
    return storage.begin_attempt(
        claim.trial_id,
        snapshots=[config_snapshot(layers=2)],
        seeds=Seeds(trial=1),
        claimed=claim.attempt,
    )


def _trial(storage: BookStorage, number: int = 0) -> TrialRecord:
    return Reader(storage.book).trial(f"digits/{number}")


def _attempts(storage: BookStorage, number: int = 0) -> tuple[AttemptRecord, ...]:
    return _trial(storage, number).attempts


def _short(holder: Holder) -> Holder:
    return Holder(holder.worker, -1.0)


def _eventually(true: Callable[[], object], within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_claim_has_its_attempt_and_lease_from_the_first(
    storage: BookStorage, study_id: int
) -> None:
    claim = _claim(storage, study_id)
    (attempt,) = _attempts(storage)
    assert (attempt.number, attempt.attempt_id) == (claim.attempt, claim.attempt_id)
    assert attempt.worker_id == HERE.worker.worker_id
    assert attempt.lease_s is not None
    assert attempt.seeds is None
    assert 0 < attempt.lease_s - time.time() <= 60.5


def test_the_claimed_attempt_gets_its_coordinates(storage: BookStorage, study_id: int) -> None:
    claim = _claim(storage, study_id)
    attempt = _begin(storage, claim)
    assert (attempt.attempt_id, attempt.number) == (claim.attempt_id, 1)
    (found,) = _attempts(storage)
    assert found.coordinates.config is not None
    assert found.lease_s is not None
    storage.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, [1.0])
    assert _attempts(storage)[0].end_reason is EndReason.COMPLETE


def test_a_claimed_attempt_begins_once(
    storage: BookStorage, elsewhere: BookStorage, study_id: int
) -> None:
    claim = _claim(storage, study_id)
    _begin(elsewhere, claim)
    with pytest.raises(AttemptFencedError):
        _begin(storage, claim)


def test_a_claim_that_was_reaped_does_not_begin(storage: BookStorage, study_id: int) -> None:
    claim = _claim(storage, study_id, _short(HERE))
    (reaped,) = storage.reap(study_id)
    assert (reaped.number, reaped.attempt, reaped.fate) == (0, 1, Fate.RETRIED)
    with pytest.raises(AttemptFencedError):
        _begin(storage, claim)


def test_an_expired_lease_that_nobody_reaped_is_renewed(
    storage: BookStorage, study_id: int
) -> None:
    claim = _claim(storage, study_id, _short(HERE))
    held = storage.leases.renew(HERE.worker.worker_id, [claim.attempt_id], 60.0)
    assert held == {claim.attempt_id}
    assert storage.reap() == []


def test_a_reaped_lease_is_not_renewed(storage: BookStorage, study_id: int) -> None:
    claim = _claim(storage, study_id, _short(HERE))
    assert storage.reap(study_id + 1) == []
    assert len(storage.reap()) == 1
    assert storage.leases.renew(HERE.worker.worker_id, [claim.attempt_id], 60.0) == set()
    assert storage.reap() == []


def test_nobody_renews_for_another_worker(storage: BookStorage, study_id: int) -> None:
    claim = _claim(storage, study_id)
    assert storage.leases.renew(THERE.worker.worker_id, [claim.attempt_id], 60.0) == set()


def test_a_running_trial_without_a_lease_is_never_reaped(
    storage: BookStorage, study_id: int
) -> None:
    storage.create_new_trial(study_id)
    claim = storage.claim(study_id)
    assert claim == Claim(claim.trial_id, 1)
    assert storage.reap() == []


def test_a_lost_trial_is_tried_again_with_its_params_and_number(
    storage: BookStorage, elsewhere: BookStorage, study_id: int, budgets: Callable[..., None]
) -> None:
    budgets()
    claim = _claim(storage, study_id)
    attempt = _begin(storage, claim)
    storage.set_trial_param(claim.trial_id, "x", 0.5, FloatDistribution(0, 1))
    storage.set_trial_system_attr(claim.trial_id, "grid_id", 3)
    storage.set_trial_system_attr(claim.trial_id, "completed_rung_0", 1.0)
    storage.set_trial_system_attr(claim.trial_id, "constraints", [1.0])
    storage.set_trial_user_attr(claim.trial_id, "note", "first")
    storage.set_trial_intermediate_value(claim.trial_id, 0, 0.25)
    attempt.log({"loss": 1.0}, 0, 0.0)
    storage.flush()
    assert elsewhere.end_dead_attempt(claim.trial_id, DEATH, attempt=1) is Fate.RETRIED
    assert elsewhere.end_dead_attempt(claim.trial_id, DEATH, attempt=1) is Fate.OVER
    waiting = elsewhere.get_trial(claim.trial_id)
    assert waiting.state is TrialState.WAITING
    assert waiting.params == {"x": 0.5}
    assert waiting.system_attrs == {"grid_id": 3}
    assert (waiting.user_attrs, waiting.intermediate_values) == ({}, {})
    assert waiting.datetime_start is None
    again = _claim(elsewhere, study_id, THERE)
    assert (again.trial_id, again.number, again.attempt) == (claim.trial_id, 0, 2)
    _begin(elsewhere, again)
    elsewhere.set_trial_state_values(again.trial_id, TrialState.COMPLETE, [2.0])
    first, second = _attempts(storage)
    assert (first.end_reason, first.outcome) == (EndReason.LOST, DEATH)
    assert {s.metric: s.count for s in first.series} == {"loss": 1, "objective": 1}
    assert (second.end_reason, second.worker_id) == (EndReason.COMPLETE, THERE.worker.worker_id)


def test_a_late_writer_is_kept_with_its_attempt_and_not_counted(
    storage: BookStorage, elsewhere: BookStorage, study_id: int, budgets: Callable[..., None]
) -> None:
    budgets()
    claim = _claim(storage, study_id, _short(HERE))
    attempt = _begin(storage, claim)
    assert len(elsewhere.reap()) == 1
    again = _claim(elsewhere, study_id, THERE)
    _begin(elsewhere, again)
    assert storage.get_trial(claim.trial_id).state is TrialState.RUNNING
    elsewhere.set_trial_state_values(again.trial_id, TrialState.COMPLETE, [2.0])
    attempt.log({"loss": 7.0}, 0, 0.0)
    attempt.returned(7.0)
    attempt.amend(config_snapshot(layers=9))
    attempt.end(OutcomeState(EndReason.COMPLETE, cpu_s=1.5))
    with pytest.warns(TrialbookWarning, match="does not count"):
        assert storage.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, [7.0])
    found = _trial(storage)
    late = found.attempts[0]
    assert (late.returned, late.coordinates.config) == (7.0, config_snapshot(layers=2).digest)
    assert late.outcome is not None
    assert (late.outcome.reason, late.outcome.died, late.outcome.cpu_s) == (
        EndReason.LOST,
        True,
        1.5,
    )
    assert "does not count" in late.outcome.gaps[-1]
    assert verify(storage.book).mismatches == ()
    assert found.values == (2.0,)
    assert [a.end_reason for a in found.attempts] == [EndReason.LOST, EndReason.COMPLETE]
    assert [s.count for s in found.attempts[0].series] == [1]


def test_a_process_does_not_claim_again_what_it_has_lost(
    storage: BookStorage, elsewhere: BookStorage, study_id: int, budgets: Callable[..., None]
) -> None:
    budgets()
    claim = _claim(storage, study_id, _short(HERE))
    trial_id = claim.trial_id
    _begin(storage, claim)
    assert len(elsewhere.reap()) == 1
    assert not storage.set_trial_state_values(trial_id, TrialState.RUNNING)
    with pytest.warns(TrialbookWarning, match="does not count"):
        storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [7.0])
    assert not storage.set_trial_state_values(trial_id, TrialState.RUNNING)
    assert elsewhere.set_trial_state_values(trial_id, TrialState.RUNNING)


@pytest.mark.parametrize(
    ("reason", "died", "attempts"),
    [
        (EndReason.LOST, False, 4),
        (EndReason.PREEMPTED, False, 4),
        (EndReason.LOST, True, 3),
        (EndReason.OUT_OF_MEMORY, False, 2),
        (EndReason.FAILED, False, 1),
        (EndReason.TIMED_OUT, False, 1),
        (EndReason.STALLED, False, 1),
        (EndReason.ABANDONED, False, 1),
    ],
)
def test_each_cause_has_its_own_budget(
    storage: BookStorage,
    study_id: int,
    budgets: Callable[..., None],
    reason: EndReason,
    died: bool,
    attempts: int,
) -> None:
    budgets()
    fates = []
    while not fates or fates[-1] is Fate.RETRIED:
        claim = _claim(storage, study_id)
        assert claim.number == 0
        fates.append(storage.end_dead_attempt(claim.trial_id, OutcomeState(reason, died=died)))
    assert len(fates) == attempts
    assert fates[-1] is (Fate.QUARANTINED if died else Fate.FAILED)
    trial = _trial(storage)
    assert trial.state == "FAIL"
    assert [a.end_reason for a in trial.attempts] == [reason] * attempts
    assert (QUARANTINED in trial.system_attrs) == died


def test_a_trial_waits_longer_after_each_loss(storage: BookStorage, study_id: int) -> None:
    retries = RetryBudgets(lost=20, backoff_s=40.0)
    storage.set_study_spec(study_id, StudySpec(retries=retries))
    claim = _claim(storage, study_id)
    storage.end_dead_attempt(claim.trial_id, OutcomeState(EndReason.LOST))
    assert not storage.set_trial_state_values(claim.trial_id, TrialState.RUNNING)
    wait = storage.claim(study_id, holder=HERE, budget=1)
    assert isinstance(wait, WaitFor)
    assert 15 < wait.seconds <= 60


def test_a_trial_that_was_given_back_comes_before_new_ones_and_counts_once(
    storage: BookStorage, study_id: int, budgets: Callable[..., None]
) -> None:
    budgets()
    storage.create_new_trial(study_id, WAITING)
    first, second = _claim(storage, study_id), _claim(storage, study_id)
    assert storage.claim(study_id, budget=2) is None
    storage.end_dead_attempt(second.trial_id, DEATH)
    storage.create_new_trial(study_id, WAITING)
    again = _claim(storage, study_id, budget=2)
    assert (again.trial_id, again.attempt) == (second.trial_id, 2)
    assert storage.claim(study_id, budget=2) is None
    assert first.trial_id != second.trial_id


def test_the_objectives_exception_is_tried_again_only_with_a_budget(
    storage: BookStorage, study_id: int, budgets: Callable[..., None]
) -> None:
    budgets(failed=1)
    for number, retried in ((1, True), (2, False)):
        claim = _claim(storage, study_id)
        attempt = _begin(storage, claim)
        attempt.log({"loss": float(number)}, 0, 0.0)
        assert not storage.retried(claim.trial_id)  # nothing said of its end yet
        attempt.end(OutcomeState(EndReason.FAILED, exception="ValueError"))
        assert storage.retried(claim.trial_id) is retried
    storage.set_trial_state_values(claim.trial_id, TrialState.FAIL)
    trial = _trial(storage)
    assert [a.end_reason for a in trial.attempts] == [EndReason.FAILED] * 2
    assert [a.series[0].last for a in trial.attempts] == [1.0, 2.0]
    assert trial.state == "FAIL"
    with pytest.raises(AttemptFencedError):
        attempt.log({"loss": 3.0}, 1, 0.0)


def test_this_process_renews_its_own_leases_and_reaps_others(
    storage: BookStorage, elsewhere: BookStorage, study_id: int, budgets: Callable[..., None]
) -> None:
    budgets()
    lost = _claim(elsewhere, study_id, _short(THERE))
    trial_id = storage.create_new_trial(study_id)
    holder = Holder(HERE.worker, 0.4)
    storage.begin_attempt(trial_id, snapshots=[], seeds=Seeds(trial=1), holder=holder)

    def lease() -> float:
        found = _attempts(elsewhere, 1)[-1].lease_s
        assert found is not None
        return found

    first = lease()
    _eventually(lambda: lease() > first + 0.3)
    _eventually(lambda: elsewhere.get_trial(lost.trial_id).state is TrialState.WAITING)
    assert [r.number for r in elsewhere.reap()] == []
    storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])


def test_two_workers_at_one_trial_never_both_have_it(
    storage: BookStorage, elsewhere: BookStorage, study_id: int, budgets: Callable[..., None]
) -> None:
    budgets(lost=1000)
    claim = _claim(storage, study_id)
    for _ in range(20):
        storage.end_dead_attempt(claim.trial_id, OutcomeState(EndReason.LOST))
        with ThreadPoolExecutor(2) as threads:
            found = threads.map(
                lambda pair: pair[0].claim(study_id, budget=1, holder=pair[1]),
                ((storage, HERE), (elsewhere, THERE)),
            )
        assert len([one for one in found if isinstance(one, Claim)]) == 1


def test_workers_are_known_with_their_last_sign_of_life(
    storage: BookStorage, study_id: int
) -> None:
    storage.leases.leave(THERE.worker.worker_id)
    here, there = storage.leases.workers(study_id)
    assert (here.identity, here.state, here.ended_s) == (HERE.worker, "working", None)
    assert (there.identity, there.state) == (THERE.worker, "left")
    assert there.ended_s is not None
    storage.leases.renew(HERE.worker.worker_id, [], 60.0)
    assert storage.leases.workers(study_id)[0].seen_s >= here.seen_s
