"""Trials whose process dies: what killed it and what it wrote is recorded, and the run goes on.

Whether such a trial is tried again is in ``test_retries.py``.
"""

import os
import signal
import socket
import sys
import time

import pytest

from trialbook.records.execution import EndReason
from trialbook.running.child import end_with
from trialbook.running.messages import Channel, ToChild

DEATHS = [
    ("os.kill(os.getpid(), signal.SIGKILL)", EndReason.LOST, None, "SIGKILL"),
    ("os._exit(3)", EndReason.FAILED, 3, None),
    ("ctypes.string_at(0)", EndReason.LOST, None, "SIGSEGV"),
    ("os.abort()", EndReason.LOST, None, "SIGABRT"),
    ("os._exit(0)", EndReason.FAILED, 0, None),
]


@pytest.mark.parametrize(
    "isolation",
    ["auto", pytest.param("fresh", marks=pytest.mark.slow), pytest.param("none")],
)
def test_a_dead_trial_is_recorded_and_the_run_goes_on(lab, isolation: str) -> None:
    """Between the first and the last, each dies in another way; what it started dies with it."""
    deaths = DEATHS if isolation == "auto" else DEATHS[:2]
    count = len(deaths)
    lab.write(
        f"""
        import ctypes, os, pathlib, signal, subprocess, sys
        def objective(trial):
            x = trial.suggest_float("x", 0, 1)
            trial.log({{"loss": 0.5}})
            print("last words of", trial.number)
            print("to stderr", file=sys.stderr)
            if trial.number == 1:
                started = subprocess.Popen(["sleep", "600"])
                pathlib.Path(__file__).with_name("started").write_text(str(started.pid))
            if 1 <= trial.number <= {count}:
                exec({[code for code, *_ in deaths]!r}[trial.number - 1])
            return x
        """
    )
    settings = f"budget: {{trials: {count + 2}}}\nisolation: {isolation}\n"
    outcome = lab.run(settings + "retries: {lost: 0}\nmax_failures: 0")
    trials = lab.trials()
    assert [trial.state for trial in trials] == ["COMPLETE", *["FAIL"] * count, "COMPLETE"]
    for (_, reason, exit_code, signal_name), trial in zip(deaths, trials[1:-1], strict=True):
        attempt = trial.attempt
        assert attempt.end_reason is reason
        assert attempt.outcome.died is (reason is EndReason.LOST)
        assert (attempt.outcome.exit_code, attempt.outcome.signal) == (exit_code, signal_name)
        assert "trial's process" in attempt.outcome.message
        assert outcome.trials[trial.number].error == attempt.outcome.message
        console = lab.console(trial.number)
        assert console.stdout == f"last words of {trial.number}\n"
        assert console.stderr.splitlines()[0] == "to stderr"
    started = int((lab.place / "started").read_text())
    lab.wait_until(lambda: not _lives(started))


def test_what_a_trial_wrote_and_how_it_left_are_recorded(
    lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_API_KEY", "canary of the environment")
    lab.write(
        """
        import ctypes, os, subprocess, sys

        def native():
            print("python")
            sys.stdout.flush()
            ctypes.CDLL(None).puts(b"native")
            subprocess.run(["echo", "subprocess"])
            os.write(2, b"descriptor")

        def flood():
            print("the first line")
            line = "x" * 999 + "\\n"
            for _ in range(50_000):
                sys.stdout.write(line)
            print("the last line")

        def exits():
            print("last words")
            sys.exit(4)

        def interrupts():
            raise KeyboardInterrupt

        def tells_secrets():
            print("token=ghp_" + "a1B2" * 9)
            print("it is " + os.environ["LAB_API_KEY"])

        def tells_secrets_and_dies():
            tells_secrets()
            os._exit(1)

        DEEDS = [native, native, flood, exits, interrupts, tells_secrets, tells_secrets_and_dies]

        def objective(trial):
            DEEDS[trial.number]()
            return trial.suggest_float("x", 0, 1)
        """
    )
    lab.run("budget: {trials: 7}")
    trials = lab.trials()
    states = [*["COMPLETE"] * 3, "FAIL", "FAIL", "COMPLETE", "FAIL"]
    assert [trial.state for trial in trials] == states

    for number in range(2):
        console = lab.console(number)
        assert set(console.stdout.split()) == {"python", "native", "subprocess"}
        assert console.stderr == "descriptor"

    flood = trials[2].attempt.outcome.stdout
    assert flood.size_bytes == 50_000_000 + len("the first line\nthe last line\n")
    assert flood.kept_bytes < 1_100_000
    text = lab.console(2).stdout
    assert text.startswith("the first line\n")
    assert text.endswith("the last line\n")
    assert "bytes left out here" in text

    assert trials[3].attempt.outcome.exception == "SystemExit"
    assert trials[3].attempt.outcome.exit_code == 4
    assert lab.console(3).stdout == "last words\n"

    for number in (5, 6):
        assert "a1B2a1B2" not in lab.console(number).stdout
        assert "canary" not in lab.console(number).stdout
        assert any("stdout" in place for place in trials[number].attempt.outcome.redacted)

    # Nobody interrupted the run: as an abandoned trial it would be made up for without end.
    assert trials[4].attempt.end_reason is EndReason.FAILED


PARENT_OF = """
    import os, signal
    def parent_of(pid):
        with open(f"/proc/{pid}/stat") as stat:
            return int(stat.read().rsplit(")", 1)[1].split()[1])
"""

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@linux_only
def test_the_trial_of_a_worker_that_is_killed_is_tried_again_at_once(lab) -> None:
    """The run notices the death itself and does not wait for the lease of an hour."""
    lab.write(
        """
        import os, signal
        from pathlib import Path
        def objective(trial):
            x = trial.suggest_float("x", 0, 1)
            marker = Path(__file__).with_name("killed")
            if trial.number == 1 and not marker.exists():
                marker.write_text(str(os.getpid()))
                os.kill(os.getppid(), signal.SIGKILL)
                signal.pause()
            return x
        """
    )
    settings = "isolation: none\nretries: {backoff_s: 0.01}\nlease: 3600"
    outcome = lab.run(f"budget: {{trials: 4}}\n{settings}")
    trial = int((lab.place / "killed").read_text())
    lab.wait_until(lambda: not _lives(trial))  # though nobody told it, and it heard of nothing
    trials = lab.trials()
    assert [trial.state for trial in trials] == ["COMPLETE"] * 4
    first, second = trials[1].attempts
    assert (first.end_reason, second.end_reason) == (EndReason.LOST, EndReason.COMPLETE)
    assert (first.outcome.signal, first.outcome.died) == ("SIGKILL", True)
    assert [len(trial.attempts) for trial in trials] == [1, 2, 1, 1]
    assert any("starting another" in text for text in lab.heard.said_)
    assert any(text.startswith("trial 1 lost: the worker") for text in lab.heard.said_)
    assert [trial.number for trial in outcome.trials] == [0, 1, 2, 3]


def test_a_run_without_its_coordinator_gives_its_trials_back(lab) -> None:
    """SIGKILL to the command: workers notice, end their trials, and leave no process behind."""
    marker = lab.place / "began"
    lab.write(
        f"""
        import os, time
        def objective(trial):
            with open({str(marker)!r}, "w") as file:
                file.write(f"{{os.getpid()}} {{os.getppid()}}")
            time.sleep(600)
        """
    )
    process = lab.started()
    lab.wait_until(lambda: marker.exists() and marker.read_text().count(" ") == 1)
    pids = [int(pid) for pid in marker.read_text().split()]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    lab.wait_until(lambda: not any(_lives(pid) for pid in pids))
    lab.wait_until(lambda: [trial.state for trial in lab.trials()] == ["WAITING"])
    attempt = lab.trials()[0].attempts[0]
    assert (attempt.end_reason, attempt.outcome.died) == (EndReason.LOST, False)


@linux_only
def test_a_run_that_was_killed_as_a_whole_is_cleaned_up_by_the_next(lab) -> None:
    """As after a power loss: coordinator, worker and trial die in the same moment."""
    lab.write(
        PARENT_OF
        + """
    from pathlib import Path
    def objective(trial):
        marker = Path(__file__).with_name("killed")
        if trial.number == 0 and not marker.exists():
            marker.touch()
            worker = parent_of(os.getppid())
            coordinator = parent_of(worker)
            for pid in (coordinator, worker, os.getppid()):
                os.kill(pid, signal.SIGSTOP)
            for pid in (coordinator, worker, os.getppid()):
                os.kill(pid, signal.SIGKILL)
            signal.pause()
        return trial.suggest_float("x", 0, 1)
    """
    )
    lab.started().communicate(timeout=60)
    assert [trial.state for trial in lab.trials()] == ["RUNNING"]
    outcome = lab.run("budget: {trials: 3}\nretries: {backoff_s: 0.01}")
    assert lab.heard.said_[0] == "trial 0: its worker was lost; it is tried again"
    assert (lab.heard.first.done, lab.heard.first.to_go) == (0, 3)
    assert outcome.state.done == 3
    trials = lab.trials()
    assert [trial.state for trial in trials] == ["COMPLETE"] * 3
    assert [len(trial.attempts) for trial in trials] == [2, 1, 1]
    assert trials[0].attempts[0].end_reason is EndReason.LOST


@linux_only
def test_a_child_without_its_worker_ends(lab) -> None:
    """The supervisor is killed while the trial runs; neither it nor its template outlives it."""
    marker = lab.place / "began"
    lab.write(
        PARENT_OF
        + f"""
    import time
    def objective(trial):
        with open({str(marker)!r}, "a") as file:
            file.write(f"{{os.getpid()}} {{os.getppid()}} {{parent_of(os.getppid())}}\\n")
        if trial.number == 0:
            time.sleep(600)
        return 0.0
    """
    )
    process = lab.started("--retries", "lost=0")
    lab.wait_until(lambda: marker.exists() and marker.read_text().endswith("\n"))
    trial, template, worker = (int(pid) for pid in marker.read_text().split())
    os.kill(worker, signal.SIGKILL)
    lab.wait_until(lambda: not _lives(trial) and not _lives(template))
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert [trial.state for trial in lab.trials()] == ["FAIL", "COMPLETE"]


def test_the_end_of_a_channel_ends_a_child_and_its_group() -> None:
    """Where the kernel does not see to it."""
    here, there = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        here.close()
        os.setpgid(0, 0)
        end_with(Channel(there, ToChild))
        there.send(b"x")
        time.sleep(60)
        os._exit(0)
    there.close()
    assert here.recv(1) == b"x"
    assert os.waitpid(pid, os.WNOHANG) == (0, 0)
    here.close()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
