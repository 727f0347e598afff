"""Which process a worker is, and whether it is gone."""

import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from trialbook.capture.process import is_gone, own_identity, process_identity, start_ticks


def test_this_process_is_there() -> None:
    own = own_identity()
    assert own is own_identity()
    assert (own.pid, own.host) == (os.getpid(), os.uname().nodename)
    assert own.boot is not None
    assert own.start_ticks is not None
    assert not is_gone(own)


def test_a_fork_is_another_process() -> None:
    own = own_identity()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, own_identity().worker_id.encode())
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(reader, 100).decode() != own.worker_id
    os.close(reader)
    os.close(writer)


def test_an_ended_process_is_gone() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    there = replace(process_identity(), pid=process.pid, start_ticks=start_ticks(process.pid))
    assert not is_gone(there)
    process.send_signal(signal.SIGSTOP)
    assert not is_gone(there), "it is only stopped"
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert is_gone(there), "nobody has waited for it yet"
    process.communicate()
    assert is_gone(there)


def test_another_process_of_the_same_number_is_another() -> None:
    own = process_identity()
    assert own.start_ticks is not None
    assert is_gone(replace(own, start_ticks=own.start_ticks - 1))


@pytest.mark.parametrize(
    "change",
    [{"host": "elsewhere"}, {"boot": "another"}, {"boot": None}],
    ids=["host", "boot", "unknown"],
)
def test_what_cannot_be_known_is_not_gone(change) -> None:
    """Its number is used here by nobody, which says nothing of another place."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert is_gone(replace(process_identity(), pid=process.pid))
    assert not is_gone(replace(process_identity(), pid=process.pid, **change))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_a_process_of_another_user_is_there() -> None:
    """Asking after it is refused, which is an answer."""
    process = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    process.stdout.readline()
    there = replace(process_identity(), pid=process.pid, start_ticks=start_ticks(process.pid))
    pid = os.fork()
    if pid == 0:
        os.setuid(65534)
        os._exit(1 if is_gone(there) else 0)
    assert os.waitpid(pid, 0)[1] == 0
    process.communicate(b"\n")
