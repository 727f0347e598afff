"""Each thing that must never be is found when it is: a book is damaged by hand, row by row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from optuna.trial import TrialState
from sqlalchemy import update

from trialbook.book import schema
from trialbook.book.attempt import Attempt
from trialbook.book.storage import BookStorage
from trialbook.errors import NotFoundError
from trialbook.testing import invariants

t, a, s = schema.trial, schema.attempt, schema.study
DAMAGES: list[tuple[Any, dict[str, Any], str]] = [
    (t, {"number": 5}, "its trials have the numbers [5], the next one is 1"),
    (t, {"finish_seq": 4}, "its finishes have the numbers [4], it counts 1"),
    (t, {"finish_seq": None}, "it is COMPLETE and has no finish"),
    (t, {"state": 0}, "it is RUNNING and has 1 values"),
    (t, {"state": 2}, "it is PRUNED, but its attempt has ended as complete"),
    (t, {"attempt": 0}, "attempt 1 is newer than 0, which counts"),
    (t, {"attempt": 2}, "attempts [1] have ended with a result, 2 is the one that counts"),
    (t, {"record_digest": "0" * 64}, "its rows have the digest"),
    (a, {"ended": None, "end_reason": None}, "but attempt 1 has not ended"),
    (a, {"end_reason": None}, "attempt 1 ended at"),
    (a, {"resumed_from": 7}, "attempt 1 went on from checkpoint 7"),
    (a, {"lease": 1.0}, "attempt 1 is leased to nobody"),
    (s, {"next_number": 3}, "the next one is 3"),
    (s, {"finished": 2}, "it counts 2"),
    (schema.trial_value, {"objective": 1, "value": 9.0}, "not 9.0"),
]


@pytest.mark.parametrize(("table", "values", "what"), DAMAGES)
def test_what_must_never_be_is_found(
    url: str,
    begin: Callable[..., Attempt],
    storage: BookStorage,
    table: Any,
    values: dict[str, Any],
    what: str,
) -> None:
    storage.set_trial_state_values(begin().trial_id, TrialState.COMPLETE, [1.0])
    assert invariants(url) == invariants(storage.book, "digits", overdue_s=0.0) == []
    with storage.book.writing() as connection:
        connection.execute(update(table).values(**values))
    found = invariants(storage.book)
    assert any(what in one for one in found), found


def test_a_trial_that_runs_on_after_its_lease_is_found(
    begin: Callable[..., Attempt], storage: BookStorage
) -> None:
    begin()
    with storage.book.writing() as connection:
        connection.execute(update(a).values(lease=1.0))
    (what,) = (one for one in invariants(storage.book, overdue_s=60.0) if "after its lease" in one)
    assert what.startswith("study 'digits': trial 0: it is RUNNING")
    assert not any("after its lease" in one for one in invariants(storage.book))


def test_an_unknown_study_is_not_found(storage: BookStorage) -> None:
    with pytest.raises(NotFoundError):
        invariants(storage.book, "nope")
