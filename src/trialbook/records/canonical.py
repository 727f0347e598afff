"""Canonical JSON and digests: one byte string, hence one digest, for one value.

The bytes are RFC 8785 (JSON Canonicalization Scheme). The scheme cannot hold everything that
Optuna and Python allow, so such values are first written in a tagged form, an object of one key:

==========================  =========================================
value                       tagged form
==========================  =========================================
NaN, infinities, -0.0 and   ``{"$float": "nan"}``, ``"inf"``, ``"-inf"``, ``"-0.0"``, ``"1.0"``
floats of integral value
integers from 2**53 up      ``{"$int": "9007199254740992"}``
text with lone surrogates   ``{"$text": "<hex of its UTF-8 with surrogatepass>"}``
bytes                       ``{"$bytes": "<hex>"}``
an object with a key that   ``{"$map": [[key, value], ...]}``, sorted by key
begins with ``$`` or has a
lone surrogate
==========================  =========================================

Tuples are written as lists. The tagged form is for digests and documents; ``untagged`` undoes it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import msgspec
import rfc8785

from trialbook.errors import InvalidInputError

_SAFE_INTEGER = 2**53
_PLAIN_DEPTH = 20


def tagged(value: object) -> Any:
    """The value with everything that RFC 8785 cannot hold in the tagged form.

    Raises:
        InvalidInputError: The value holds something that is not JSON, such as an object key
            that is no text.
    """
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is str:
        return _tagged_text(value)  # type: ignore[arg-type]
    if kind is float:
        return _tagged_float(value)  # type: ignore[arg-type]
    if kind is int:
        return value if -_SAFE_INTEGER < value < _SAFE_INTEGER else {"$int": str(value)}  # type: ignore[operator]
    if kind is dict:
        return _tagged_mapping(value)  # type: ignore[arg-type]
    if kind in (list, tuple):
        return [tagged(item) for item in value]  # type: ignore[attr-defined]
    return _tagged_subclass(value)


def _tagged_subclass(value: object) -> Any:
    if isinstance(value, str):
        return _tagged_text(str(value))
    if isinstance(value, int):
        return tagged(int(value))
    if isinstance(value, float):
        return _tagged_float(float(value))
    if isinstance(value, bytes):
        return {"$bytes": value.hex()}
    if isinstance(value, Mapping):
        return _tagged_mapping(value)
    if isinstance(value, (list, tuple)):
        return [tagged(item) for item in value]
    raise InvalidInputError(
        f"a value of type {type(value).__name__} cannot be recorded as JSON: {value!r:.80}",
        hint="convert it to text, a number, a list or a dictionary first",
    )


def _tagged_float(value: float) -> Any:
    if math.isfinite(value) and not value.is_integer():
        return value
    return {"$float": repr(value)}


def _tagged_text(value: str) -> Any:
    try:
        value.encode()
    except UnicodeEncodeError:
        return {"$text": value.encode("utf-8", "surrogatepass").hex()}
    return value


def _tagged_mapping(value: Mapping[Any, object]) -> Any:
    plain = True
    for key in value:
        if not isinstance(key, str):
            raise InvalidInputError(
                f"an object key must be text, not {type(key).__name__}: {key!r:.80}",
                hint="write the key as text",
            )
        if key.startswith("$") or type(_tagged_text(key)) is not str:
            plain = False
    if plain:
        return {str(key): tagged(item) for key, item in value.items()}
    pairs = sorted(value.items(), key=lambda pair: pair[0].encode("utf-8", "surrogatepass"))
    return {"$map": [[_tagged_text(key), tagged(item)] for key, item in pairs]}


def untagged(value: Any) -> Any:
    """The value that ``tagged`` was given, with lists for tuples."""
    if isinstance(value, list):
        return [untagged(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((key, item),) = value.items()
        if key == "$float":
            return float(item)
        if key == "$int":
            return int(item)
        if key == "$text":
            return bytes.fromhex(item).decode("utf-8", "surrogatepass")
        if key == "$bytes":
            return bytes.fromhex(item)
        if key == "$map":
            return {untagged(name): untagged(inner) for name, inner in item}
    return {key: untagged(item) for key, item in value.items()}


def canonical_bytes(value: object) -> bytes:
    """The value as canonical JSON, UTF-8, after tagging.

    Raises:
        InvalidInputError: The value is not JSON, or nested too deeply to be written.
    """
    if _is_plain(value, _PLAIN_DEPTH):
        try:
            # Without floats and with ASCII keys RFC 8785 is sorted, compact JSON; manifests of
            # thousands of files are of that kind, and this is thirty times as fast.
            return msgspec.json.encode(value, order="sorted")
        except UnicodeEncodeError:
            pass  # a lone surrogate, which is tagged below
    try:
        return rfc8785.dumps(tagged(value))
    except RecursionError:
        raise InvalidInputError(
            "a value is nested too deeply to be recorded", hint="flatten it"
        ) from None


def _is_plain(value: object, depth: int) -> bool:
    """Whether a value has nothing to tag (surrogates apart) nor numbers that JSON writes oddly."""
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return True
    if kind is int:
        return -_SAFE_INTEGER < value < _SAFE_INTEGER  # type: ignore[operator]
    if depth == 0:
        return False
    if kind is dict:
        for key, item in value.items():  # type: ignore[attr-defined]
            if type(key) is not str or not key.isascii() or key[:1] == "$":
                return False
            if not _is_plain(item, depth - 1):
                return False
        return True
    if kind is list or kind is tuple:
        return all(_is_plain(item, depth - 1) for item in value)  # type: ignore[attr-defined]
    return False


def parsed(data: bytes | str) -> Any:
    """The value whose canonical bytes these are."""
    return untagged(json.loads(data))


def digest_of(value: object) -> str:
    """SHA-256 of the value's canonical bytes, 64 hexadecimal digits."""
    return digest_of_bytes(canonical_bytes(value))


def digest_of_bytes(data: bytes | bytearray | memoryview) -> str:
    """SHA-256 of these bytes, 64 hexadecimal digits, as ``sha256sum`` prints it."""
    return hashlib.sha256(data).hexdigest()
