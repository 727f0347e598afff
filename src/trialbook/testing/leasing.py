"""The contract of a book, third part: leases, late writers, and trials that are tried again."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from trialbook.book.retrying import Fate
from trialbook.book.storage import BookStorage
from trialbook.errors import AttemptFencedError, TrialbookWarning
from trialbook.records.execution import EndReason, OutcomeState, Seeds
from trialbook.records.retries import QUARANTINED
from trialbook.records.workers import Claim, Holder
from trialbook.testing.case import BookCase, config, expired

DEATH = OutcomeState(EndReason.LOST, signal="SIGKILL", died=True)
_DEADLINE_S = 30.0
_POLL_S = 0.02

Budgets = Callable[..., None]


def eventually(true: Callable[[], object]) -> None:
    """Wait until something is true."""
    until = time.monotonic() + _DEADLINE_S
    while not true():
        assert time.monotonic() < until, "it has not come true"
        time.sleep(_POLL_S)


class LeaseContract(BookCase):
    """Leases: who holds a trial, until when, and what becomes of it then."""

    def test_a_claim_has_its_attempt_and_lease_from_the_first(
        self, storage: BookStorage, study: str, study_id: int, here: Holder
    ) -> None:
        claim = self.claimed(storage, study_id, here)
        (attempt,) = self.record(storage, study).attempts
        assert (attempt.number, attempt.attempt_id) == (claim.attempt, claim.attempt_id)
        assert attempt.worker_id == here.worker.worker_id
        assert attempt.seeds is None
        assert attempt.lease_s is not None
        assert self.record(storage, study).state == "RUNNING"

    def test_the_claimed_attempt_gets_its_coordinates_once(
        self, storage: BookStorage, elsewhere: BookStorage, study: str, study_id: int, here: Holder
    ) -> None:
        claim = self.claimed(storage, study_id, here)
        attempt = self.begun(elsewhere, claim)
        assert (attempt.attempt_id, attempt.number) == (claim.attempt_id, 1)
        with pytest.raises(AttemptFencedError, match="given to another worker"):
            self.begun(storage, claim)
        (found,) = self.record(storage, study).attempts
        assert found.coordinates.config == config(layers=2).digest
        elsewhere.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, [1.0])
        assert self.record(storage, study).attempts[0].end_reason is EndReason.COMPLETE

    def test_a_claim_that_was_reaped_does_not_begin(
        self, storage: BookStorage, study_id: int, here: Holder
    ) -> None:
        claim = self.claimed(storage, study_id, expired(here))
        (reaped,) = storage.reap(study_id)
        assert (reaped.number, reaped.attempt, reaped.fate) == (0, 1, Fate.RETRIED)
        assert reaped.worker_id == here.worker.worker_id
        with pytest.raises(AttemptFencedError, match="given to another worker"):
            self.begun(storage, claim)

    def test_an_expired_lease_that_nobody_reaped_is_renewed(
        self, storage: BookStorage, study_id: int, here: Holder, there: Holder
    ) -> None:
        claim = self.claimed(storage, study_id, expired(here))
        ids, leases = [claim.attempt_id], storage.leases
        assert leases.renew(there.worker.worker_id, ids, 600.0) == set()
        assert leases.renew(here.worker.worker_id, ids, 600.0) == set(ids)
        assert storage.reap(study_id) == []

    def test_a_reaped_lease_is_not_renewed(
        self, storage: BookStorage, elsewhere: BookStorage, study_id: int, here: Holder
    ) -> None:
        claim = self.claimed(storage, study_id, expired(here))
        assert storage.reap(study_id + 1) == []
        assert len(elsewhere.reap(study_id)) == 1
        ids = [claim.attempt_id]
        assert storage.leases.renew(here.worker.worker_id, ids, 600.0) == set()
        assert storage.reap(study_id) == []

    def test_a_running_trial_without_a_lease_is_never_reaped(
        self, storage: BookStorage, study_id: int
    ) -> None:
        storage.create_new_trial(study_id)
        claim = self.claimed(storage, study_id)
        assert claim == Claim(claim.trial_id, 1)
        assert storage.reap(study_id) == []

    def test_a_process_renews_its_own_leases_and_reaps_those_of_others(
        self,
        storage: BookStorage,
        elsewhere: BookStorage,
        study: str,
        study_id: int,
        here: Holder,
        there: Holder,
        budgets: Budgets,
    ) -> None:
        budgets()
        lost = self.claimed(elsewhere, study_id, expired(there))
        trial_id = storage.create_new_trial(study_id)
        short = Holder(here.worker, 0.4)
        storage.begin_attempt(trial_id, snapshots=[], seeds=Seeds(trial=1), holder=short)

        def lease_s() -> float:
            return self.record(elsewhere, study, 1).attempts[-1].lease_s or 0.0

        first = lease_s()
        eventually(lambda: lease_s() > first + 0.3)
        eventually(lambda: elsewhere.get_trial(lost.trial_id).state is TrialState.WAITING)
        assert storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])

    def test_workers_are_known_with_their_last_sign_of_life(
        self, storage: BookStorage, study_id: int, here: Holder, there: Holder
    ) -> None:
        storage.leases.leave(there.worker.worker_id)
        one, other = storage.leases.workers(study_id)
        assert (one.identity, one.state, one.ended_s) == (here.worker, "working", None)
        assert (other.identity, other.state) == (there.worker, "left")
        assert other.ended_s is not None
        storage.leases.renew(here.worker.worker_id, [], 60.0)
        assert storage.leases.workers(study_id)[0].seen_s >= one.seen_s

    def test_a_lost_trial_is_tried_again_with_its_params_and_number(
        self,
        storage: BookStorage,
        elsewhere: BookStorage,
        study: str,
        study_id: int,
        here: Holder,
        there: Holder,
        budgets: Budgets,
    ) -> None:
        budgets()
        claim = self.claimed(storage, study_id, here)
        attempt, trial_id = self.begun(storage, claim), claim.trial_id
        storage.set_trial_param(trial_id, "x", 0.5, FloatDistribution(0, 1))
        for key in ("grid_id", "completed_rung_0", "constraints"):
            storage.set_trial_system_attr(trial_id, key, [3.0])
        storage.set_trial_user_attr(trial_id, "note", "first")
        storage.set_trial_intermediate_value(trial_id, 0, 0.25)
        attempt.log({"loss": 1.0}, 0, 0.0)
        storage.flush()
        assert elsewhere.end_dead_attempt(trial_id, DEATH, attempt=1) is Fate.RETRIED
        assert elsewhere.end_dead_attempt(trial_id, DEATH, attempt=1) is Fate.OVER
        waiting = elsewhere.get_trial(trial_id)
        assert waiting.state is TrialState.WAITING
        assert waiting.params == {"x": 0.5}
        assert waiting.system_attrs == {"grid_id": [3.0]}
        assert (waiting.user_attrs, waiting.intermediate_values) == ({}, {})
        assert waiting.datetime_start is None
        again = self.claimed(elsewhere, study_id, there)
        assert (again.trial_id, again.number, again.attempt) == (trial_id, 0, 2)
        self.begun(elsewhere, again)
        elsewhere.set_trial_state_values(trial_id, TrialState.COMPLETE, [2.0])
        first, second = self.record(storage, study).attempts
        assert (first.end_reason, first.outcome) == (EndReason.LOST, DEATH)
        assert {s.metric: s.count for s in first.series} == {"loss": 1, "objective": 1}
        assert second.end_reason is EndReason.COMPLETE
        assert second.worker_id == there.worker.worker_id

    def test_a_late_writer_is_kept_with_its_attempt_and_not_counted(
        self,
        storage: BookStorage,
        elsewhere: BookStorage,
        study: str,
        study_id: int,
        here: Holder,
        there: Holder,
        budgets: Budgets,
    ) -> None:
        budgets()
        claim = self.claimed(storage, study_id, expired(here))
        attempt, trial_id = self.begun(storage, claim), claim.trial_id
        assert len(elsewhere.reap(study_id)) == 1
        self.begun(elsewhere, self.claimed(elsewhere, study_id, there))
        assert storage.get_trial(trial_id).state is TrialState.RUNNING
        storage.set_trial_param(trial_id, "x", 0.5, FloatDistribution(0, 1))
        storage.set_trial_user_attr(trial_id, "late", True)
        with suppress(AttemptFencedError):  # the thread that flushes may have been first
            storage.flush()
        assert attempt.fenced
        attempt.log({"loss": 7.0}, 0, 0.0)
        with pytest.warns(TrialbookWarning, match="does not count"):
            assert storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [7.0])
        assert not storage.set_trial_state_values(trial_id, TrialState.RUNNING)
        elsewhere.set_trial_state_values(trial_id, TrialState.COMPLETE, [2.0])
        found = self.record(storage, study)
        assert found.values == (2.0,)
        assert (found.params, found.user_attrs) == ((), {})
        assert [a.end_reason for a in found.attempts] == [EndReason.LOST, EndReason.COMPLETE]
        assert [s.count for s in found.attempts[0].series] == [1]

    def test_a_process_does_not_claim_again_what_it_has_lost(
        self,
        storage: BookStorage,
        elsewhere: BookStorage,
        study_id: int,
        here: Holder,
        budgets: Budgets,
    ) -> None:
        budgets()
        claim = self.claimed(storage, study_id, expired(here))
        self.begun(storage, claim)
        assert len(elsewhere.reap(study_id)) == 1
        assert not storage.set_trial_state_values(claim.trial_id, TrialState.RUNNING)
        with pytest.warns(TrialbookWarning, match="does not count"):
            assert storage.set_trial_state_values(claim.trial_id, TrialState.WAITING)
        assert not storage.set_trial_state_values(claim.trial_id, TrialState.RUNNING)
        assert elsewhere.set_trial_state_values(claim.trial_id, TrialState.RUNNING)


class RetryContract(BookCase):
    """Budgets: how often a trial is tried again, by cause."""

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
        self,
        storage: BookStorage,
        study: str,
        study_id: int,
        here: Holder,
        budgets: Budgets,
        reason: EndReason,
        died: bool,
        attempts: int,
    ) -> None:
        budgets()
        fates: list[Fate] = []
        while not fates or fates[-1] is Fate.RETRIED:
            claim = self.claimed(storage, study_id, here)
            assert claim.number == 0
            fates.append(storage.end_dead_attempt(claim.trial_id, OutcomeState(reason, died=died)))
        assert len(fates) == attempts
        assert fates[-1] is (Fate.QUARANTINED if died else Fate.FAILED)
        trial = self.record(storage, study)
        assert trial.state == "FAIL"
        assert [a.end_reason for a in trial.attempts] == [reason] * attempts
        assert (QUARANTINED in trial.system_attrs) == died

    def test_the_objectives_exception_is_tried_again_only_with_a_budget(
        self, storage: BookStorage, study: str, study_id: int, here: Holder, budgets: Budgets
    ) -> None:
        budgets(failed=1)
        for number, retried in ((1, True), (2, False)):
            claim = self.claimed(storage, study_id, here)
            attempt = self.begun(storage, claim)
            attempt.log({"loss": float(number)}, 0, 0.0)
            assert not storage.retried(claim.trial_id)  # nothing said of its end yet
            attempt.end(OutcomeState(EndReason.FAILED, exception="ValueError"))
            assert storage.retried(claim.trial_id) is retried
        storage.set_trial_state_values(claim.trial_id, TrialState.FAIL)
        trial = self.record(storage, study)
        assert trial.state == "FAIL"
        assert [a.end_reason for a in trial.attempts] == [EndReason.FAILED] * 2
        assert [a.series[0].last for a in trial.attempts] == [1.0, 2.0]
        with pytest.raises(AttemptFencedError, match="has ended"):
            attempt.log({"loss": 3.0}, 1, 0.0)
