"""The page that a supervisor and its trial share."""

import os

import pytest

from trialbook.tracking.beacon import PROGRESS, Beacon, StopCause


@pytest.fixture
def pair():
    ours = Beacon.created()
    theirs = Beacon.inherited(os.dup(ours.descriptor))
    yield ours, theirs
    theirs.close()
    ours.close()


def test_each_side_sees_what_the_other_writes(pair) -> None:
    supervisor, trial = pair
    assert not trial.should_stop()
    assert not supervisor.has_asked, "it was told nothing"
    supervisor.request_stop(StopCause.TIMED_OUT, 2.5)
    supervisor.request_stop(StopCause.PREEMPTED)
    assert (trial.cause, trial.limit_s) == (StopCause.TIMED_OUT, 2.5)
    assert trial.should_stop()
    assert supervisor.has_asked
    supervisor.clear()
    assert not trial.should_stop()
    assert not supervisor.has_asked
    assert trial.limit_s == 0.0


def test_progress_is_seen_once(pair) -> None:
    supervisor, trial = pair
    assert not supervisor.progressed()
    trial.page[PROGRESS] = 1
    assert supervisor.progressed()
    assert not supervisor.progressed()


def test_a_forked_process_shares_the_page(pair) -> None:
    supervisor, trial = pair
    supervisor.request_stop(StopCause.PREEMPTED)
    pid = os.fork()
    if pid == 0:
        trial.page[PROGRESS] = 1
        os._exit(0 if trial.should_stop() else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert supervisor.has_asked
    assert supervisor.progressed()


def test_without_a_supervisor_nobody_asks_to_stop() -> None:
    alone = Beacon()
    assert not alone.should_stop()
    alone.page[PROGRESS] = 1
    alone.signalled()
    assert alone.should_stop()
    assert alone.cause is StopCause.PREEMPTED
    alone.forget_signals()
    assert not alone.should_stop()
    alone.close()
