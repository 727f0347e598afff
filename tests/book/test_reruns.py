"""Verdicts in the book."""

from __future__ import annotations

import math
import time

import optuna
import pytest
from optuna.trial import TrialState

from trialbook.book.reading import Reader
from trialbook.book.removal import remove_trial
from trialbook.book.reruns import add_rerun
from trialbook.errors import InvalidInputError, NotFoundError
from trialbook.records.execution import Seeds
from trialbook.records.verdict import (
    CoordinateDifference,
    RerunReport,
    ResultDifference,
    Verdict,
)


@pytest.fixture
def attempt(storage, study_id):
    trial_id = storage.claim(study_id).trial_id
    storage.begin_attempt(trial_id, snapshots=[], seeds=Seeds(trial=1))
    storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
    return Reader(storage.book).trial("digits/0").attempt


def _different() -> RerunReport:
    return RerunReport(
        "digits/0",
        Verdict.DIFFERENT,
        points=7,
        params=2,
        differences=(
            ResultDifference("point", "loss", math.nan, -0.0, step=3, index=3),
            ResultDifference("returned", "", "text", math.inf, tolerated=True),
        ),
        coordinates=(CoordinateDifference("environment", "package numpy", "2.0", None),),
        rtol=1e-3,
        elapsed_s=1.5,
    )


def test_reports_come_back_as_they_were_oldest_first(storage, attempt):
    add_rerun(storage.book, attempt.attempt_id, RerunReport("digits/0", Verdict.IDENTICAL), "a")
    add_rerun(storage.book, attempt.attempt_id, _different(), "b")
    first, second = Reader(storage.book).trial("digits/0").reruns
    assert first.report == RerunReport("digits/0", Verdict.IDENTICAL)
    assert (first.host, second.host) == ("a", "b")
    assert abs(second.at_s - time.time()) < 60
    expected = _different()
    point = second.report.differences[0]
    assert math.isnan(point.recorded)
    assert math.copysign(1, point.rerun) == -1
    assert second.report.differences[1:] == expected.differences[1:]
    assert second.report.coordinates == expected.coordinates


def test_a_rerun_does_not_change_the_record(storage, study_id, attempt):
    before = Reader(storage.book).trial("digits/0").record_digest
    add_rerun(storage.book, attempt.attempt_id, _different(), "b")
    assert Reader(storage.book).trial("digits/0").record_digest == before


def test_a_verdict_of_what_is_no_longer_there_is_refused(storage, attempt):
    remove_trial(storage.book, Reader(storage.book).trial("digits/0"))
    with pytest.raises(NotFoundError, match="digits/0"):
        add_rerun(storage.book, attempt.attempt_id, _different(), "b")


def test_a_report_that_is_no_json_leaves_nothing(storage, attempt):
    report = RerunReport(
        "digits/0",
        Verdict.DIFFERENT,
        differences=(ResultDifference("returned", "", {1: 2}, None),),
    )
    with pytest.raises(InvalidInputError):
        add_rerun(storage.book, attempt.attempt_id, report, "b")
    assert Reader(storage.book).trial("digits/0").reruns == ()
    assert optuna.load_study(study_name="digits", storage=storage).best_value == 1.0
