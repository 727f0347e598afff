from __future__ import annotations

import hashlib
import json
import math
import struct
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from trialbook.errors import InvalidInputError
from trialbook.records.canonical import (
    canonical_bytes,
    digest_of,
    digest_of_bytes,
    parsed,
    tagged,
    untagged,
)

SURROGATES = st.text(st.characters(categories=["Cs", "L", "N"]), max_size=6)
NAMES = st.one_of(st.text(max_size=6), SURROGATES, st.sampled_from(["$float", "$map", "$", "a"]))
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    SURROGATES,
    st.binary(max_size=6),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


def _same(a: Any, b: Any) -> bool:
    """Equal with types, -0.0 apart from 0.0, NaN equal to NaN."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return (math.isnan(a) and math.isnan(b)) or struct.pack("<d", a) == struct.pack("<d", b)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    return bool(a == b)


@given(VALUES)
def test_untagging_undoes_tagging(value: Any) -> None:
    assert _same(untagged(tagged(value)), value)
    assert _same(parsed(canonical_bytes(value)), value)


@given(VALUES, VALUES)
def test_digests_are_equal_exactly_when_values_are(a: Any, b: Any) -> None:
    assert (digest_of(a) == digest_of(b)) == _same(a, b)


@given(st.dictionaries(NAMES, SCALARS, max_size=6))
def test_the_order_of_keys_does_not_matter(value: dict[str, Any]) -> None:
    assert canonical_bytes(dict(reversed(value.items()))) == canonical_bytes(value)


@given(VALUES)
def test_the_bytes_are_rfc_8785(value: Any) -> None:
    content = canonical_bytes(value)
    assert rfc8785.dumps(json.loads(content)) == content


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1.0, 1),
        (True, 1),
        (-0.0, 0.0),
        (2**53, float(2**53)),
        ("1", 1),
        (b"a", "a"),
        ({"$float": "nan"}, float("nan")),
        ({"$map": []}, {}),
        ([], {}),
        (None, "null"),
        ("\ud800", {"$text": "eda080"}),
    ],
)
def test_values_that_are_not_the_same_have_other_digests(one: object, other: object) -> None:
    assert digest_of(one) != digest_of(other)


def test_tuples_are_lists() -> None:
    assert digest_of((1, (2,))) == digest_of([1, [2]])


def test_subclasses_are_their_values() -> None:
    import enum

    import numpy as np

    class Colour(enum.StrEnum):
        RED = "red"

    assert digest_of(Colour.RED) == digest_of("red")
    assert digest_of(np.float64(0.1)) == digest_of(0.1)


@pytest.mark.parametrize("value", [object(), {1: 2}, {None: 1}, {1, 2}, 1j])
def test_what_is_not_json_is_refused(value: object) -> None:
    with pytest.raises(InvalidInputError):
        canonical_bytes(value)


def test_too_deep_is_refused() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(InvalidInputError, match="deep"):
        canonical_bytes(deep)


def test_a_digest_can_be_checked_with_sha256sum() -> None:
    assert digest_of_bytes(b"abc") == hashlib.sha256(b"abc").hexdigest()
    assert (
        digest_of({"b": 1, "a": [1.5, "x"]}) == hashlib.sha256(b'{"a":[1.5,"x"],"b":1}').hexdigest()
    )


PLAIN = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(), SURROGATES),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(st.characters(max_codepoint=127)) | NAMES, inner, max_size=6)
    ),
    max_leaves=30,
)


@given(PLAIN)
def test_the_short_way_gives_the_bytes_of_the_scheme(value: Any) -> None:
    assert canonical_bytes(value) == rfc8785.dumps(tagged(value))


@pytest.mark.parametrize("depth", [19, 20, 21, 22, 150])
def test_the_short_way_ends_in_the_depth(depth: int) -> None:
    value: Any = "leaf"
    for number in range(depth):
        value = [value] if number % 2 else {"b": value, "a": number}
    assert canonical_bytes(value) == rfc8785.dumps(tagged(value))
