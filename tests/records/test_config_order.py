"""The order of a configuration's keys survives canonical JSON, which sorts them."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from trialbook.records.config import ConfigState, key_order
from trialbook.records.coordinates import Kind, Snapshot
from trialbook.records.coverage import Coverage

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=3), VALUES, max_size=4))
def test_keys_come_back_in_the_order_in_which_they_were(resolved):
    state = ConfigState(resolved=resolved, order=key_order(resolved))
    snapshot = Snapshot.of(Kind.CONFIG, Coverage.of(()), state)
    again = Snapshot.from_document(snapshot.document).state_as(ConfigState).as_seen
    assert json.dumps(again) == json.dumps(resolved)


def test_an_order_that_canonical_json_keeps_is_not_written():
    assert key_order({"a": {"b": 1, "c": [1, {"d": 2}]}}) is None
    assert key_order({"b": 1, "a": 2}) is not None


def test_a_key_that_was_left_out_is_no_obstacle():
    order = key_order({"z": 1, "secret": 2, "a": {"y": 1, "x": 2}})
    state = ConfigState(resolved={"a": {"x": 2, "y": 1}, "new": 0, "z": 1}, order=order)
    assert list(state.as_seen) == ["z", "a", "new"]
    assert list(state.as_seen["a"]) == ["y", "x"]
