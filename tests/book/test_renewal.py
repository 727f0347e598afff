"""The thread that renews leases: it ends when it is told to, whoever begins a trial meanwhile."""

from __future__ import annotations

import threading
from typing import Any

from trialbook.book.renewal import Renewal
from trialbook.records.workers import Holder, WorkerIdentity

HOLDER = Holder(WorkerIdentity("a" * 32, "here", 1), 0.04)


def test_a_thread_that_is_to_stop_does_though_another_begins() -> None:
    inside, go_on = threading.Event(), threading.Event()

    def held() -> list[Any]:
        inside.set()
        assert go_on.wait(20)
        return []

    leases: Any = None  # nothing is held, so nothing is renewed
    renewal = Renewal(leases, held, lambda _: None, lambda _: None)
    renewal.begin(HOLDER)
    assert inside.wait(20)
    first = renewal._thread
    assert first is not None
    stopping = threading.Thread(target=renewal.stop)
    stopping.start()
    while renewal._thread is first:
        stopping.join(0.001)
    renewal.begin(HOLDER)
    go_on.set()
    stopping.join(20)
    assert not first.is_alive()
    renewal.stop()
