"""What a held attempt has pending: when it is written, who sees it, what fences it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState
from sqlalchemy import Connection

from trialbook.book import attempt_rows
from trialbook.book.attempt import FULL_POINTS, Attempt
from trialbook.book.attempt_rows import Batch, Identity
from trialbook.book.reading import Reader
from trialbook.book.retrying import Fate
from trialbook.book.storage import BookStorage
from trialbook.errors import (
    AttemptFencedError,
    BookError,
    BookUnreachableError,
    InvalidInputError,
    InvalidMetricError,
    TrialbookWarning,
)
from trialbook.records.blobs import Blob
from trialbook.records.coordinates import Kind
from trialbook.records.execution import Console, EndReason, OutcomeState, Seeds
from trialbook.records.study import AttemptRecord, TrialRecord
from trialbook.records.workers import Holder, WorkerIdentity

from .conftest import config_snapshot

Begin = Callable[..., Attempt]
UNIT = FloatDistribution(0, 1)


@pytest.fixture
def elsewhere(url: str, storage: BookStorage) -> Iterator[BookStorage]:
    """The same book as another process sees it: nothing is shared but the database."""
    elsewhere = BookStorage(url)
    yield elsewhere
    elsewhere.close()


def _attempt(storage: BookStorage, number: int = 0) -> AttemptRecord:
    found = Reader(storage.book).trial(f"digits/{number}").attempt
    assert found is not None
    return found


def _trial(storage: BookStorage, number: int = 0) -> TrialRecord:
    return Reader(storage.book).trial(f"digits/{number}")


def _until(condition: Callable[[], bool], timeout_s: float = 30.0) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < timeout_s
        time.sleep(0.005)
    return time.monotonic() - began


def test_coordinates_are_in_the_book_before_anything_runs(
    begin: Begin, elsewhere: BookStorage
) -> None:
    begin()
    attempt = _attempt(elsewhere)
    assert attempt.number == 1
    assert attempt.seeds == Seeds(trial=1)
    assert attempt.coordinates.config == config_snapshot(layers=2).digest
    assert Reader(elsewhere.book).snapshot(attempt.coordinates.config) is not None
    assert attempt.end_reason is None


def test_a_process_sees_its_own_writes_at_once(begin: Begin, storage: BookStorage) -> None:
    attempt = begin()
    trial_id = attempt.trial_id
    storage.set_trial_param(trial_id, "x", 0.25, UNIT)
    storage.set_trial_user_attr(trial_id, "u", [1, None])
    storage.set_trial_system_attr(trial_id, "s", {"a": math.inf})
    storage.set_trial_intermediate_value(trial_id, 3, 0.5)
    for trial in (storage.get_trial(trial_id), storage.get_all_trials(attempt.study_id)[0]):
        assert trial.params == {"x": 0.25}
        assert trial.user_attrs == {"u": [1, None]}
        assert trial.system_attrs == {"s": {"a": math.inf}}
        assert trial.intermediate_values == {3: 0.5}
    assert storage.get_trial_param(trial_id, "x") == 0.25


def test_what_was_given_out_does_not_change(begin: Begin, storage: BookStorage) -> None:
    attempt = begin()
    before = storage.get_trial(attempt.trial_id)
    storage.set_trial_intermediate_value(attempt.trial_id, 0, 1.0)
    storage.set_trial_user_attr(attempt.trial_id, "u", 1)
    assert before.intermediate_values == {}
    assert before.user_attrs == {}


def test_params_and_system_attributes_reach_others_at_once(
    begin: Begin,
    storage: BookStorage,
    elsewhere: BookStorage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("trialbook.book.pending.WAIT_S", 3600.0)  # how long anything else waits
    attempt = begin()
    storage.set_trial_param(attempt.trial_id, "x", 0.25, UNIT)
    storage.set_trial_system_attr(attempt.trial_id, "completed_rung_0", 1.0)

    def seen() -> bool:
        trial = elsewhere.get_trial(attempt.trial_id)
        return trial.params == {"x": 0.25} and trial.system_attrs == {"completed_rung_0": 1.0}

    _until(seen)


def test_reports_and_points_reach_others_within_half_a_second(
    begin: Begin, storage: BookStorage, elsewhere: BookStorage
) -> None:
    attempt = begin()
    waits: list[float] = []
    while not waits or waits[-1] >= 0.5:  # the bound; a loaded machine may miss it now and then
        step = len(waits)
        assert step < 20, waits
        storage.set_trial_intermediate_value(attempt.trial_id, step, 0.5)
        attempt.log({"loss": 1.0}, step, time.time())
        storage.set_trial_user_attr(attempt.trial_id, f"u{step}", step)

        def seen(step: int = step) -> bool:
            trial = elsewhere.get_trial(attempt.trial_id)
            points = Reader(elsewhere.book).series(attempt.attempt_id).get("loss", ())
            reported = len(trial.intermediate_values) == step + 1
            return reported and len(trial.user_attrs) == step + 1 and len(points) == step + 1

        waits.append(_until(seen))


def test_a_book_that_is_closed_during_a_trial_still_writes_in_time(
    begin: Begin, storage: BookStorage, elsewhere: BookStorage
) -> None:
    attempt = begin()
    storage.close()
    attempt.log({"loss": 1.0}, 0, time.time())
    _until(lambda: "loss" in Reader(elsewhere.book).series(attempt.attempt_id))
    storage.close()
    storage.set_trial_param(attempt.trial_id, "x", 0.25, UNIT)
    _until(lambda: elsewhere.get_trial(attempt.trial_id).params == {"x": 0.25})


def test_a_lease_is_renewed_again_after_the_book_was_closed_during_a_trial(
    storage: BookStorage, elsewhere: BookStorage, study_id: int
) -> None:
    holder = Holder(WorkerIdentity("a" * 32, "here", 1), 2.0)
    storage.leases.register(holder.worker, study_id)
    attempt = storage.begin_attempt(
        storage.create_new_trial(study_id), snapshots=[], seeds=Seeds(trial=1), holder=holder
    )
    storage.close()
    before_s = _attempt(elsewhere).lease_s
    assert before_s is not None
    attempt.log({"loss": 1.0}, 0, time.time())
    _until(lambda: (_attempt(elsewhere).lease_s or 0.0) > before_s)


def test_a_result_takes_everything_with_it(
    begin: Begin, storage: BookStorage, elsewhere: BookStorage
) -> None:
    attempt = begin()
    trial_id = attempt.trial_id
    storage.set_trial_param(trial_id, "kind", 1, CategoricalDistribution(("a", "b")))
    storage.set_trial_intermediate_value(trial_id, 0, 0.5)
    storage.set_trial_user_attr(trial_id, "u", "v")
    attempt.log({"loss": math.nan, "lr": 2}, -(2**63), 1.5)
    attempt.answered(False)
    attempt.answered(True)
    attempt.returned((0.1, -0.0))
    text = Blob.of(b"hello\n")
    better = config_snapshot(layers=3)
    attempt.amend(better)
    attempt.end(
        OutcomeState(EndReason.COMPLETE, stdout=Console(text.digest, 6, 6), traceback="a\0b\ud800"),
        [text],
    )
    assert storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [-0.0])

    trial = _trial(elsewhere)
    assert (trial.state, trial.values) == ("COMPLETE", (0.0,))
    assert math.copysign(1, trial.values[0]) == -1
    assert [(p.name, p.value, p.internal) for p in trial.params] == [("kind", "b", 1)]
    assert trial.user_attrs == {"u": "v"}
    assert trial.record_digest is not None
    found = _attempt(elsewhere)
    assert found.end_reason is EndReason.COMPLETE
    assert found.prune_answers == (False, True)
    assert found.returned == [0.1, -0.0]
    assert found.coordinates.config == better.digest
    assert found.outcome is not None
    assert found.outcome.traceback == "a\0b\ud800"
    assert Reader(elsewhere.book).blob(found.outcome.stdout.digest) == b"hello\n"
    series = Reader(elsewhere.book).series(found.attempt_id)
    assert sorted(series) == ["loss", "lr", "objective"]
    assert series["loss"].steps.tolist() == [-(2**63)]
    assert math.isnan(series["loss"].values[0])
    assert series["lr"].seconds.tolist() == [1.5]
    assert storage.held_attempt(trial_id) is None


def test_the_first_value_of_a_step_stands_through_trial_report(
    begin: Begin, storage: BookStorage
) -> None:
    study = optuna.load_study(study_name="digits", storage=storage)
    trial = study.ask()
    attempt = begin(trial._trial_id)
    trial.report(1.0, 5)
    with pytest.warns(UserWarning, match="already reported"):
        trial.report(2.0, 5)
    study.tell(trial, 1.0)
    assert study.trials[0].intermediate_values == {5: 1.0}
    assert len(Reader(storage.book).series(attempt.attempt_id)["objective"]) == 1


@pytest.mark.parametrize("flush", [False, True])
def test_the_storage_interface_overwrites_a_step(
    begin: Begin, storage: BookStorage, elsewhere: BookStorage, flush: bool
) -> None:
    attempt = begin()
    for step, value in [(0, 1.0), (1, 2.0), (0, 3.0)]:
        storage.set_trial_intermediate_value(attempt.trial_id, step, value)
        if flush:
            storage.flush()
    storage.set_trial_state_values(attempt.trial_id, TrialState.PRUNED, [3.0])
    for view in (storage, elsewhere):
        assert view.get_trial(attempt.trial_id).intermediate_values == {0: 3.0, 1: 2.0}
    series = Reader(storage.book).series(attempt.attempt_id)["objective"]
    assert series.steps.tolist() == [0, 1]
    assert series.values.tolist() == [3.0, 2.0]


def test_other_series_keep_both_points_of_a_step(begin: Begin, storage: BookStorage) -> None:
    attempt = begin()
    for value in (1.0, 2.0):
        attempt.log({"loss": value}, 7, 0.0)
        storage.flush()
    storage.set_trial_state_values(attempt.trial_id, TrialState.FAIL)
    series = Reader(storage.book).series(attempt.attempt_id)["loss"]
    assert (series.steps.tolist(), series.values.tolist()) == ([7, 7], [1.0, 2.0])


def test_metrics_of_changing_company_keep_their_order(begin: Begin, storage: BookStorage) -> None:
    attempt = begin()
    expected: dict[str, list[float]] = {"a": [], "b": [], "c": []}
    for step in range(30):
        names = [("a",), ("a", "b"), ("b", "a"), ("c",), ("c", "b")][step % 5]
        attempt.log({name: float(step) for name in names}, step, 0.0)
        for name in names:
            expected[name].append(float(step))
        if step % 11 == 0:
            storage.flush()
    storage.set_trial_state_values(attempt.trial_id, TrialState.COMPLETE, [1.0])
    series = Reader(storage.book).series(attempt.attempt_id)
    assert {name: points.values.tolist() for name, points in series.items()} == expected
    assert [s.count for s in _attempt(storage).series] == [18, 18, 12]


@pytest.mark.parametrize(
    ("metrics", "step", "error"),
    [
        ({"a": 1.0, "b": "0.5"}, 0, InvalidMetricError),
        ({"a": 1.0, "b": None}, 0, InvalidMetricError),
        ({"a": 1.0, "b": 1j}, 0, InvalidMetricError),
        ({"a": 1.0, "b": 10**400}, 0, InvalidInputError),
        ({"a": 1.0}, 2**63, InvalidInputError),
        ({"a": 1.0}, -(2**63) - 1, InvalidInputError),
        ({"a": 1.0}, 1.5, InvalidInputError),
        ({"a": 1.0, 3: 1.0}, 0, InvalidInputError),
        ({"a": 1.0, "a\0": 1.0}, 0, InvalidInputError),
        ({"a": 1.0, "\ud800": 1.0}, 0, InvalidInputError),
        ({"a": 1.0, "b" * 513: 1.0}, 0, InvalidInputError),
        ({"a": 1.0, "objective": 1.0}, 0, InvalidMetricError),
    ],
)
def test_a_bad_point_leaves_nothing_behind(
    begin: Begin, storage: BookStorage, metrics: dict[str, float], step: int, error: type[Exception]
) -> None:
    attempt = begin()
    attempt.log({"a": 0.0, "b": 0.0}, 0, 0.0)
    with pytest.raises(error):
        attempt.log(metrics, step, 0.0)
    attempt.log({"a": 1.0, "b": 1.0}, 1, 0.0)
    storage.set_trial_state_values(attempt.trial_id, TrialState.COMPLETE, [1.0])
    series = Reader(storage.book).series(attempt.attempt_id)
    assert {name: points.values.tolist() for name, points in series.items()} == {
        "a": [0.0, 1.0],
        "b": [0.0, 1.0],
    }


def test_anything_with_float_is_a_value(begin: Begin, storage: BookStorage) -> None:
    import numpy as np

    class Tensor:
        def __float__(self) -> float:
            return 0.5

    attempt = begin()
    attempt.log({"a": Tensor(), "b": np.float32(0.25), "c": True, "d": np.int64(3)}, 0, 0.0)
    storage.flush()
    series = Reader(storage.book).series(attempt.attempt_id)
    assert [points.values.tolist() for points in series.values()] == [[0.5], [0.25], [1.0], [3.0]]


def test_a_full_buffer_blocks_and_drops_nothing(begin: Begin, storage: BookStorage) -> None:
    storage._shelf.flusher.stop()
    attempt = begin()
    total = 2 * FULL_POINTS + 17
    most = 0
    for step in range(total):
        attempt.log({"loss": float(step)}, step, 0.0)
        most = max(most, attempt._pending.points.count)
    assert most <= FULL_POINTS
    storage.set_trial_state_values(attempt.trial_id, TrialState.COMPLETE, [1.0])
    series = Reader(storage.book).series(attempt.attempt_id)["loss"]
    assert series.values.tolist() == [float(step) for step in range(total)]


def test_points_that_could_not_be_written_wait(
    path: Path, begin: Begin, storage: BookStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage._shelf.flusher.stop()
    attempt = begin()
    attempt.log({"loss": 0.0}, 0, 0.0)
    storage.set_trial_param(attempt.trial_id, "x", 0.5, UNIT)
    with storage.book.writing() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=1")
    full = Blob.of(b"x" * 60_000)
    attempt.amend(config_snapshot(layers=4), [full])
    with pytest.raises(OSError, match="no space"):
        storage.flush()
    attempt.log({"loss": 1.0}, 1, 0.0)
    # A refused write gives the connection up, and the limit with it.
    storage.set_trial_state_values(attempt.trial_id, TrialState.COMPLETE, [1.0])
    series = Reader(storage.book).series(attempt.attempt_id)["loss"]
    assert series.values.tolist() == [0.0, 1.0]
    assert storage.get_trial(attempt.trial_id).params == {"x": 0.5}
    assert Reader(storage.book).blob(full.digest) == b"x" * 60_000


def test_a_later_attempt_fences_the_earlier_one(
    begin: Begin, storage: BookStorage, elsewhere: BookStorage
) -> None:
    first = begin()
    first.log({"loss": 1.0}, 0, 0.0)
    second = elsewhere.begin_attempt(first.trial_id, snapshots=[], blobs=[], seeds=Seeds(trial=2))
    assert second.number == 2
    storage.set_trial_param(first.trial_id, "x", 0.1, UNIT)
    storage.set_trial_user_attr(first.trial_id, "late", True)
    with pytest.raises(AttemptFencedError):
        storage.flush()
    assert storage.get_trial(first.trial_id).state is TrialState.RUNNING
    assert elsewhere.get_trial(first.trial_id).params == {}

    elsewhere.set_trial_param(first.trial_id, "x", 0.9, UNIT)
    assert elsewhere.set_trial_state_values(first.trial_id, TrialState.COMPLETE, [2.0])

    first.log({"loss": 3.0}, 1, 0.0)
    assert storage.get_trial(first.trial_id).state is TrialState.RUNNING
    with pytest.warns(TrialbookWarning, match="does not count"):
        assert storage.set_trial_state_values(first.trial_id, TrialState.COMPLETE, [1.0])

    trial = _trial(storage)
    assert trial.values == (2.0,)
    assert [p.value for p in trial.params] == [0.9]
    assert trial.user_attrs == {}
    assert [a.end_reason for a in trial.attempts] == [EndReason.FENCED, EndReason.COMPLETE]
    series = Reader(storage.book).series(first.attempt_id)["loss"]
    assert series.values.tolist() == [1.0, 3.0]


def test_a_trial_that_another_finished_keeps_that_result(
    begin: Begin, storage: BookStorage, elsewhere: BookStorage
) -> None:
    attempt = begin()
    elsewhere.set_trial_state_values(attempt.trial_id, TrialState.FAIL)
    with pytest.warns(TrialbookWarning, match="does not count"):
        assert storage.set_trial_state_values(attempt.trial_id, TrialState.COMPLETE, [1.0])
    assert _trial(storage).state == "FAIL"
    with pytest.raises(UpdateFinishedTrialError):
        storage.set_trial_state_values(attempt.trial_id, TrialState.COMPLETE, [1.0])


def test_attributes_of_several_writers_merge_by_key(
    begin: Begin, storage: BookStorage, elsewhere: BookStorage
) -> None:
    attempt = begin()
    storage.set_trial_user_attr(attempt.trial_id, "mine", 1)
    elsewhere.set_trial_user_attr(attempt.trial_id, "note", "from the dashboard")
    elsewhere.set_trial_intermediate_value(attempt.trial_id, 9, 0.9)
    storage.set_trial_intermediate_value(attempt.trial_id, 1, 0.1)
    storage.flush()
    elsewhere.set_trial_intermediate_value(attempt.trial_id, 10, 1.0)
    storage.set_trial_state_values(attempt.trial_id, TrialState.COMPLETE, [1.0])
    trial = elsewhere.get_trial(attempt.trial_id)
    assert trial.user_attrs == {"note": "from the dashboard", "mine": 1}
    assert trial.intermediate_values == {9: 0.9, 1: 0.1, 10: 1.0}


def test_beginning_again_in_one_process_fences_what_was_before(
    begin: Begin, storage: BookStorage
) -> None:
    first = begin()
    first.log({"loss": 1.0}, 0, 0.0)
    second = begin(first.trial_id)
    assert (first.number, second.number) == (1, 2)
    storage.set_trial_state_values(first.trial_id, TrialState.COMPLETE, [1.0])
    assert len(Reader(storage.book).series(first.attempt_id)["loss"]) == 1


def test_beginning_again_loses_nothing_to_an_outage(
    begin: Begin, storage: BookStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage._shelf.flusher.stop()
    first = begin()
    monkeypatch.setattr(storage._shelf.flusher, "_start", lambda: None)
    first.log({"loss": 1.0}, 0, 0.0)
    flush, tries = first.flush, []

    def flush_but_not_at_first() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise BookUnreachableError("the server went away")
        flush()

    monkeypatch.setattr(first, "flush", flush_but_not_at_first)
    assert begin(first.trial_id).number == 2
    assert len(Reader(storage.book).series(first.attempt_id)["loss"]) == 1


def test_a_trial_given_back_starts_again(begin: Begin, storage: BookStorage) -> None:
    attempt = begin()
    trial_id = attempt.trial_id
    storage.set_trial_param(trial_id, "x", 0.5, UNIT)
    for key in ("grid_id", "fixed_params", "completed_rung_0", "constraints", "constraints:c"):
        storage.set_trial_system_attr(trial_id, key, [1.0])
    storage.set_trial_user_attr(trial_id, "u", 1)
    storage.set_trial_intermediate_value(trial_id, 0, 1.0)
    assert storage.set_trial_state_values(trial_id, TrialState.WAITING)
    trial = storage.get_trial(trial_id)
    assert trial.state is TrialState.WAITING
    assert trial.params == {"x": 0.5}
    assert set(trial.system_attrs) == {"grid_id", "fixed_params"}
    assert (trial.user_attrs, trial.intermediate_values) == ({}, {})
    assert trial.datetime_start is None
    assert _trial(storage).attempts[0].end_reason is EndReason.PREEMPTED
    assert storage.claim(attempt.study_id).trial_id == trial_id
    again = begin(trial_id)
    assert again.number > attempt.number
    assert storage.get_trial(trial_id).datetime_start is not None


def test_an_attempt_that_is_over_takes_nothing_more(
    begin: Begin, storage: BookStorage, tmp_path: Path
) -> None:
    attempt = begin()
    storage.set_trial_state_values(attempt.trial_id, TrialState.COMPLETE, [1.0])
    with pytest.raises(AttemptFencedError, match="has ended"):
        attempt.log({"loss": 1.0}, 0, 0.0)
    with pytest.raises(AttemptFencedError, match="has ended"):
        attempt.add_artifact("a", tmp_path, "text/plain")


def test_what_a_thread_logs_while_a_trial_is_told_is_kept_or_refused(
    begin: Begin, storage: BookStorage
) -> None:
    for number in range(5):
        attempt = begin()
        kept = 0

        def log(attempt: Attempt = attempt) -> None:
            nonlocal kept
            with pytest.raises(AttemptFencedError):
                while True:
                    attempt.log({"loss": 1.0}, kept, 0.0)
                    kept += 1
                    time.sleep(0)

        thread = threading.Thread(target=log)
        thread.start()
        _until(lambda: kept > 0)  # noqa: B023 - asked at once
        storage.set_trial_state_values(attempt.trial_id, TrialState.COMPLETE, (1.0,))
        thread.join()
        series = Reader(storage.book).series(_attempt(storage, number).attempt_id)
        assert len(series["loss"]) == kept


def test_a_flush_in_the_background_that_fails_is_said_and_tried_again(
    begin: Begin,
    storage: BookStorage,
    elsewhere: BookStorage,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attempt = begin()
    monkeypatch.setattr("trialbook.book.flusher._RETRY_S", 0.05)
    plain, calls = Attempt.flush, []

    def flush(held: Attempt) -> None:
        calls.append(1)
        if len(calls) < 3:
            raise OSError("no space")
        plain(held)

    monkeypatch.setattr(Attempt, "flush", flush)
    storage.set_trial_user_attr(attempt.trial_id, "u", 1)
    _until(lambda: elsewhere.get_trial(attempt.trial_id).user_attrs == {"u": 1})
    assert "no space" in caplog.text


def test_what_is_told_while_a_write_fails_comes_after_what_it_was_to_write(
    begin: Begin, storage: BookStorage, elsewhere: BookStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt, refused = begin(), threading.Event()
    plain = attempt_rows.write_own

    def write(connection: Connection, identity: Identity, batch: Batch) -> None:
        if not refused.is_set() and "loss" in batch.series:
            storage.set_trial_user_attr(attempt.trial_id, "u", 2)
            attempt.log({"loss": 2.0}, 1, 0.0)
            refused.set()
            raise BookError("not now")
        plain(connection, identity, batch)

    monkeypatch.setattr(attempt_rows, "write_own", write)
    storage.set_trial_user_attr(attempt.trial_id, "u", 1)
    attempt.log({"loss": 1.0}, 0, 0.0)
    with suppress(BookError):  # the thread may have been first
        attempt.flush()
    assert refused.wait(30)
    storage.set_trial_state_values(attempt.trial_id, TrialState.COMPLETE, (1.0,))
    assert elsewhere.get_trial(attempt.trial_id).user_attrs == {"u": 2}
    series = Reader(elsewhere.book).series(_attempt(elsewhere).attempt_id)
    assert series["loss"].values.tolist() == [1.0, 2.0]


def test_a_dead_attempt_is_ended_once(
    begin: Begin, storage: BookStorage, elsewhere: BookStorage
) -> None:
    attempt = begin()
    attempt.log({"loss": 1.0}, 0, 0.0)
    attempt.answered(True)
    storage.flush()
    outcome = OutcomeState(EndReason.FAILED, signal="SIGKILL")
    text = Blob.of(b"last words")
    assert elsewhere.end_dead_attempt(attempt.trial_id, outcome, blobs=[text]) is Fate.FAILED
    assert elsewhere.end_dead_attempt(attempt.trial_id, outcome) is Fate.OVER
    found = _attempt(elsewhere)
    assert (found.end_reason, found.outcome) == (EndReason.FAILED, outcome)
    assert found.prune_answers == (True,)
    assert _trial(elsewhere).state == "FAIL"
    assert Reader(elsewhere.book).blob(text.digest) == b"last words"


def test_a_trial_that_died_before_it_began_gets_an_attempt(
    storage: BookStorage, study_id: int
) -> None:
    trial_id = storage.create_new_trial(study_id)
    assert storage.end_dead_attempt(trial_id, OutcomeState(EndReason.FAILED, exit_code=1))
    found = _attempt(storage)
    assert (found.end_reason, found.seeds) == (EndReason.FAILED, None)


def test_an_abandoned_trial_says_so(begin: Begin, storage: BookStorage) -> None:
    attempt = begin()
    attempt.end(OutcomeState(EndReason.ABANDONED))
    storage.set_trial_state_values(attempt.trial_id, TrialState.FAIL)
    assert _attempt(storage).end_reason is EndReason.ABANDONED


def test_a_deleted_trial_does_not_break_its_owner(
    begin: Begin, storage: BookStorage, elsewhere: BookStorage
) -> None:
    attempt = begin()
    elsewhere.delete_study(attempt.study_id)
    attempt.log({"loss": 1.0}, 0, 0.0)
    with pytest.warns(TrialbookWarning, match="does not count"):
        storage.set_trial_state_values(attempt.trial_id, TrialState.COMPLETE, [1.0])


def test_coordinates_and_snapshots(begin: Begin, storage: BookStorage) -> None:
    assert storage.last_coordinates(begin().study_id) is not None
    found = storage.last_coordinates(begin().study_id)
    assert found is not None
    assert found.of(Kind.CONFIG) == config_snapshot(layers=2).digest
    assert storage.snapshot(found.config) == config_snapshot(layers=2)


def test_a_waiting_trial_must_be_claimed_first(
    begin: Begin, storage: BookStorage, study_id: int
) -> None:
    waiting = optuna.trial.create_trial(state=TrialState.WAITING)
    with pytest.raises(InvalidInputError, match="claimed"):
        begin(storage.create_new_trial(study_id, waiting))
