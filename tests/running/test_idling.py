"""A worker without a trial to claim: when it looks again, and when it leaves."""

from __future__ import annotations

from trialbook.running.idling import Idling


def test_without_patience_it_leaves_and_waits_only_for_what_is_tried_again() -> None:
    idling = Idling()
    assert not idling.waits
    assert idling.pause_s(100.0, None) is None
    assert idling.pause_s(100.0, 7.5) == 7.5


def test_it_looks_ever_less_often_and_leaves_when_its_time_is_over() -> None:
    idling = Idling(20.0)
    assert idling.waits
    now, pauses = 100.0, []
    while (pause := idling.pause_s(now, None)) is not None:
        pauses.append(pause)
        now += pause
    assert now == 120.0
    assert pauses[:3] == [0.5, 0.75, 1.125]
    assert max(pauses) <= 5.0


def test_a_claim_begins_the_time_anew() -> None:
    idling = Idling(2.0)
    assert idling.pause_s(0.0, None) == 0.5
    idling.busy()
    assert idling.pause_s(5.0, None) == 0.5
    assert idling.pause_s(7.0, None) is None


def test_a_retry_that_comes_sooner_is_waited_for() -> None:
    idling = Idling(10.0)
    assert idling.pause_s(0.0, 0.1) == 0.1
    assert idling.pause_s(0.1, 600.0) == 0.75


def test_a_budget_that_grows_is_seen_while_there_is_nothing_to_do() -> None:
    idling = Idling(10.0, lambda: 20)
    assert idling.budget(10) == 10
    idling.pause_s(0.0, None)
    assert idling.budget(10) == 20
    idling.busy()
    assert idling.budget(10) == 10
