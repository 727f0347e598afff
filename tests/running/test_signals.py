"""Signals of a scheduler: trials save what they have and are given back, and the exit code is 0."""

import os
import signal
import sys
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from optuna.study import StudyDirection

from trialbook.book.storage import BookStorage
from trialbook.records.execution import EndReason
from trialbook.running.coordinator import Coordinator
from trialbook.running.outcome import Limits
from trialbook.running.progress import Silence

ASKING = """
    import time
    from pathlib import Path
    def objective(trial):
        place = Path(__file__).parent
        (place / f"began-{trial.number}").touch()
        while not trial.should_stop():
            if (place / "go").exists():
                return 1.0
            time.sleep(0.01)
        (place / "stopping").touch()
        while (place / "slow").exists():
            time.sleep(0.01)
        return 0.0
"""

DEAF = """
    import time
    from pathlib import Path
    def objective(trial):
        place = Path(__file__).parent
        (place / f"began-{trial.number}").touch()
        while not (place / "go").exists():
            time.sleep(0.01)
        return 1.0
"""


def began(lab, count: int = 1) -> None:
    lab.wait_until(lambda: len(list(lab.place.glob("began-*"))) == count)


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        signal.SIGUSR1,
        pytest.param(signal.SIGUSR2, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, marks=pytest.mark.slow),
    ],
)
def test_trials_that_ask_are_given_back(lab, number: signal.Signals) -> None:
    workers = 2 if number is signal.SIGTERM else 1
    lab.write(ASKING)
    process = lab.started("--workers", str(workers), budget=3)
    began(lab, workers)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    asked, given = {
        1: ("1 running trial", "1 trial (0) was"),
        2: ("2 running trials", "2 trials (0, 1) were"),
    }[workers]
    assert f"{number.name}: asking {asked} to stop" in err
    assert f"{given} given back to be tried again" in err
    trials = lab.trials()
    assert [trial.state for trial in trials] == ["WAITING"] * workers
    assert {trial.attempts[0].end_reason for trial in trials} == {EndReason.PREEMPTED}
    if number is not signal.SIGTERM:
        return
    (lab.place / "go").touch()
    lab.run("budget: {trials: 3}\nretries: {backoff_s: 0.01}")
    trials = lab.trials()
    assert [trial.values for trial in trials] == [(1.0,)] * 3
    assert [len(trial.attempts) for trial in trials] == [2, 2, 1]


def test_a_trial_that_was_told_may_take_its_time(lab) -> None:
    """Longer than the grace, which is for those that never ask."""
    lab.write(ASKING)
    (lab.place / "slow").touch()
    process = lab.started("--grace", "0.1")
    began(lab)
    process.send_signal(signal.SIGTERM)
    lab.wait_until(lambda: (lab.place / "stopping").exists())
    time.sleep(1.0)  # ten times the grace
    assert process.poll() is None
    (lab.place / "slow").unlink()
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    (trial,) = lab.trials()
    assert trial.state == "WAITING"
    assert trial.attempts[0].end_reason is EndReason.PREEMPTED
    assert trial.attempts[0].outcome.signal is None
    assert trial.attempts[0].outcome.message == "the trial was asked to stop"


def test_a_trial_that_was_told_and_hangs_is_ended_by_its_limit(lab) -> None:
    lab.write(
        """
        import threading, time
        from pathlib import Path
        def objective(trial):
            (Path(__file__).parent / "began-0").touch()
            while not trial.should_stop():
                trial.log({"loss": 1.0})
                time.sleep(0.01)
            threading.Event().wait()
        """
    )
    process = lab.started("--progress-limit", "1.5")
    began(lab)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    (trial,) = lab.trials()
    assert trial.state == "WAITING", "it was preempted, and is tried again"
    attempt = trial.attempts[0]
    assert (attempt.end_reason, attempt.outcome.signal) == (EndReason.PREEMPTED, "SIGKILL")


def test_a_trial_that_never_asks_is_ended_after_its_grace(lab) -> None:
    lab.write(DEAF)
    process = lab.started("--grace", "0.5")
    began(lab)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    (trial,) = lab.trials()
    assert trial.state == "WAITING"
    attempt = trial.attempts[0]
    assert (attempt.end_reason, attempt.outcome.signal) == (EndReason.PREEMPTED, "SIGKILL")
    assert not attempt.outcome.died


def test_a_trial_that_never_asks_may_finish_within_its_grace(lab) -> None:
    lab.write(DEAF)
    process = lab.started()
    began(lab)
    process.send_signal(signal.SIGTERM)
    while "asking 1 running trial" not in process.stderr.readline():
        pass
    (lab.place / "go").touch()
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert [trial.state for trial in lab.trials()] == ["COMPLETE"]


def test_preemptions_have_the_budget_of_lost_workers(lab) -> None:
    lab.write(ASKING)
    process = lab.started("--retries", "lost=0")
    began(lab)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode in (0, 1), err
    (trial,) = lab.trials()
    assert (trial.state, trial.attempt.end_reason) == ("FAIL", EndReason.PREEMPTED)
    assert "the trial was asked to stop" in err


@pytest.mark.parametrize(
    "again", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_a_second_signal_gives_back_at_once_and_ctrl_c_abandons(lab, again: signal.Signals) -> None:
    lab.write(DEAF)
    process = lab.started()
    began(lab)
    process.send_signal(signal.SIGTERM)
    while "asking 1 running trial" not in process.stderr.readline():
        pass
    if again is not signal.SIGINT:
        time.sleep(1.1)  # sooner they are one request
    process.send_signal(again)
    process.communicate(timeout=30)
    (trial,) = lab.trials()
    if again is signal.SIGINT:
        assert process.returncode == 130
        assert (trial.state, trial.attempt.end_reason) == ("FAIL", EndReason.ABANDONED)
    else:
        assert process.returncode == 0
        assert (trial.state, trial.attempts[0].end_reason) == ("WAITING", EndReason.PREEMPTED)


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_who_asks_twice_waits_for_no_server_that_is_away(lab, second: signal.Signals) -> None:
    """The coordinator may be waiting for it just then, and hears nothing else meanwhile."""
    with closing(BookStorage(lab.book)) as storage:
        study_id = storage.create_new_study([StudyDirection.MINIMIZE], "s")
        job = SimpleNamespace(study_id=study_id, study="s", budget=1)
        coordinator = Coordinator(storage, job, [], Limits(None, 0), Silence())
        with coordinator._signals():
            signal.raise_signal(signal.SIGINT)
            assert not storage.outage.given_up
            signal.raise_signal(second)
            assert storage.outage.given_up


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("isolation", ["fork", "fresh"])
def test_every_process_of_a_job_hears_the_signal_and_survives(lab, isolation: str) -> None:
    """As schedulers do: the same signal to all, twice at once."""
    lab.write(ASKING)
    process = lab.started("--isolation", isolation)
    began(lab)
    everyone = family(process.pid)
    assert len(everyone) >= (4 if isolation == "fork" else 3)
    for number in (signal.SIGTERM, signal.SIGHUP):
        for pid in everyone:
            os.kill(pid, number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    (trial,) = lab.trials()
    assert (trial.state, trial.attempts[0].end_reason) == ("WAITING", EndReason.PREEMPTED)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_job_that_is_stopped_while_it_prepares_leaves_nothing(lab) -> None:
    lab.write(
        """
        import time
        from pathlib import Path
        Path(__file__).with_name("importing").touch()
        time.sleep(1.5)
        def objective(trial):
            return 0.0
        """
    )
    process = lab.started()
    lab.wait_until(lambda: (lab.place / "importing").exists())
    for pid in family(process.pid):
        os.kill(pid, signal.SIGUSR1)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert lab.trials() == []


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_signal_to_one_worker_stops_that_one(lab) -> None:
    lab.write(ASKING)
    process = lab.started("--workers", "1")
    began(lab)
    (worker,) = children(process.pid)
    os.kill(worker, signal.SIGUSR2)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "SIGUSR2 asked worker 0 to stop" in err
    assert [trial.state for trial in lab.trials()] == ["WAITING"]


def test_what_the_objective_forks_is_ended_by_sigterm(lab) -> None:
    """As the workers of a data loader are; and what it starts ignores nothing."""
    lab.write(
        """
        import multiprocessing, signal, subprocess, sys, time
        def objective(trial):
            process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
            process.start()
            process.terminate()
            process.join(20)
            code = "import signal; print([int(signal.getsignal(n)) for n in (10, 12, 15)])"
            seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
            trial.set_user_attr("seen", [process.exitcode, seen.stdout.strip()])
            return 0.0
        """
    )
    lab.run("budget: {trials: 1}")
    (trial,) = lab.trials()
    assert trial.user_attrs["seen"] == [-signal.SIGTERM, "[0, 0, 0]"]


def test_ignored_signals_stay_ignored(lab) -> None:
    """As under nohup."""
    lab.write(DEAF)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = lab.started()
    finally:
        signal.signal(signal.SIGHUP, before)
    began(lab)
    process.send_signal(signal.SIGHUP)
    (lab.place / "go").touch()
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "SIGHUP" not in err
    assert [trial.state for trial in lab.trials()] == ["COMPLETE"] * 2


def children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def family(pid: int) -> list[int]:
    """A process and everything that it started, directly or not."""
    return [pid, *(member for child in children(pid) for member in family(child))]
