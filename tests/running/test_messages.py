"""Messages between processes: whole, in order, and with every value intact."""

import math
import os
import socket

import pytest

from trialbook.running.messages import (
    Channel,
    Claimed,
    ConsoleText,
    Finished,
    FromWorker,
    ToChild,
)


@pytest.fixture
def pair():
    sockets = []

    def made(kind):
        sockets.extend(socket.socketpair())
        return Channel(sockets[-2], kind), Channel(sockets[-1], kind)

    yield made
    for each in sockets:
        each.close()


def test_values_that_json_cannot_hold_arrive(pair) -> None:
    here, there = pair(FromWorker)
    sent = Finished(2**60, 3, "COMPLETE", (math.inf, -0.0), "\udcff", False)
    assert here.send(sent)
    received = there.receive()
    assert received == sent
    assert math.copysign(1, received.values[1]) == -1


def test_a_large_message_is_not_cut(pair) -> None:
    here, there = pair(ToChild)
    text = os.urandom(3_000_000)
    pid = os.fork()
    if pid == 0:
        here.send(ConsoleText(text, 1, b"", 0))
        os._exit(0)
    received = there.receive(timeout_s=30)
    os.waitpid(pid, 0)
    assert received == ConsoleText(text, 1, b"", 0)


def test_without_patience_nothing_waits_for_a_reader(pair) -> None:
    """As for a worker whose child was stopped: its lease must be renewed meanwhile."""
    sockets = socket.socketpair()
    here, there = Channel(sockets[0], ToChild, patient=False), Channel(sockets[1], ToChild)
    text = os.urandom(3_000_000)
    assert here.send(ConsoleText(text, 1, b"", 0))
    assert here.send(ConsoleText(b"second", 1, b"", 0))
    received = []
    while len(received) < 2:
        received += there.waiting()
        here.push()
    assert received == [ConsoleText(text, 1, b"", 0), ConsoleText(b"second", 1, b"", 0)]
    there.close()
    here.send(ConsoleText(b"third", 1, b"", 0))
    assert here.ended
    here.close()


def test_reading_goes_no_further_than_one_message_needs(pair) -> None:
    here, there = pair(FromWorker)
    for number in range(3):
        here.send(Claimed(number, number, 1))
    assert [there.receive().number, there.receive().number] == [0, 1]
    assert [message.number for message in there.waiting()] == [2]
    assert there.receive(timeout_s=0.01) is None
    assert not there.ended


def test_the_end_of_the_other_side_is_noticed(pair) -> None:
    here, there = pair(FromWorker)
    here.send(Claimed(1, 1, 1))
    here.close()
    assert there.waiting() == [Claimed(1, 1, 1)]
    assert there.ended
    assert there.receive() is None
    assert there.send(Claimed(2, 2, 1)) is False
