"""The contract of a book, second part: no trial is handed out twice, whoever asks for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import Study
from optuna.trial import TrialState, create_trial

from trialbook.book.storage import BookStorage
from trialbook.records.execution import EndReason, OutcomeState
from trialbook.records.retries import RetryBudgets
from trialbook.records.study import StudySpec
from trialbook.records.workers import Claim, Holder, WaitFor
from trialbook.testing.case import WAITING, BookCase

_DEADLINE_S = 60.0


class ClaimContract(BookCase):
    """Claims: who gets which trial, and when."""

    def test_only_one_wins(self, storage: BookStorage, study_id: int) -> None:
        trial_id = storage.create_new_trial(study_id, WAITING)
        assert storage.set_trial_state_values(trial_id, TrialState.RUNNING)
        assert storage.get_trial(trial_id).datetime_start is not None
        assert not storage.set_trial_state_values(trial_id, TrialState.RUNNING)
        storage.set_trial_state_values(trial_id, TrialState.FAIL)
        with pytest.raises(UpdateFinishedTrialError):
            storage.set_trial_state_values(trial_id, TrialState.RUNNING)

    def test_the_oldest_comes_first_then_new_ones(
        self, storage: BookStorage, study_id: int
    ) -> None:
        waiting = [storage.create_new_trial(study_id, WAITING) for _ in range(3)]
        claimed = [self.claimed(storage, study_id) for _ in range(5)]
        assert [claim.trial_id for claim in claimed[:3]] == waiting
        assert [claim.number for claim in claimed] == [0, 1, 2, 3, 4]

    def test_the_budget_is_a_total(self, storage: BookStorage, study_id: int) -> None:
        for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL):
            value = 1.0 if state is TrialState.COMPLETE else None
            storage.create_new_trial(study_id, create_trial(state=state, value=value))
        assert storage.claim(study_id, budget=3) is None
        assert isinstance(storage.claim(study_id, budget=4), Claim)
        storage.create_new_trial(study_id, WAITING)
        assert storage.claim(study_id, budget=4) is None

    def test_where_no_trial_is_to_be_made_nothing_is_left(
        self, storage: BookStorage, study_id: int, here: Holder, budgets: Callable[..., None]
    ) -> None:
        budgets()
        assert storage.claim(study_id, only_waiting=True) is None
        waiting = storage.create_new_trial(study_id, WAITING)
        first = storage.claim(study_id, holder=here, only_waiting=True)
        assert isinstance(first, Claim)
        assert first.trial_id == waiting
        assert storage.claim(study_id, only_waiting=True) is None
        storage.end_dead_attempt(waiting, OutcomeState(EndReason.LOST))
        again = storage.claim(study_id, holder=here, only_waiting=True)
        assert isinstance(again, Claim)
        assert (again.trial_id, again.attempt) == (waiting, 2)

    def test_abandoned_trials_are_made_up_for(self, storage: BookStorage, study_id: int) -> None:
        claim = self.claimed(storage, study_id, budget=1)
        storage.end_dead_attempt(claim.trial_id, OutcomeState(EndReason.ABANDONED))
        assert isinstance(storage.claim(study_id, budget=1), Claim)
        assert storage.claim(study_id, budget=1) is None

    def test_a_trial_that_was_given_back_comes_first_and_counts_once(
        self, storage: BookStorage, study_id: int, here: Holder, budgets: Callable[..., None]
    ) -> None:
        budgets()
        storage.create_new_trial(study_id, WAITING)
        self.claimed(storage, study_id, here)
        second = self.claimed(storage, study_id, here)
        assert storage.claim(study_id, budget=2) is None
        storage.end_dead_attempt(second.trial_id, OutcomeState(EndReason.LOST))
        storage.create_new_trial(study_id, WAITING)
        again = self.claimed(storage, study_id, here, budget=2)
        assert (again.trial_id, again.attempt) == (second.trial_id, 2)
        assert storage.claim(study_id, budget=2) is None

    def test_a_trial_that_was_lost_waits_before_it_is_tried_again(
        self, storage: BookStorage, study_id: int, here: Holder
    ) -> None:
        retries = RetryBudgets(lost=20, backoff_s=40.0)
        storage.set_study_spec(study_id, StudySpec(retries=retries))
        claim = self.claimed(storage, study_id, here)
        storage.end_dead_attempt(claim.trial_id, OutcomeState(EndReason.LOST))
        assert not storage.set_trial_state_values(claim.trial_id, TrialState.RUNNING)
        wait = storage.claim(study_id, holder=here, budget=1)
        assert isinstance(wait, WaitFor)
        assert 15 < wait.seconds <= 60

    def test_threads_and_processes_that_claim_never_get_one_trial_twice(
        self, storage: BookStorage, elsewhere: BookStorage, study_id: int
    ) -> None:
        waiting = {storage.create_new_trial(study_id, WAITING) for _ in range(20)}
        gate = threading.Barrier(4)

        def claimed(one: BookStorage) -> list[int]:
            gate.wait(_DEADLINE_S)
            found = []
            while (claim := one.claim(study_id, budget=40)) is not None:
                assert isinstance(claim, Claim)
                found.append(claim.trial_id)
                one.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, [0.0])
            return found

        with ThreadPoolExecutor(4) as threads:
            ran = list(threads.map(claimed, [storage, elsewhere] * 2))
        everything = [trial_id for each in ran for trial_id in each]
        assert len(everything) == len(set(everything)) == 40
        assert waiting <= set(everything)
        numbers = [trial.number for trial in elsewhere.get_all_trials(study_id)]
        assert numbers == list(range(40))

    def test_threads_and_processes_that_ask_never_get_one_trial_twice(
        self, storage: BookStorage, elsewhere: BookStorage, study: str, study_id: int
    ) -> None:
        own = Study(study, storage)
        for index in range(16):
            own.enqueue_trial({"x": index})
        gate = threading.Barrier(4)

        def asked(one: BookStorage) -> list[int]:
            mine = Study(study, one)
            gate.wait(_DEADLINE_S)
            found = []
            for _ in range(6):
                trial = mine.ask()
                found.append(trial._trial_id)
                mine.tell(trial, 0.0)
            return found

        with ThreadPoolExecutor(4) as threads:
            ran = list(threads.map(asked, [storage, elsewhere] * 2))
        everything = [trial_id for each in ran for trial_id in each]
        assert len(everything) == len(set(everything)) == 24
        done = [t for t in elsewhere.get_all_trials(study_id) if t.state.is_finished()]
        assert sum("fixed_params" in trial.system_attrs for trial in done) == 16

    def test_two_workers_at_one_lost_trial_never_both_have_it(
        self,
        storage: BookStorage,
        elsewhere: BookStorage,
        study_id: int,
        here: Holder,
        there: Holder,
        budgets: Callable[..., None],
    ) -> None:
        budgets(lost=1000)
        claim = self.claimed(storage, study_id, here)
        with ThreadPoolExecutor(2) as threads:
            for _ in range(10):
                storage.end_dead_attempt(claim.trial_id, OutcomeState(EndReason.LOST))
                found = threads.map(
                    lambda pair: pair[0].claim(study_id, budget=1, holder=pair[1]),
                    ((storage, here), (elsewhere, there)),
                )
                assert len([one for one in found if isinstance(one, Claim)]) == 1
