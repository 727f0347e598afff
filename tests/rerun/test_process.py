"""What the fresh process inherits."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from trialbook.capture.environment import EnvironmentProbe
from trialbook.records.environment import EnvironmentState
from trialbook.rerun.process import child_environment


@pytest.fixture(scope="module")
def state() -> EnvironmentState:
    """The environment of this process."""
    state = EnvironmentProbe().observe().snapshot.state_as(EnvironmentState)
    return replace(state, variables={"OMP_NUM_THREADS": "1", "TZ": "UTC"})


def test_recorded_variables_stand_in_the_place_of_todays(state):
    inherited = {
        "PATH": "/bin",
        "TZ": "Asia/Tokyo",
        "MKL_NUM_THREADS": "7",
        "PYTHONPATH": "/x",
        "TRIALBOOK_STORAGE": "/book.db",
    }
    assert child_environment(inherited, state, None) == {
        "PATH": "/bin",
        "TZ": "UTC",
        "OMP_NUM_THREADS": "1",
    }


@pytest.mark.parametrize(("recorded", "expected"), [("5", "5"), ("0", "0"), ("random", None)])
def test_the_hash_seed_is_the_recorded_one(state, recorded, expected):
    then = replace(state, interpreter=replace(state.interpreter, hash_seed=recorded))
    environment = child_environment({"PYTHONHASHSEED": "9"}, then, None)
    assert environment.get("PYTHONHASHSEED") == expected


@pytest.mark.parametrize(
    ("here", "recorded", "expected"),
    [
        (None, None, None),
        ("2,3", None, "2,3"),
        (None, "", ""),
        ("0,1", "-1", ""),
        (None, "5", "0"),
        ("4,6,7", "0,1", "4,6"),
        ("4", "0,1", "4"),
        (None, "GPU-aaaa,GPU-bbbb", "0,1"),
    ],
)
def test_as_many_devices_as_recorded_out_of_those_of_this_machine(state, here, recorded, expected):
    inherited = {} if here is None else {"CUDA_VISIBLE_DEVICES": here}
    environment = child_environment(inherited, state, recorded)
    assert environment.get("CUDA_VISIBLE_DEVICES") == expected


def test_nothing_of_this_process_is_changed(state):
    before = dict(os.environ)
    child_environment(os.environ, state, "0")
    assert dict(os.environ) == before
