"""The contract of a book, last part: results, attributes, points, contents, and their digests."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from trialbook.book.attempt import Attempt
from trialbook.book.blobs import IN_ROW_BYTES
from trialbook.book.reading import Reader
from trialbook.book.seals import seal_of
from trialbook.book.storage import BookStorage
from trialbook.book.verification import verify
from trialbook.errors import NotFoundError, TrialbookWarning
from trialbook.records.blobs import Blob
from trialbook.records.execution import EndReason, OutcomeState, Seeds
from trialbook.testing import invariants
from trialbook.testing.case import BookCase, bits, config

Begin = Callable[..., Attempt]
VALUES = (-0.0, 0.1 + 0.2, math.inf, -math.inf, math.nan, 5e-324, 1e300)
STEPS = (0, -(2**63), 2**63 - 1, 7, 7, 3, 2**53 + 1)
_DEADLINE_S = 60.0


def recorded(storage: BookStorage, study_id: int, file: Path) -> int:
    """A trial of which everything that a digest covers is always the same; its id."""
    trial_id = storage.create_new_trial(study_id)
    console = Blob.of(b"said\n" * 40_000)
    attempt = storage.begin_attempt(
        trial_id, snapshots=[config(layers=2, rate=-0.0)], blobs=[console], seeds=Seeds(trial=1)
    )
    storage.set_trial_param(trial_id, "ключ", 0.1 + 0.2, FloatDistribution(0, 1))
    storage.set_trial_user_attr(trial_id, "note", ["\0\ud800🙂", 2**100, math.nan, -0.0])
    storage.set_trial_system_attr(trial_id, "cma:0", {"z": 1, "a": None})
    for step, value in zip(STEPS, VALUES, strict=True):
        attempt.log({"loss": value}, step, 0.25)
    attempt.add_artifact("model", file, "application/octet-stream")
    attempt.answered(False)
    attempt.answered(True)
    attempt.returned([1, -0.0])
    attempt.end(OutcomeState(EndReason.COMPLETE, cpu_s=0.5, message="\0"))
    storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [-0.0])
    storage.create_new_trial(
        study_id, create_trial(state=TrialState.PRUNED, user_attrs={"a": 1.0, "b": 1})
    )
    return trial_id


class RecordContract(BookCase):
    """Results and records: once, whole, and the same on every database."""

    def test_a_trial_has_one_result(
        self, begin: Begin, storage: BookStorage, elsewhere: BookStorage
    ) -> None:
        trial_id = begin().trial_id
        elsewhere.set_trial_state_values(trial_id, TrialState.FAIL)
        with pytest.warns(TrialbookWarning, match="does not count"):
            assert storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
        for one in (storage, elsewhere):
            assert one.get_trial(trial_id).state is TrialState.FAIL
            for write, arguments in (
                (one.set_trial_state_values, (TrialState.COMPLETE, [1.0])),
                (one.set_trial_user_attr, ("k", 1)),
                (one.set_trial_system_attr, ("k", 1)),
                (one.set_trial_intermediate_value, (0, 1.0)),
            ):
                with pytest.raises(UpdateFinishedTrialError, match="has already finished"):
                    write(trial_id, *arguments)

    def test_of_two_that_tell_at_once_one_wins(
        self, storage: BookStorage, elsewhere: BookStorage, study_id: int
    ) -> None:
        gate = threading.Barrier(2)

        def told(one: BookStorage, trial_id: int, value: float) -> float | None:
            gate.wait(_DEADLINE_S)
            try:
                one.set_trial_state_values(trial_id, TrialState.COMPLETE, [value])
            except UpdateFinishedTrialError:
                return None
            return value

        with ThreadPoolExecutor(2) as threads:
            for _ in range(10):
                trial_id = storage.create_new_trial(study_id)
                mine = threads.submit(told, storage, trial_id, 1.0)
                other = threads.submit(told, elsewhere, trial_id, 2.0)
                won = [v for v in (mine.result(), other.result()) if v is not None]
                assert storage.get_trial(trial_id).values == won

    def test_an_acknowledged_result_is_whole_for_everybody(
        self, begin: Begin, storage: BookStorage, elsewhere: BookStorage, study: str
    ) -> None:
        attempt = begin()
        trial_id = attempt.trial_id
        storage.set_trial_param(trial_id, "x", 0.25, FloatDistribution(0, 1))
        storage.set_trial_user_attr(trial_id, "k", 1)
        storage.set_trial_intermediate_value(trial_id, 0, 0.5)
        attempt.log({"loss": 1.5}, 0, 0.0)
        storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [2.5])
        found = elsewhere.get_trial(trial_id)
        assert (found.state, found.values) == (TrialState.COMPLETE, [2.5])
        assert (found.params, found.user_attrs) == ({"x": 0.25}, {"k": 1})
        assert found.intermediate_values == {0: 0.5}
        series = self.record(elsewhere, study).attempts[0].series
        assert [(s.metric, s.last) for s in series] == [("loss", 1.5), ("objective", 0.5)]

    def test_finishes_are_numbered_as_they_commit(
        self, storage: BookStorage, elsewhere: BookStorage, study: str, study_id: int
    ) -> None:
        trials = [storage.create_new_trial(study_id) for _ in range(24)]
        order: list[int] = []
        seen = threading.Lock()

        def told(job: tuple[BookStorage, list[int]]) -> None:
            for trial_id in job[1]:
                job[0].set_trial_state_values(trial_id, TrialState.COMPLETE, [0.0])
                with seen:
                    order.append(trial_id)

        jobs = [([storage, elsewhere][k % 2], trials[k::4]) for k in range(4)]
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(told, jobs))
        assert sorted(order) == sorted(trials)
        assert invariants(storage.book, study) == []
        last = storage.create_new_trial(study_id)
        storage.set_trial_state_values(last, TrialState.COMPLETE, [0.0])
        assert elsewhere.get_trial(last).state is TrialState.COMPLETE

    def test_attributes_of_several_writers_merge_by_key(
        self, begin: Begin, storage: BookStorage, elsewhere: BookStorage
    ) -> None:
        trial_id = begin().trial_id
        storage.set_trial_user_attr(trial_id, "mine", 1)
        storage.set_trial_system_attr(trial_id, "mine", 1)
        elsewhere.set_trial_user_attr(trial_id, "note", "from the dashboard")
        elsewhere.set_trial_system_attr(trial_id, "note", "from the dashboard")
        storage.set_trial_user_attr(trial_id, "late", 2)
        storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
        found = elsewhere.get_trial(trial_id)
        assert found.user_attrs == {"mine": 1, "late": 2, "note": "from the dashboard"}
        assert found.system_attrs == {"mine": 1, "note": "from the dashboard"}

    def test_threads_and_processes_that_set_attributes_lose_none(
        self, storage: BookStorage, elsewhere: BookStorage, study_id: int
    ) -> None:
        trial_id = storage.create_new_trial(study_id)
        gate = threading.Barrier(4)

        def written(job: tuple[int, BookStorage]) -> None:
            gate.wait(_DEADLINE_S)
            for k in range(8):
                job[1].set_trial_user_attr(trial_id, f"{job[0]}-{k}", k)
                job[1].set_study_user_attr(study_id, f"{job[0]}-{k}", k)

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(written, enumerate([storage, elsewhere] * 2)))
        expected = {f"{job}-{k}": k for job in range(4) for k in range(8)}
        assert elsewhere.get_trial(trial_id).user_attrs == expected
        assert storage.get_study_user_attrs(study_id) == expected

    def test_points_survive_bit_for_bit(
        self, begin: Begin, storage: BookStorage, elsewhere: BookStorage
    ) -> None:
        attempt = begin()
        for step, value in zip(STEPS, VALUES, strict=True):
            attempt.log({"loss": value, "a/b c": -value}, step, 0.1)
            if step == 7:
                storage.flush()
        for state in (None, TrialState.COMPLETE):
            if state is not None:
                storage.set_trial_state_values(attempt.trial_id, state, [0.0])
            else:
                storage.flush()
            series = Reader(elsewhere.book).series(attempt.attempt_id)
            assert set(series) == {"loss", "a/b c"}
            for metric, values in (("loss", VALUES), ("a/b c", [-value for value in VALUES])):
                points = series[metric]
                assert points.steps.tolist() == list(STEPS)
                assert [bits(v) for v in points.values.tolist()] == [bits(v) for v in values]
                assert points.seconds.tolist() == [0.1] * len(STEPS)

    def test_many_points_survive(self, begin: Begin, storage: BookStorage) -> None:
        attempt = begin()
        for step in range(25_000):
            attempt.log({"loss": step / 7}, step, 0.0)
        storage.set_trial_state_values(attempt.trial_id, TrialState.COMPLETE, [0.0])
        points = Reader(storage.book).series(attempt.attempt_id)["loss"]
        assert points.steps.tolist() == list(range(25_000))
        assert points.values.tolist() == [step / 7 for step in range(25_000)]

    @pytest.mark.parametrize("size", [0, 1, IN_ROW_BYTES, IN_ROW_BYTES + 1, 3_000_000])
    def test_contents_come_back(
        self, begin: Begin, storage: BookStorage, elsewhere: BookStorage, tmp_path: Path, size: int
    ) -> None:
        content = (bytes(range(256)) * (size // 256 + 1))[:size]
        (tmp_path / "model").write_bytes(content)
        attempt = begin()
        kept = attempt.add_artifact("model", tmp_path / "model", "application/octet-stream")
        again = attempt.add_artifact("again", tmp_path / "model", "application/octet-stream")
        assert (kept.digest, kept.size_bytes) == (again.digest, size)
        assert Reader(elsewhere.book).blob(kept.digest) == content
        with pytest.raises(NotFoundError):
            Reader(elsewhere.book).blob("0" * 64)

    def test_the_same_input_has_the_same_digests_on_every_database(
        self,
        storage: BookStorage,
        reference: BookStorage,
        study: str,
        study_id: int,
        tmp_path: Path,
    ) -> None:
        file = tmp_path / "model"
        file.write_bytes(b"model" * 50_000)
        other = reference.create_new_study([StudyDirection.MINIMIZE], study)
        recorded(storage, study_id, file)
        recorded(reference, other, file)
        for number in (0, 1):
            mine = self.record(storage, study, number)
            theirs = self.record(reference, study, number)
            assert mine.record_digest is not None
            assert mine.record_digest == theirs.record_digest
            assert repr(mine.user_attrs) == repr(theirs.user_attrs)
        assert seal_of(storage.book, study_id) == seal_of(reference.book, other)
        verified = verify(storage.book, study)
        assert verified.mismatches == ()
        assert (verified.trials, verified.series) == (2, 1)

    def test_a_search_leaves_a_sound_book(
        self, storage: BookStorage, elsewhere: BookStorage, study: str, study_id: int
    ) -> None:
        own = optuna.load_study(
            study_name=study, storage=storage, sampler=optuna.samplers.TPESampler(seed=1)
        )

        def objective(trial: optuna.Trial) -> float:
            x = trial.suggest_float("x", 0, 1)
            for step in range(4):
                trial.report(x + step, step)
                if trial.should_prune():
                    raise optuna.TrialPruned
            if trial.number % 5 == 4:
                raise ValueError("no luck")
            return x

        own.optimize(objective, n_trials=20, catch=(ValueError,))
        assert elsewhere.get_best_trial(study_id).value == own.best_value
        assert [t.number for t in elsewhere.get_all_trials(study_id)] == list(range(20))
        assert invariants(elsewhere.book, study, overdue_s=0.0) == []
