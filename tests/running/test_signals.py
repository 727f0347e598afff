"""Signals of a scheduler: trials save what they have and are given back, and the exit code is 0."""

import os
import re
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
from trialbook.running.signals import STOP_SIGNALS, StopRequests

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


def until_said(process, text: str) -> str:
    """Read what a command says until it says this."""
    said = ""
    while text not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    return said


def test_trials_that_ask_are_given_back(lab) -> None:
    lab.write(ASKING)
    process = lab.started("--workers", "2", budget=3)
    began(lab, 2)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "SIGTERM: asking 2 running trials to stop" in err
    assert "2 trials (0, 1) were given back to be tried again" in err
    trials = lab.trials()
    assert [trial.state for trial in trials] == ["WAITING"] * 2
    assert {trial.attempts[0].end_reason for trial in trials} == {EndReason.PREEMPTED}
    (lab.place / "go").touch()
    lab.run("budget: {trials: 3}\nretries: {backoff_s: 0.01}\nisolation: none")
    trials = lab.trials()
    assert [trial.values for trial in trials] == [(1.0,)] * 3
    assert [len(trial.attempts) for trial in trials] == [2, 2, 1]


def test_the_grace_is_for_trials_that_never_ask(lab) -> None:
    """One that was told may take its time; one that never asks is ended."""
    lab.write(
        """
        import os, time
        from pathlib import Path
        def objective(trial):
            place = Path(__file__).parent
            if trial.number == 0:
                (place / "began-0").touch()
                while not trial.should_stop():
                    time.sleep(0.01)
                (place / "stopping").touch()
                while (place / "slow").exists():
                    time.sleep(0.01)
                return 0.0
            (place / "deaf").write_text(str(os.getpid()))
            (place / "began-1").touch()
            time.sleep(600)
        """
    )
    (lab.place / "slow").touch()
    process = lab.started("--workers", "2", "--grace", "0.5")
    began(lab, 2)
    deaf = int((lab.place / "deaf").read_text())
    process.send_signal(signal.SIGTERM)
    lab.wait_until(lambda: (lab.place / "stopping").exists())
    lab.wait_until(lambda: not Path(f"/proc/{deaf}").exists())  # so the grace of both is over
    assert lab.trials()[0].state == "RUNNING"
    (lab.place / "slow").unlink()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    told, ended = lab.trials()
    assert [told.state, ended.state] == ["WAITING"] * 2
    for trial, by in ((told, None), (ended, "SIGKILL")):
        attempt = trial.attempts[0]
        assert (attempt.end_reason, attempt.outcome.signal) == (EndReason.PREEMPTED, by)
        assert attempt.outcome.message == "the trial was asked to stop"
        assert not attempt.outcome.died


def test_a_trial_that_was_told_and_hangs_is_ended_by_its_limit(lab) -> None:
    """It was preempted, which has the budget of lost workers: it is not tried again here."""
    lab.write(
        """
        import threading, time
        from pathlib import Path
        def objective(trial):
            (Path(__file__).parent / "began-0").touch()
            while not trial.should_stop():
                trial.log({"loss": 1.0})
                time.sleep(0.05)
            threading.Event().wait()
        """
    )
    process = lab.started("--progress-limit", "4", "--retries", "lost=0")
    began(lab)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode in (0, 1), err
    (trial,) = lab.trials()
    assert trial.state == "FAIL"
    attempt = trial.attempt
    assert (attempt.end_reason, attempt.outcome.signal) == (EndReason.PREEMPTED, "SIGKILL")
    assert "the trial was asked to stop" in err


def test_a_trial_that_never_asks_may_finish_within_its_grace(lab) -> None:
    """And a signal that was ignored at the start, as under nohup, stays so."""
    lab.write(DEAF)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = lab.started(budget=1)
    finally:
        signal.signal(signal.SIGHUP, before)
    began(lab)
    assert all(ignores(pid, signal.SIGHUP) for pid in family(process.pid))
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    said = until_said(process, "asking 1 running trial")
    (lab.place / "go").touch()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "SIGHUP" not in said + err
    assert [trial.state for trial in lab.trials()] == ["COMPLETE"]


@pytest.mark.parametrize(
    "again", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_a_second_signal_gives_back_at_once_and_ctrl_c_abandons(lab, again: signal.Signals) -> None:
    lab.write(DEAF)
    process = lab.started()
    began(lab)
    process.send_signal(signal.SIGTERM)
    until_said(process, "asking 1 running trial")
    if again is not signal.SIGINT:
        time.sleep(1.1)  # sooner they are one request
    process.send_signal(again)
    process.communicate(timeout=60)
    (trial,) = lab.trials()
    if again is signal.SIGINT:
        assert process.returncode == 130
        assert (trial.state, trial.attempt.end_reason) == ("FAIL", EndReason.ABANDONED)
    else:
        assert process.returncode == 0
        assert (trial.state, trial.attempts[0].end_reason) == ("WAITING", EndReason.PREEMPTED)


def test_signals_that_come_together_are_one_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial that was asked by the first one is not ended by the second."""
    clock = SimpleNamespace(monotonic=lambda: moments_s.pop(0))
    monkeypatch.setattr("trialbook.running.signals.time", clock)
    moments_s = [100.0, 100.9, 101.1]
    requests = StopRequests()
    counts = []
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        requests.heard(number, None)
        counts.append(requests.count)
    assert counts == [1, 1, 2]
    assert requests.name == "SIGUSR1"


@pytest.mark.parametrize("second", [signal.SIGINT, *STOP_SIGNALS])
def test_who_asks_twice_waits_for_no_server_that_is_away(lab, second: signal.Signals) -> None:
    """The coordinator may be waiting for it just then, and hears nothing else meanwhile."""
    with closing(BookStorage(lab.book)) as storage:
        study_id = storage.create_new_study([StudyDirection.MINIMIZE], "s")
        job = SimpleNamespace(study_id=study_id, study="s", budget=1)
        coordinator = Coordinator(storage, job, [], Limits(None, 0), Silence())
        with coordinator._interruptions.counted():
            signal.raise_signal(signal.SIGINT)
            assert not storage.outage.given_up
            signal.raise_signal(second)
            assert storage.outage.given_up
            heard = (coordinator._interruptions.presses, coordinator._interruptions.requests.name)
        assert heard == ((2, "") if second is signal.SIGINT else (1, second.name))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_every_process_of_a_job_hears_the_signal_and_survives(lab) -> None:
    """As schedulers do: the same signal to all, twice at once."""
    lab.write(ASKING)
    process = lab.started("--isolation", "fork")
    began(lab)
    everyone = family(process.pid)
    assert len(everyone) >= 4
    for number in (signal.SIGTERM, signal.SIGHUP):
        for pid in everyone:
            os.kill(pid, number)
    _, err = process.communicate(timeout=60)
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
        time.sleep(600)
        def objective(trial):
            return 0.0
        """
    )
    process = lab.started()
    lab.wait_until(lambda: (lab.place / "importing").exists())
    for pid in family(process.pid):
        os.kill(pid, signal.SIGUSR1)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert lab.trials() == []


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_signal_to_one_worker_stops_that_one(lab) -> None:
    """The interpreter of its trial hears it too, and survives."""
    lab.write(ASKING)
    process = lab.started("--isolation", "fresh")
    began(lab)
    (worker,) = children(process.pid)
    its_processes = family(worker)
    assert len(its_processes) >= 2
    for pid in its_processes:
        os.kill(pid, signal.SIGUSR2)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "SIGUSR2 asked worker 0 to stop" in err
    (trial,) = lab.trials()
    assert (trial.state, trial.attempts[0].end_reason) == ("WAITING", EndReason.PREEMPTED)
    assert trial.attempts[0].outcome.signal is None


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


def ignores(pid: int, number: signal.Signals) -> bool:
    """Whether a process ignores a signal; where the kernel does not say so, it is taken to."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return sys.platform != "linux"
    (mask,) = re.findall(r"^SigIgn:\s*(\w+)", status.read_text(), re.MULTILINE)
    return bool(int(mask, 16) >> (number - 1) & 1)
