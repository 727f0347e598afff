"""What is read again and what is not."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import Connection

from trialbook.book.book import Book
from trialbook.book.reading import Reader
from trialbook.book.removal import remove_trial
from trialbook.book.storage import BookStorage
from trialbook.book.stored_trial import StoredTrial


class Count:
    """Counts read transactions of a book."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reads = 0
        plain: Callable[..., object] = Book.reading

        @contextmanager
        def counted(book: Book) -> Iterator[Connection]:
            self.reads += 1
            with plain(book) as connection:  # type: ignore[attr-defined]
                yield connection

        monkeypatch.setattr(Book, "reading", counted)


def _finish(storage: BookStorage, study_id: int, value: float, **reports: float) -> int:
    trial = create_trial(
        value=value, intermediate_values={int(k[1:]): v for k, v in reports.items()}
    )
    return storage.create_new_trial(study_id, trial)


def test_an_unchanged_book_is_not_read(
    path: Path, storage: BookStorage, study_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in range(5):
        _finish(storage, study_id, float(value))
    storage.get_all_trials(study_id)
    count = Count(monkeypatch)
    for _ in range(50):
        storage.get_all_trials(study_id, deepcopy=False)
        storage.get_all_trials(study_id, states=(TrialState.COMPLETE,))
        storage.get_trial(1)
        storage.get_best_trial(study_id)
        storage.get_trial_id_from_study_id_trial_number(study_id, 3)
    assert count.reads == 0


def test_finished_trials_are_read_once(url: str, storage: BookStorage, study_id: int) -> None:
    _finish(storage, study_id, 1.0)
    first = storage.get_all_trials(study_id, deepcopy=False)[0]
    other = BookStorage(url)
    _finish(other, study_id, 2.0)
    again = storage.get_all_trials(study_id, deepcopy=False)
    assert again[0] is first
    assert [trial.value for trial in again] == [1.0, 2.0]
    other.close()


def test_what_others_finish_out_of_order_is_seen(
    url: str, storage: BookStorage, study_id: int
) -> None:
    other = BookStorage(url)
    ids = [other.create_new_trial(study_id) for _ in range(4)]
    for trial_id in (ids[3], ids[1], ids[0]):
        other.set_trial_state_values(trial_id, TrialState.COMPLETE, [float(trial_id)])
        values = [t.value for t in storage.get_all_trials(study_id)]
        assert values[ids.index(trial_id)] == trial_id
    states = [t.state.name for t in storage.get_all_trials(study_id)]
    assert states == ["COMPLETE", "COMPLETE", "RUNNING", "COMPLETE"]
    other.close()


def test_reports_are_read_in_bulk_and_only_when_looked_at(
    storage: BookStorage, study_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in range(20):
        _finish(storage, study_id, float(value), _0=value / 2, _3=value / 3)
    trials = storage.get_all_trials(study_id, deepcopy=False)
    assert all("intermediate_values" not in vars(trial) for trial in trials)
    count = Count(monkeypatch)
    assert [t.intermediate_values for t in trials] == [{0: v / 2, 3: v / 3} for v in range(20)]
    assert count.reads == 1


def test_reports_of_running_trials_of_others_are_read_as_they_come(
    url: str, storage: BookStorage, study_id: int
) -> None:
    other = BookStorage(url)
    trial_id = other.create_new_trial(study_id)
    seen = []
    for step in range(4):
        other.set_trial_intermediate_value(trial_id, step, step / 2)
        seen.append(storage.get_all_trials(study_id, deepcopy=False)[0])
    assert [len(trial.intermediate_values) for trial in seen] == [1, 2, 3, 4]
    other.close()


def test_a_removed_trial_disappears(url: str, storage: BookStorage, study_id: int) -> None:
    best = _finish(storage, study_id, 0.0)
    _finish(storage, study_id, 1.0)
    assert storage.get_best_trial(study_id)._trial_id == best
    other = BookStorage(url)
    remove_trial(other.book, Reader(other.book).trial("digits/0"))
    assert [t.number for t in storage.get_all_trials(study_id)] == [1]
    assert storage.get_best_trial(study_id).number == 1
    assert storage.create_new_trial(study_id) > best + 1
    assert [t.number for t in storage.get_all_trials(study_id)] == [1, 2]
    other.close()


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_best_is_optunas_best(storage: BookStorage, direction: str) -> None:
    values = [3.0, float("inf"), -1.0, 7.0, -1.0, 7.0, float("-inf"), float("-inf"), float("inf")]
    study = optuna.create_study(storage=storage, direction=direction)
    memory = optuna.create_study(direction=direction)
    for value in values:
        for each in (study, memory):
            each.add_trial(create_trial(value=value))
        assert study.best_trial.number == memory.best_trial.number


def _like(trial: FrozenTrial) -> FrozenTrial:
    """A plain trial of the same content."""
    return FrozenTrial(
        number=trial.number,
        state=trial.state,
        value=None,
        values=trial.values,
        datetime_start=trial.datetime_start,
        datetime_complete=trial.datetime_complete,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs=trial.user_attrs,
        system_attrs=trial.system_attrs,
        intermediate_values=dict(trial.intermediate_values),
        trial_id=trial._trial_id,
    )


def test_a_stored_trial_is_a_frozen_trial(url: str, storage: BookStorage, study_id: int) -> None:
    _finish(storage, study_id, 1.0, _0=0.5)

    def fresh() -> FrozenTrial:
        trial = BookStorage(url).get_all_trials(study_id, deepcopy=False)[0]
        assert isinstance(trial, StoredTrial)
        assert "intermediate_values" not in vars(trial)
        return trial

    plain = _like(fresh())
    for make in (
        lambda: fresh(),
        lambda: copy.copy(fresh()),
        lambda: copy.deepcopy(fresh()),
        lambda: copy.copy(copy.deepcopy(fresh())),
        lambda: pickle.loads(pickle.dumps(fresh())),
    ):
        assert make() == plain
        assert plain == make()
        assert not make() != plain  # noqa: SIM202 - the operator itself is meant
        assert repr(make().intermediate_values) == "{0: 0.5}"
        assert type(make().intermediate_values) is dict
        assert make().last_step == 0
        assert "intermediate_values={0: 0.5}" in repr(make())
    other = _like(fresh())
    other.intermediate_values = {0: 0.75}
    assert fresh() != other
    changed = fresh()
    changed.intermediate_values = {1: 1.0}
    assert changed.intermediate_values == {1: 1.0}


def test_changing_a_copy_leaves_the_others_alone(storage: BookStorage, study_id: int) -> None:
    _finish(storage, study_id, 1.0, _0=0.5)
    copied = storage.get_all_trials(study_id)[0]
    copied.intermediate_values[7] = 7.0
    copied.user_attrs["u"] = 1
    assert storage.get_trial(copied._trial_id).intermediate_values == {0: 0.5}
    assert storage.get_all_trials(study_id)[0].user_attrs == {}


def test_attributes_of_a_study_written_elsewhere_are_seen(
    url: str, storage: BookStorage, study_id: int
) -> None:
    assert storage.get_study_user_attrs(study_id) == {}
    other = BookStorage(url)
    other.set_study_user_attr(study_id, "k", 1)
    other.set_study_system_attr(study_id, "k", 2)
    assert storage.get_study_user_attrs(study_id) == {"k": 1}
    assert storage.get_study_system_attrs(study_id) == {"k": 2}
    other.close()
