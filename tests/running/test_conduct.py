"""Retries, limits and leases as a study file and the command line ask for them."""

from pathlib import Path

import pytest

from trialbook.errors import InvalidInputError, SpecError
from trialbook.records.retries import RetryBudgets, TrialLimits
from trialbook.running.conduct import retries_of
from trialbook.running.spec import parsed_spec

PLACE = Path("/place/study.yaml")


def spec_of(text: str):
    return parsed_spec(f"objective: train.py:objective\n{text}", PLACE).study_spec


def test_what_is_asked_for_is_kept_with_the_study() -> None:
    spec = spec_of(
        "retries: {lost: 5, out_of_memory: 0, failed: 2, backoff_s: 10}\n"
        "limits: {trial_s: 7200, progress_s: 0.5}\nlease: 15\n"
    )
    assert spec.retries == RetryBudgets(5, 0, 2, 10.0)
    assert spec.limits == TrialLimits(7200.0, 0.5)
    assert spec.lease_s == 15.0


def test_the_rest_has_its_defaults() -> None:
    spec = spec_of("retries: {failed: 1}\nlimits: {trial_s: null}")
    assert spec.retries == RetryBudgets(failed=1)
    assert spec.limits == TrialLimits()
    assert spec.lease_s == 60.0


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("retries: 3", "retries: must be a mapping such as {lost: 3}, not 3"),
        ("retries: {losses: 3}", "retries.losses: unknown key; did you mean 'lost'?"),
        ("retries: {lost: 1.5}", "retries.lost: must be a whole number from 0 up, not 1.5"),
        ("retries: {failed: -1}", "retries.failed: must be a number from 0 up, not -1"),
        ("retries: {backoff_s: .inf}", "retries.backoff_s: must be a number from 0 up, not inf"),
        ("limits: {trial_s: 0}", "limits.trial_s: must be a number of seconds above 0, not 0"),
        ("limits: {progress_s: soon}", "limits.progress_s: must be a number of seconds above 0"),
        ("limits: {progres_s: 1}", "did you mean 'progress_s'?"),
        ("lease: 0.5", "lease: must be 1 or more seconds, not 0.5"),
        ("lease: true", "lease: must be 1 or more seconds, not True"),
    ],
)
def test_faults_are_told(text: str, fault: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec_of(text)
    assert len(caught.value.problems) == 1
    assert fault in caught.value.problems[0]


def test_flags_name_budgets() -> None:
    assert retries_of(("lost=5", "backoff_s=0.5", "lost=6")) == {"lost": 6, "backoff_s": 0.5}


@pytest.mark.parametrize("text", ["lost", "lost=", "lost=1.5", "lost=-1", "lots=1", "failed=nan"])
def test_flags_of_another_form_are_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="is no budget"):
        retries_of((text,))
