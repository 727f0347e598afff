"""Trials that are tried again: for which causes, how often, and what is kept of each attempt."""

import os
import signal
from pathlib import Path

import pytest

from trialbook.records.execution import EndReason
from trialbook.records.retries import QUARANTINED

QUICKLY = "retries: {backoff_s: 0.01}"


def ends(trial) -> list[EndReason]:
    return [attempt.end_reason for attempt in trial.attempts]


@pytest.mark.parametrize(
    "isolation",
    ["auto", pytest.param("fresh", marks=pytest.mark.slow), "none"],
)
def test_a_trial_whose_process_is_killed_is_tried_again(lab, isolation: str) -> None:
    """With its number, its params and its seed; the run does not end before."""
    lab.write(
        """
        import os, signal
        from pathlib import Path
        def objective(trial):
            x = trial.suggest_float("x", 0, 1)
            trial.set_user_attr("seed", trial.seed)
            trial.log({"loss": 0.5})
            marker = Path(__file__).with_name(f"died-{trial.number}")
            if trial.number == 1 and not marker.exists():
                marker.write_text(f"{x!r} {trial.seed}")
                print("last words")
                # What is told reaches the book in half a second; a param at once, or nearly.
                import time; time.sleep(1)
                os.kill(os.getpid(), signal.SIGKILL)
            return x
        """
    )
    outcome = lab.run(f"budget: {{trials: 2}}\nisolation: {isolation}\n{QUICKLY}")
    trials = lab.trials()
    assert [trial.state for trial in trials] == ["COMPLETE"] * 2
    assert ends(trials[1]) == [EndReason.LOST, EndReason.COMPLETE]
    x, seed = (lab.place / "died-1").read_text().split()
    assert trials[1].params[0].value == float(x)
    assert trials[1].user_attrs["seed"] == int(seed)
    lost = trials[1].attempts[0]
    assert (lost.outcome.signal, lost.outcome.died) == ("SIGKILL", True)
    assert lost.outcome.stdout.size_bytes == len("last words\n")
    assert lost.series[0].metric == "loss"
    assert lab.heard.said_ == [
        "trial 1 lost: the trial's process was killed by SIGKILL; it is tried again"
    ]
    assert [trial.number for trial in outcome.trials] == [0, 1]


def test_a_trial_that_kills_three_processes_is_in_quarantine(lab) -> None:
    lab.write(
        """
        import os
        def objective(trial):
            if trial.number == 0:
                os.abort()
            return 0.0
        """
    )
    outcome = lab.run("budget: {trials: 2}\nretries: {backoff_s: 0.01, lost: 9}")
    trials = lab.trials()
    assert [trial.state for trial in trials] == ["FAIL", "COMPLETE"]
    assert ends(trials[0]) == [EndReason.LOST] * 3
    assert "died without a word" in trials[0].system_attrs[QUARANTINED]
    failed = next(trial for trial in outcome.trials if trial.state == "FAIL")
    assert "not tried again" in failed.error


def test_an_exception_has_a_budget_of_its_own(lab) -> None:
    """None by default; with one, the failure is kept and the trial tried again."""
    lab.write(
        """
        from pathlib import Path
        def objective(trial):
            marker = Path(__file__).with_name("raised")
            with marker.open("a") as file:
                file.write(f"{trial.number} ")
            if len(marker.read_text().split()) < 3:
                raise ValueError("no luck")
            return 1.0
        """
    )
    lab.run("budget: {trials: 1}\nretries: {backoff_s: 0.01, failed: 2, lost: 0}")
    (trial,) = lab.trials()
    assert ends(trial) == [EndReason.FAILED, EndReason.FAILED, EndReason.COMPLETE]
    assert trial.attempts[0].outcome.exception == "ValueError"
    assert "no luck" in trial.attempts[1].outcome.traceback
    assert lab.heard.said_[0] == "trial 0 failed: ValueError: no luck; it is tried again"


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
    lab.run(f"budget: {{trials: 3}}\nmax_failures: 0\n{QUICKLY}")
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
    lab.run("budget: {trials: 1}\nretries: {backoff_s: 0.01, failed: 1}\nlimits: {trial_s: 60}")
    lab.run("budget: {trials: 2}\nlease: 30")
    lab.run("budget: {trials: 3}\nretries: {failed: 2}\nlimits: {trial_s: null, progress_s: 9}")
    trials = lab.trials()
    assert [len(trial.attempts) for trial in trials] == [2, 2, 3]
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
    process = lab.started("--retries", "backoff_s=6", budget=1)
    while "it is tried again" not in (line := process.stderr.readline()):
        assert line
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "1 trial (0) was given back to be tried again" in err
    assert [trial.state for trial in lab.trials()] == ["WAITING"]
    outcome = lab.run("budget: {trials: 1}")
    assert (lab.heard.first.done, lab.heard.first.to_go, outcome.state.to_go) == (0, 1, 0)
    assert [trial.state for trial in lab.trials()] == ["COMPLETE"]
