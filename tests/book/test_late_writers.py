"""What a process still does to a trial that it has lost leaves the trial, and everybody, alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from optuna.trial import TrialState
from sqlalchemy import update

from trialbook.book import schema
from trialbook.book.attempt import Attempt
from trialbook.book.reading import Reader
from trialbook.book.removal import remove_trial
from trialbook.book.storage import BookStorage
from trialbook.errors import AttemptFencedError, TrialbookWarning
from trialbook.records.execution import EndReason, OutcomeState, Seeds
from trialbook.records.study import AttemptRecord
from trialbook.records.workers import Holder, WorkerIdentity
from trialbook.testing import invariants

from .conftest import config_snapshot

Begin = Callable[..., Attempt]


@pytest.fixture
def elsewhere(url: str, storage: BookStorage) -> Iterator[BookStorage]:
    elsewhere = BookStorage(url)
    yield elsewhere
    elsewhere.close()


def _taken_over(elsewhere: BookStorage, attempt: Attempt) -> Attempt:
    return elsewhere.begin_attempt(attempt.trial_id, snapshots=[], seeds=Seeds(trial=2))


def _attempts(storage: BookStorage) -> tuple[AttemptRecord, ...]:
    return Reader(storage.book).trial("digits/0").attempts


def test_what_a_late_writer_says_is_kept_beside_how_its_attempt_was_ended(
    storage: BookStorage, elsewhere: BookStorage, study_id: int
) -> None:
    lost = Holder(WorkerIdentity("a" * 32, "here", 1), 600.0)
    trial_id = storage.create_new_trial(study_id)
    attempt = storage.begin_attempt(
        trial_id, snapshots=[config_snapshot(layers=2)], seeds=Seeds(trial=1), holder=lost
    )
    storage._renewal.stop()
    with elsewhere.book.writing() as connection:
        connection.execute(update(schema.attempt).values(lease=0.0))
    assert len(elsewhere.reap()) == 1
    with elsewhere.book.writing() as connection:
        connection.execute(update(schema.trial).values(not_before=None))
    assert elsewhere.set_trial_state_values(trial_id, TrialState.RUNNING)
    _taken_over(elsewhere, attempt)
    elsewhere.set_trial_state_values(trial_id, TrialState.COMPLETE, [2.0])
    attempt.log({"loss": 7.0}, 0, 0.0)
    attempt.returned(7.0)
    attempt.amend(config_snapshot(layers=9))
    attempt.end(OutcomeState(EndReason.COMPLETE, cpu_s=1.5))
    with pytest.warns(TrialbookWarning, match="does not count"):
        assert storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [7.0])
    late, counted = _attempts(storage)
    assert (late.returned, late.coordinates.config) == (7.0, config_snapshot(layers=2).digest)
    assert late.outcome is not None
    assert (late.end_reason, late.outcome.reason) == (EndReason.LOST, EndReason.LOST)
    assert (late.outcome.died, late.outcome.cpu_s) == (True, 1.5)
    assert "does not count" in late.outcome.gaps[-1]
    assert [s.count for s in late.series] == [1]
    assert counted.end_reason is EndReason.COMPLETE
    assert invariants(storage.book) == []


def test_an_attempt_that_another_one_follows_has_ended(
    begin: Begin, storage: BookStorage, elsewhere: BookStorage
) -> None:
    second = _taken_over(elsewhere, begin())
    assert [a.end_reason for a in _attempts(storage)] == [EndReason.FENCED, None]
    elsewhere.set_trial_state_values(second.trial_id, TrialState.COMPLETE, [1.0])
    assert invariants(storage.book) == []


def test_giving_back_a_lost_trial_leaves_its_new_owner_alone(
    begin: Begin, storage: BookStorage, elsewhere: BookStorage
) -> None:
    first = begin()
    second = _taken_over(elsewhere, first)
    with pytest.warns(TrialbookWarning, match="does not count"):
        assert storage.set_trial_state_values(first.trial_id, TrialState.WAITING)
    assert storage.get_trial(first.trial_id).state is TrialState.RUNNING
    assert not storage.set_trial_state_values(first.trial_id, TrialState.RUNNING)
    assert elsewhere.set_trial_state_values(second.trial_id, TrialState.COMPLETE, [1.0])
    assert storage.get_trial(first.trial_id).values == [1.0]


def test_a_lost_trial_does_not_keep_others_from_being_written(
    monkeypatch: pytest.MonkeyPatch, begin: Begin, storage: BookStorage, elsewhere: BookStorage
) -> None:
    monkeypatch.setattr(storage._shelf.flusher, "_start", lambda: None)
    lost, kept = begin(), begin()
    _taken_over(elsewhere, lost)
    for attempt in (lost, kept):
        storage.set_trial_user_attr(attempt.trial_id, "note", "mine")
    with pytest.raises(AttemptFencedError):
        storage.flush()
    assert elsewhere.get_trial(lost.trial_id).user_attrs == {}
    assert elsewhere.get_trial(kept.trial_id).user_attrs == {"note": "mine"}


def test_a_lost_trial_can_be_begun_again(
    begin: Begin, storage: BookStorage, elsewhere: BookStorage
) -> None:
    first = begin()
    _taken_over(elsewhere, first)
    first.log({"loss": 1.0}, 0, 0.0)
    assert begin(first.trial_id).number == 3
    assert len(Reader(storage.book).series(first.attempt_id)["loss"]) == 1


def test_what_comes_after_somebody_elses_result_leaves_the_record_closed(
    begin: Begin, storage: BookStorage, elsewhere: BookStorage
) -> None:
    attempt = begin()
    attempt.log({"loss": 1.0}, 0, 0.0)
    storage.flush()
    elsewhere.set_trial_state_values(attempt.trial_id, TrialState.COMPLETE, [2.0])
    attempt.log({"loss": 3.0}, 1, 0.0)
    attempt.returned(3.0)
    attempt.end(OutcomeState(EndReason.COMPLETE))
    with pytest.warns(TrialbookWarning, match="does not count"):
        storage.set_trial_state_values(attempt.trial_id, TrialState.COMPLETE, [3.0])
    assert Reader(storage.book).series(attempt.attempt_id)["loss"].values.tolist() == [1.0]
    assert storage.get_trial(attempt.trial_id).values == [2.0]
    assert invariants(storage.book) == []


def test_a_deleted_trial_has_no_other_try_and_hides_no_exception(
    begin: Begin, storage: BookStorage, elsewhere: BookStorage
) -> None:
    attempt = begin()
    remove_trial(elsewhere.book, Reader(elsewhere.book).trial("digits/0"), running=True)
    with suppress(AttemptFencedError):
        storage.flush()
    attempt.end(OutcomeState(EndReason.PREEMPTED))
    for _ in range(2):  # noticed with what is pending, and with nothing
        assert not storage.retried(attempt.trial_id)
    with pytest.warns(TrialbookWarning, match="does not count"):
        assert storage.set_trial_state_values(attempt.trial_id, TrialState.FAIL)
    assert invariants(storage.book) == []
