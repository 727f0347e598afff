"""What goes into text columns; what a book refuses of it is in its contract."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trialbook.book.texts import json_text, merged_text, object_text, returned_text
from trialbook.records.canonical import parsed


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_json_text_is_ascii_and_comes_back(value: Any) -> None:
    text = json_text(value, "it")
    assert text.isascii()
    assert "\0" not in text
    assert repr(parsed_plain(text)) == repr(value)


def parsed_plain(text: str) -> Any:
    return json.loads(text)


@given(st.dictionaries(st.text(), st.integers()), st.dictionaries(st.text(), st.integers()))
def test_merging_is_by_key(a: dict[str, int], b: dict[str, int]) -> None:
    text = object_text({key: str(value) for key, value in a.items()})
    merged = parsed_plain(merged_text(text, {key: str(value) for key, value in b.items()}))
    assert merged == {**a, **b}
    assert list(merged) == list({**a, **b})


@pytest.mark.parametrize(
    ("value", "recorded"),
    [
        (1, 1.0),
        (0.5, 0.5),
        (np.float32(0.5), 0.5),
        ((1, 2.5), [1.0, 2.5]),
        ([], []),
        (None, None),
        ("text", "text"),
        ({"a": 1}, "{'a': 1}"),
        ((1, "x"), "(1, 'x')"),
        (10**400, "1" + "0" * 400),
    ],
)
def test_returned_values(value: object, recorded: object) -> None:
    found = parsed(returned_text(value))
    assert (found, type(found)) == (recorded, type(recorded))
