"""What the digest of a record covers: every change of it is noticed, and nothing else is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial
from sqlalchemy import update

from trialbook.book import schema
from trialbook.book.record_digest import document, record_digest, trial_fields
from trialbook.book.storage import BookStorage
from trialbook.records.canonical import canonical_bytes, digest_of_bytes
from trialbook.records.execution import EndReason, OutcomeState, Seeds

from .conftest import config_snapshot

UNIT = FloatDistribution(0, 1)


@pytest.fixture
def finished(tmp_path: Path, storage: BookStorage, study_id: int) -> int:
    """A trial with something in every place that is covered."""
    trial_id = storage.create_new_trial(study_id)
    storage.begin_attempt(trial_id, snapshots=[], seeds=Seeds(trial=0))
    attempt = storage.begin_attempt(
        trial_id, snapshots=[config_snapshot(a=1)], seeds=Seeds(trial=1)
    )
    storage.set_trial_param(trial_id, "x", 0.5, UNIT)
    storage.set_trial_user_attr(trial_id, "u", 1)
    storage.set_trial_system_attr(trial_id, "s", 1)
    storage.set_trial_intermediate_value(trial_id, 0, 0.5)
    attempt.log({"loss": 1.0, "$map": 2.0}, 0, 0.0)
    storage.flush()
    attempt.log({"loss": 2.0}, 1, 0.0)
    attempt.answered(False)
    attempt.returned(0.5)
    model = tmp_path / "model"
    model.write_bytes(b"weights")
    attempt.add_artifact("model", model, "application/octet-stream")
    attempt.end(OutcomeState(EndReason.COMPLETE))
    storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [0.5])
    return trial_id


def _stored(storage: BookStorage, trial_id: int) -> str | None:
    with storage.book.reading() as connection:
        digest: str | None = (
            connection.execute(schema.trial.select().where(schema.trial.c.trial_id == trial_id))
            .one()
            .record_digest
        )
    return digest


def _computed(storage: BookStorage, trial_id: int) -> str:
    with storage.book.reading() as connection:
        return record_digest(connection, trial_id)


def test_it_can_be_computed_again(storage: BookStorage, finished: int) -> None:
    assert _stored(storage, finished) == _computed(storage, finished)
    with storage.book.reading() as connection:
        whole = document(connection, finished, trial_fields(connection, finished))
    assert digest_of_bytes(canonical_bytes(whole)) == _stored(storage, finished)
    assert len(whole["attempts"]) == 2
    assert whole["current"]["number"] == 2


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("trial", "number", 7),
        ("trial", "state", TrialState.PRUNED.value),
        ("trial", "params", '{"x":0.25}'),
        ("trial", "space", "0" * 64),
        ("trial", "user_attrs", '{"u":2}'),
        ("trial", "system_attrs", "{}"),
        ("trial_value", "bytes", bytes(8)),
        ("attempt", "config", "0" * 64),
        ("attempt", "code", "0" * 64),
        ("attempt", "seeds", "{}"),
        ("attempt", "end_reason", "pruned"),
        ("attempt", "outcome", "{}"),
        ("attempt", "returned", "0.25"),
        ("attempt", "prune_answers", "1"),
        ("series", "payload", b"TBS1"),
        ("artifact", "name", "other"),
    ],
)
def test_every_change_is_noticed(
    storage: BookStorage, finished: int, table: str, column: str, value: Any
) -> None:
    found = schema.metadata.tables[f"tb_{table}"]
    changed = update(found).values({column: value})
    if "attempt_id" in found.c:
        changed = changed.where(found.c.attempt_id == 2)
    with storage.book.writing() as connection:
        connection.execute(changed)
    assert _computed(storage, finished) != _stored(storage, finished)


def test_queryable_summaries_and_times_are_not_covered(storage: BookStorage, finished: int) -> None:
    with storage.book.writing() as connection:
        connection.execute(update(schema.trial_value).values(value=9.0))
        connection.execute(update(schema.series).values(last=9.0))
        connection.execute(update(schema.attempt).values(ended=9.0))
    assert _computed(storage, finished) == _stored(storage, finished)


@pytest.mark.parametrize("state", [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL])
def test_trials_that_were_never_tracked_have_one(
    storage: BookStorage, study_id: int, state: TrialState
) -> None:
    value = 1.0 if state is TrialState.COMPLETE else None
    template = create_trial(state=state, value=value, intermediate_values={0: 1.0, 5: 2.0})
    added = storage.create_new_trial(study_id, template)
    told = storage.create_new_trial(study_id)
    storage.set_trial_intermediate_value(told, 0, 1.0)
    storage.set_trial_state_values(told, state, None if value is None else [value])
    for trial_id in (added, told):
        assert _stored(storage, trial_id) == _computed(storage, trial_id) is not None


def test_unfinished_trials_have_none(storage: BookStorage, study_id: int) -> None:
    assert _stored(storage, storage.create_new_trial(study_id)) is None


def test_equal_trials_of_two_books_have_equal_digests(tmp_path: Path, url: str) -> None:
    """Also of books on different databases."""
    digests = []
    for place in (tmp_path / "one.db", url):
        storage = BookStorage(place)
        study_id = storage.create_new_study([], "s")
        trial_id = storage.create_new_trial(study_id)
        attempt = storage.begin_attempt(trial_id, snapshots=[], seeds=Seeds(trial=1))
        storage.set_trial_param(trial_id, "x", 0.5, UNIT)
        attempt.log({"loss": 1.0}, 0, 12.5)
        if place == url:
            storage.flush()  # in how many transactions it was written does not matter
        storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [0.5])
        digests.append(_stored(storage, trial_id))
        storage.close()
    assert digests[0] == digests[1]
