"""Trials that are tried again: for which causes, how often, and what is kept of each attempt."""

import os
import signal
from contextlib import closing
from pathlib import Path

import pytest

from trialbook.book.storage import BookStorage
from trialbook.records.execution import EndReason
from trialbook.records.retries import QUARANTINED
from trialbook.running.run import RunEnd

QUICKLY = "retries: {backoff_s: 0.01}"


def ends(trial) -> list[EndReason]:
    return [attempt.end_reason for attempt in trial.attempts]


def test_a_trial_is_tried_again_for_each_cause_as_often_as_its_budget_says(lab) -> None:
    """With its number, its params and its seed; the run does not end before."""
    lab.write(
        """
        import os, signal
        from pathlib import Path

        def times(trial):
            with Path(__file__).with_name(f"times-{trial.number}").open("a+") as file:
                file.write(f"{trial.params['x']!r} {trial.seed}\\n")
                file.seek(0)
                return len(file.readlines())

        def objective(trial):
            x = trial.suggest_float("x", 0, 1)
            trial.set_user_attr("seed", trial.seed)
            trial.log({"loss": 0.5})
            time = times(trial)
            if trial.number == 1 and time == 1:
                print("last words")
                trial.storage.flush()  # what it told is in the book
                os.kill(os.getpid(), signal.SIGKILL)
            if trial.number == 2:
                os.abort()
            if trial.number == 3 and time < 3:
                raise ValueError("no luck")
            return x
        """
    )
    settings = "isolation: fork\nretries: {backoff_s: 0.01, lost: 9, failed: 2}"
    outcome = lab.run(f"budget: {{trials: 4}}\n{settings}")
    trials = lab.trials()
    assert [trial.state for trial in trials] == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE"]
    assert sorted(trial.number for trial in outcome.trials) == [0, 1, 2, 3]
    _, killed, quarantined, unlucky = trials

    assert ends(killed) == [EndReason.LOST, EndReason.COMPLETE]
    lost = killed.attempts[0]
    assert (lost.outcome.signal, lost.outcome.died) == ("SIGKILL", True)
    assert lost.outcome.stdout.size_bytes == len("last words\n")
    assert lost.series[0].metric == "loss"
    assert [text for text in lab.heard.said_ if text.startswith("trial 1 ")] == [
        "trial 1 lost: the trial's process was killed by SIGKILL; it is tried again"
    ]

    # Three processes died of it, whatever its budget is.
    assert ends(quarantined) == [EndReason.LOST] * 3
    assert "died without a word" in quarantined.system_attrs[QUARANTINED]
    failed = next(trial for trial in outcome.trials if trial.state == "FAIL")
    assert "not tried again" in failed.error

    assert ends(unlucky) == [EndReason.FAILED, EndReason.FAILED, EndReason.COMPLETE]
    assert unlucky.attempts[0].outcome.exception == "ValueError"
    assert "no luck" in unlucky.attempts[1].outcome.traceback
    assert "trial 3 failed: ValueError: no luck; it is tried again" in lab.heard.said_

    for trial in (killed, unlucky):
        told = (lab.place / f"times-{trial.number}").read_text().splitlines()
        assert told == [f"{trial.params[0].value!r} {trial.user_attrs['seed']}"] * len(told)


def test_out_of_memory_is_tried_once_more(lab) -> None:
    """Whether Python, NumPy or PyTorch says so."""
    lab.write(
        """
        import resource
        import numpy as np
        class OutOfMemoryError(RuntimeError):
            __module__ = 'torch'
        def objective(trial):
            if trial.number == 0:
                resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))
                bytes(2**32)
            if trial.number == 1:
                np.ones(2**57)
            raise OutOfMemoryError('CUDA out of memory')
        """
    )
    outcome = lab.run(f"budget: {{trials: 3}}\nmax_failures: 0\n{QUICKLY}")
    assert outcome.end is RunEnd.BUDGET, "no number of failures ends it"
    trials = lab.trials()
    assert [trial.state for trial in trials] == ["FAIL"] * 3
    for trial in trials:
        assert ends(trial) == [EndReason.OUT_OF_MEMORY] * 2
        assert trial.attempts[0].outcome.traceback is not None
    said = [trial.attempts[0].outcome.exception for trial in trials]
    assert said[0] == "MemoryError"
    assert said[1].endswith("MemoryError")
    assert said[2].endswith("OutOfMemoryError")


MEMORY_GROUPS = Path("/sys/fs/cgroup/memory")


@pytest.mark.skipif(
    not os.access(MEMORY_GROUPS / "cgroup.procs", os.W_OK), reason="needs a writable control group"
)
def test_a_kill_by_the_kernel_for_want_of_memory_is_told_from_others(lab) -> None:
    """The control group of the run counts it; a SIGKILL by hand is not counted."""
    lab.write(
        """
        import os
        def objective(trial):
            if trial.number == 0:
                memory = bytearray(2**30)
                for place in range(0, 2**30, 4096):
                    memory[place] = 1
            os.kill(os.getpid(), 9)
        """
    )
    group = MEMORY_GROUPS / f"trialbook-test-{os.getpid()}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(700 * 2**20))

        def join() -> None:
            (group / "cgroup.procs").write_text(str(os.getpid()))

        process = lab.started("--retries", "backoff_s=0.01", "--max-failures", "0", preexec_fn=join)
        process.communicate(timeout=120)
        process.wait()
    finally:
        group.rmdir()
    hungry, killed = lab.trials()
    assert ends(hungry) == [EndReason.OUT_OF_MEMORY] * 2
    assert hungry.attempts[0].outcome.signal == "SIGKILL"
    assert ends(killed) == [EndReason.LOST] * 3


def test_budgets_stay_with_the_study(lab) -> None:
    """A later run has the study's, but for what it is told."""
    lab.write("def objective(trial):\n    raise ValueError\n")
    lab.opened("budget: {trials: 1}\nretries: {backoff_s: 0.01, failed: 1}\nlimits: {trial_s: 60}")
    lab.run("budget: {trials: 1}\nlease: 30\nisolation: none")
    assert [len(trial.attempts) for trial in lab.trials()] == [2]
    job = lab.opened("budget: {trials: 2}")
    assert (job.limits.trial_s, job.lease_s) == (60.0, 30.0)
    lab.opened("budget: {trials: 3}\nretries: {failed: 2}\nlimits: {trial_s: null, progress_s: 9}")
    spec = lab.study().spec
    assert (spec.retries.failed, spec.retries.backoff_s, spec.retries.lost) == (2, 0.01, 3)
    assert (spec.limits.trial_s, spec.limits.progress_s, spec.lease_s) == (None, 9.0, 30.0)


def test_a_run_waits_for_what_an_earlier_one_gave_back(lab) -> None:
    """The first run is stopped while the trial has to wait."""
    lab.write(
        """
        import os
        from pathlib import Path
        def objective(trial):
            marker = Path(__file__).with_name("died")
            if not marker.exists():
                marker.touch()
                os.abort()
            return 0.0
        """
    )
    process = lab.started("--retries", "backoff_s=600", budget=1)
    while "it is tried again" not in (line := process.stderr.readline()):
        assert line
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "1 trial (0) was given back to be tried again" in err
    assert [trial.state for trial in lab.trials()] == ["WAITING"]
    with closing(BookStorage(lab.book)) as storage, storage.book.writing() as connection:
        connection.exec_driver_sql(
            "UPDATE tb_trial SET not_before = (julianday('now') - 2440587.5) * 86400.0 + 4"
        )
    outcome = lab.run("budget: {trials: 1}")
    assert (lab.heard.first.done, lab.heard.first.to_go, outcome.state.to_go) == (0, 1, 0)
    assert [trial.state for trial in lab.trials()] == ["COMPLETE"]
