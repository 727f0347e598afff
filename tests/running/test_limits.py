"""Limits of time: an objective that hangs is ended, and the record says by which limit."""

import pytest

from trialbook.records.execution import EndReason


@pytest.mark.parametrize(
    ("limits", "reason", "text"),
    [
        ("{trial_s: 1}", EndReason.TIMED_OUT, "took longer than its limit of 1 s"),
        ("{progress_s: 1}", EndReason.STALLED, "logged nothing for 1 s"),
    ],
)
def test_a_trial_that_hangs_is_ended(lab, limits: str, reason, text: str) -> None:
    """It hears SIGTERM and does not care; its grace is over soon after."""
    lab.write(
        """
        import os, threading
        def objective(trial):
            print("before", flush=True)
            trial.set_user_attr("template", os.getppid())
            if trial.number == 0:
                threading.Event().wait()
            return 0.0
        """
    )
    outcome = lab.run(f"budget: {{trials: 2}}\nlimits: {limits}", grace_s=0.5)
    hung, after = lab.trials()
    assert (hung.state, after.state) == ("FAIL", "COMPLETE")
    assert hung.attempt.end_reason is reason
    assert text in hung.attempt.outcome.message
    assert not hung.attempt.outcome.died
    assert hung.user_attrs == after.user_attrs, "what forks the trials need not import again"
    assert text in outcome.trials[0].error
    assert lab.console(0).stdout == "before\n"


def test_a_trial_that_shows_progress_goes_on(lab) -> None:
    lab.write(
        """
        import time
        def objective(trial):
            for step in range(8):
                time.sleep(0.25)
                if step % 2:
                    trial.log({"loss": 1.0})
                else:
                    trial.report(1.0, step)
            return 0.0
        """
    )
    lab.run("budget: {trials: 1}\nlimits: {progress_s: 1}")
    assert [trial.state for trial in lab.trials()] == ["COMPLETE"]


@pytest.mark.parametrize(
    "wait",
    ["subprocess.run(['sleep', '600'], check=True)", "until(trial.should_stop)"],
    ids=["subprocess", "asks"],
)
def test_a_trial_may_use_its_grace(lab, wait: str) -> None:
    """SIGTERM reaches what it waits for, and its own question is answered."""
    lab.write(
        f"""
        import subprocess, time
        def until(condition):
            while not condition():
                time.sleep(0.01)
        def objective(trial):
            {wait}
            return 0.0
        """
    )
    lab.run("budget: {trials: 1}\nlimits: {trial_s: 1}\nretries: {failed: 1, backoff_s: 0.01}")
    (trial,) = lab.trials()
    assert trial.state == "FAIL"
    assert [attempt.end_reason for attempt in trial.attempts] == [EndReason.TIMED_OUT] * 2
    assert "its limit of 1 s" in trial.attempts[0].outcome.message
    assert trial.attempts[0].outcome.signal is None, "it ended by itself"
