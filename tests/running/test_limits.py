"""Limits of time: an objective that hangs is ended, and the record says by which limit."""

from trialbook.records.execution import EndReason


def test_a_trial_that_hangs_is_ended_and_one_that_shows_progress_goes_on(lab) -> None:
    """They hear SIGTERM and do not care; their grace is over soon after."""
    lab.write(
        """
        import itertools, os, threading, time
        def objective(trial):
            print("before", flush=True)
            trial.set_user_attr("template", os.getppid())
            if trial.number == 0:
                threading.Event().wait()
            if trial.number == 1:
                began_s = time.monotonic()
                for step in itertools.count():  # either for longer than the limit of progress
                    time.sleep(0.1)
                    if time.monotonic() - began_s < 3.4:
                        trial.report(1.0, step)
                    else:
                        trial.log({"loss": 1.0})
            return 0.0
        """
    )
    outcome = lab.run("budget: {trials: 3}\nlimits: {trial_s: 7, progress_s: 3}", grace_s=0.5)
    trials = lab.trials()
    assert [trial.state for trial in trials] == ["FAIL", "FAIL", "COMPLETE"]
    for trial, reason, text in (
        (trials[0], EndReason.STALLED, "logged nothing for 3 s"),
        (trials[1], EndReason.TIMED_OUT, "took longer than its limit of 7 s"),
    ):
        assert trial.attempt.end_reason is reason
        assert text in trial.attempt.outcome.message
        assert not trial.attempt.outcome.died
        assert trial.user_attrs == trials[2].user_attrs, "what forks them need not import again"
        assert text in outcome.trials[trial.number].error
        assert lab.console(trial.number).stdout == "before\n"


def test_a_trial_may_use_its_grace(lab) -> None:
    """SIGTERM reaches what it waits for, and its own question is answered."""
    lab.write(
        """
        import subprocess, time
        from pathlib import Path
        def objective(trial):
            first = Path(__file__).with_name("first")
            if not first.exists():
                first.touch()
                subprocess.run(["sleep", "600"], check=True)
            while not trial.should_stop():
                time.sleep(0.05)
            return 0.0
        """
    )
    lab.run("budget: {trials: 1}\nlimits: {trial_s: 3}\nretries: {failed: 1, backoff_s: 0.01}")
    (trial,) = lab.trials()
    assert trial.state == "FAIL"
    assert [attempt.end_reason for attempt in trial.attempts] == [EndReason.TIMED_OUT] * 2
    for attempt in trial.attempts:
        assert "its limit of 3 s" in attempt.outcome.message
        assert attempt.outcome.signal is None, "it ended by itself"
