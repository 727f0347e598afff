"""Python looks for garbage seldom while a process imports what stays, and as before afterwards."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from trialbook.running.garbage import OBJECTS_BETWEEN_LOOKS, seldom_collected


@pytest.fixture(autouse=True)
def threshold() -> Iterator[tuple[int, int, int]]:
    before = gc.get_threshold()
    yield before
    gc.set_threshold(*before)


def test_it_is_as_before_afterwards(threshold) -> None:
    with pytest.raises(KeyError), seldom_collected():
        assert gc.get_threshold()[0] == OBJECTS_BETWEEN_LOOKS
        raise KeyError
    assert gc.get_threshold() == threshold


def test_what_is_set_meanwhile_stays() -> None:
    with seldom_collected():
        gc.set_threshold(123, 4, 5)
    assert gc.get_threshold() == (123, 4, 5)
