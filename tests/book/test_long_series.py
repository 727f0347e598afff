"""Attempts with very many points: folded when they end, or left in parts, in bounded memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from optuna.trial import TrialState
from sqlalchemy import select

from trialbook.book import schema, series_rows
from trialbook.book.attempt import Attempt
from trialbook.book.reading import Reader
from trialbook.book.series_rows import without_repeats
from trialbook.book.storage import BookStorage
from trialbook.book.verification import verify
from trialbook.records.series import Series

Begin = Callable[..., Attempt]


def _parts(storage: BookStorage, attempt: Attempt) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    with storage.book.reading() as connection:
        for metric, part in connection.execute(
            select(schema.series.c.metric, schema.series.c.part)
            .where(schema.series.c.attempt_id == attempt.attempt_id)
            .order_by(schema.series.c.metric, schema.series.c.part)
        ):
            found.setdefault(metric, []).append(part)
    return found


def test_parts_are_folded_into_one_row_a_metric(begin: Begin, storage: BookStorage) -> None:
    attempt = begin()
    for step in range(7):
        attempt.log({"a": float(step)}, step, 0.0)
        if step % 3 == 0:
            attempt.log({"b": float(step)}, step, 0.0)
        storage.flush()
    assert {metric: len(parts) for metric, parts in _parts(storage, attempt).items()} == {
        "a": 7,
        "b": 3,
    }
    storage.set_trial_state_values(attempt.trial_id, TrialState.COMPLETE, [1.0])
    assert _parts(storage, attempt) == {"a": [0], "b": [0]}
    series = Reader(storage.book).series(attempt.attempt_id)
    assert series["a"].values.tolist() == list(range(7))
    assert series["b"].steps.tolist() == [0, 3, 6]


def test_what_is_too_long_stays_in_parts(
    begin: Begin, storage: BookStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series_rows, "FOLD_POINTS", 10)
    attempt = begin()
    for step in range(12):
        attempt.log({"long": float(step)}, step, 0.0)
        if step % 4 == 0:
            attempt.log({"short": float(step)}, step, 0.0)
            storage.flush()
    storage.set_trial_state_values(attempt.trial_id, TrialState.COMPLETE, [1.0])
    assert _parts(storage, attempt) == {"long": [0, 1, 2, 3], "short": [0]}
    series = Reader(storage.book).series(attempt.attempt_id)
    assert series["long"].values.tolist() == list(range(12))
    assert verify(storage.book).mismatches == ()


def test_points_of_a_helper_process_between_fold_and_commit_are_kept(
    url: str, begin: Begin, storage: BookStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trialbook.book import attempt_writes as attempts

    other = BookStorage(url)
    attempt = begin()
    storage.set_trial_intermediate_value(attempt.trial_id, 0, 0.0)
    storage.flush()
    plain = attempts.folded
    calls = []

    def folded(*arguments: object) -> object:
        fold = plain(*arguments)  # type: ignore[arg-type]
        if not calls:
            other.set_trial_intermediate_value(attempt.trial_id, 1, 1.0)
        calls.append(1)
        return fold

    monkeypatch.setattr(attempts, "folded", folded)
    storage.set_trial_intermediate_value(attempt.trial_id, 2, 2.0)
    storage.set_trial_state_values(attempt.trial_id, TrialState.COMPLETE, [1.0])
    assert len(calls) == 2
    assert storage.get_trial(attempt.trial_id).intermediate_values == {0: 0.0, 1: 1.0, 2: 2.0}
    assert verify(storage.book).mismatches == ()
    other.close()


def test_repeats_of_a_report_leave_the_last_value_at_the_first_place() -> None:
    series = Series(
        "objective",
        np.array([5, 1, 5, 2, 1, 5]),
        np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
        np.arange(6.0),
    )
    kept = without_repeats(series)
    assert kept.steps.tolist() == [5, 1, 2]
    assert kept.values.tolist() == [5.0, 4.0, 3.0]
    assert kept.seconds.tolist() == [5.0, 4.0, 3.0]
    once = Series("objective", np.array([3, 1]), np.zeros(2), np.zeros(2))
    assert without_repeats(once) is once


TEN_MILLION = """
import resource, sys, time
import optuna
from optuna.trial import TrialState
from trialbook.book.storage import BookStorage
from trialbook.records.execution import Seeds
storage = BookStorage(sys.argv[1])
study_id = storage.create_new_study([optuna.study.StudyDirection.MINIMIZE], "digits")
trial_id = storage.create_new_trial(study_id)
attempt = storage.begin_attempt(trial_id, snapshots=[], seeds=Seeds(trial=1))
for step in range(20_000):
    attempt.log({"loss": float(step), "b": 0.0, "c": 0.0, "d": 0.0, "e": 0.0}, step, 0.0)
storage.flush()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
metrics = {"loss": 0.0, "b": 1.0, "c": 2.0, "d": 3.0, "e": 4.0}
for step in range(20_000, 2_000_000):
    metrics["loss"] = float(step)
    attempt.log(metrics, step, 0.5)
storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
storage.close()
"""


@pytest.mark.slow
def test_ten_million_points_stay_in_bounded_memory(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TEN_MILLION, str(path)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    grown_kib = int(done.stdout)
    assert grown_kib < 100 * 1024  # the points alone are 240 MB
    storage = BookStorage(path)
    attempt = Reader(storage.book).trial("digits/0").attempt
    assert attempt is not None
    assert [s.count for s in attempt.series] == [2_000_000] * 5
    loss = attempt.series[-1]
    assert (loss.metric, loss.last, loss.maximum) == ("loss", 1_999_999.0, 1_999_999.0)
    storage.close()
