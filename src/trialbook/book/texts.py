"""What goes into text columns: names that every database takes, and JSON in Optuna's order.

The same input is accepted or refused, with the same error, whatever the database.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from trialbook.book.schema import NAME_LENGTH
from trialbook.errors import InvalidInputError
from trialbook.records.canonical import tagged

DEEPEST = 100
"""How deep a JSON value may be nested."""

INT64 = range(-(2**63), 2**63)

_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_encode_checked = json.JSONEncoder(separators=(",", ":")).encode
_FLOAT = struct.Struct("<d")
_SCALARS = (str, int, float, bool, type(None))


def checked_name(name: object, what: str) -> str:
    """The name, when every database can hold it.

    Args:
        name: A name from a caller.
        what: What it names, for the message, as in "a metric".

    Raises:
        InvalidInputError: It is no text, longer than 512 characters, or holds a NUL character
            or a lone surrogate.
    """
    if not isinstance(name, str):
        raise InvalidInputError(f"the name of {what} must be text, not {type(name).__name__}")
    if len(name) > NAME_LENGTH:
        raise InvalidInputError(
            f"the name of {what} has {len(name)} characters: {NAME_LENGTH} are allowed",
            where=f"{name[:40]!r}...",
            hint="shorten it",
        )
    if "\0" in name:
        raise InvalidInputError(
            f"the name of {what} holds a NUL character", where=repr(name), hint="remove it"
        )
    if not name.isascii():
        try:
            name.encode()
        except UnicodeEncodeError:
            raise InvalidInputError(
                f"the name of {what} holds a lone surrogate",
                where=ascii(name),
                hint="decode the bytes that it came from with another encoding",
            ) from None
    return name


def checked_step(step: object) -> int:
    """The step as an integer of 64 bits.

    Raises:
        InvalidInputError: It is no integer, or does not fit.
    """
    try:
        number = step.__index__()  # type: ignore[attr-defined]
    except (AttributeError, TypeError):
        raise InvalidInputError(f"a step must be an integer, not {step!r:.80}") from None
    if number not in INT64:
        raise InvalidInputError(
            f"the step {number:.6g} does not fit into 64 bits", hint="count from zero"
        )
    return int(number)


def json_text(value: object, what: str) -> str:
    """A value as JSON, ASCII only; NaN and infinities as Python writes them.

    Args:
        value: Anything that ``json.dumps`` takes.
        what: Whose value it is, for the message.

    Raises:
        InvalidInputError: It is not JSON, or nested more than 100 deep.
    """
    try:
        if type(value) in _SCALARS:
            return _encode(value)
        text = _encode_checked(value)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"the value of {what} is not JSON: {error}",
            hint="convert it to text, a number, a list or a dictionary first",
        ) from error
    except RecursionError:
        raise _too_deep(what) from None
    if text.count("[") + text.count("{") > DEEPEST and _depth(value) > DEEPEST:
        raise _too_deep(what)
    return text


def _too_deep(what: str) -> InvalidInputError:
    return InvalidInputError(
        f"the value of {what} is nested too deeply: {DEEPEST} levels are allowed",
        hint="flatten it",
    )


def _depth(value: object) -> int:
    depth, level = 0, [value]
    while level and depth <= DEEPEST:
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, (list, tuple)):
                below.extend(item)
        level = [item for item in below if isinstance(item, (dict, list, tuple))]
        depth += 1
    return depth


def object_text(members: Mapping[str, str]) -> str:
    """A JSON object of members whose values are JSON texts already."""
    return "{" + ",".join(f"{_encode(key)}:{text}" for key, text in members.items()) + "}"


def merged_text(text: str, members: Mapping[str, str]) -> str:
    """A JSON object with members added or replaced; new ones come last."""
    if not members:
        return text
    if text == "{}":
        return object_text(members)
    whole: dict[str, Any] = json.loads(text)
    for key, member in members.items():
        whole[key] = json.loads(member)
    return _encode(whole)


def tagged_text(value: object) -> str:
    """A record or value as JSON in the tagged form of ``records/canonical.py``."""
    return _encode(tagged(msgspec.to_builtins(value)))


def returned_text(value: object) -> str:
    """What an objective returned, as JSON in the tagged form: numbers, else its ``repr``."""
    if value is None or isinstance(value, str):
        return tagged_text(value)
    items = list(value) if isinstance(value, Sequence) else [value]
    try:
        numbers = [_number(item) for item in items]
    except (TypeError, ValueError, OverflowError):
        return tagged_text(repr(value)[:2000])
    return tagged_text(numbers if isinstance(value, Sequence) else numbers[0])


def _number(item: Any) -> float:
    return float(item)


def value_bytes(value: float) -> bytes:
    """An objective value as IEEE 754, little-endian."""
    return _FLOAT.pack(value)


def value_of(content: bytes) -> float:
    """The objective value of these eight bytes."""
    value: float = _FLOAT.unpack(content)[0]
    return value


def queryable(value: float) -> float | None:
    """The value as a number column holds it: ``None`` for NaN."""
    return None if math.isnan(value) else value
