import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trialbook.capture.yaml import yaml_value
from trialbook.errors import ConfigError


def value(text):
    return yaml_value(text, where="test.yaml")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-3", 1e-3),
        ("1E5", 1e5),
        (".5", 0.5),
        ("5.", 5.0),
        ("-.inf", -math.inf),
        ("+12", 12),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("no", "no"),
        ("on", "on"),
        ("True", True),
        ("false", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("2024-01-05", "2024-01-05"),
        ("'1'", "1"),
        ("!!str 1", "1"),
        ("!!float 1", 1.0),
        ("[1, [2, a], {b: c}]", [1, [2, "a"], {"b": "c"}]),
        ("123456789012345678901234567890", 123456789012345678901234567890),
        ("a: &x {k: 1}\nb: {<<: *x, k: 2, m: 3}", {"a": {"k": 1}, "b": {"k": 2, "m": 3}}),
        ("\ufeffa: ä", {"a": "ä"}),
    ],
)
def test_scalars_follow_yaml_1_2(text, expected):
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


def test_not_a_number():
    assert math.isnan(value("[.nan]")[0])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\na: 2", "twice"),
        ("{a: 1, 'a': 2}", "twice"),
        ("1: a", "no text"),
        ("? [1]\n: a", "no text"),
        ("!!python/object/apply:os.system [echo]", "tag"),
        ("!!python/name:os.system", "tag"),
        ("!custom x", "tag"),
        ("!!binary aGk=", "tag"),
        ("!!set {a, b}", "tag"),
        ("!!bool maybe", "neither"),
        ("!!int x", "whole number"),
        ("a: [", "cannot be read"),
        ("a: &a [*a]", "contains itself"),
        ("a: *b", "undefined alias"),
        ("a\n---\nb", "document"),
        ("\0", "cannot be read"),
        ("[" * 3000 + "]" * 3000, "deeply"),
    ],
)
def test_what_is_refused(text, said):
    with pytest.raises(ConfigError, match=said) as caught:
        value(text)
    assert "test.yaml" in str(caught.value)
    assert caught.value.hint


def test_bytes_that_are_no_text():
    with pytest.raises(ConfigError):
        value(b"a: \xff\xfe\xfd")


def test_aliases_that_explode_are_stopped():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    with pytest.raises(ConfigError, match="aliases|more than"):
        value("\n".join(lines))


def test_no_two_places_share_an_object():
    found = value("a: &x [1]\nb: *x")
    assert found["a"] == found["b"]
    assert found["a"] is not found["b"]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_as_python_writes_it(number):
    assert value(repr(number)) == number
