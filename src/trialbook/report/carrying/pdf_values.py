"""The values of a PDF (ISO 32000-2, 7.3): numbers, names, strings, arrays, dictionaries, pointers.

A value is parsed where it stands; which object it belongs to, and what a pointer leads to, is known
in ``pdf_objects.py``. A file has a budget for all of its values, and a limit of nesting.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_MOST_VALUES = 4_000_000
_BYTES_A_VALUE = 50
_LONGEST_STRING = 256 * 1024
_DEEPEST = 60

_SPACE = re.compile(rb"(?:[\x00\t\n\x0c\r ]+|%[^\r\n]*)*")
_REFERENCE = re.compile(rb"(\d{1,10})[\x00\t\n\x0c\r ]+(\d{1,5})[\x00\t\n\x0c\r ]+R(?![A-Za-z0-9])")
_NUMBER = re.compile(rb"[+-]?(?:\d+\.?\d*|\.\d+)")
_NAME = re.compile(rb"/([^\x00\t\n\x0c\r ()<>\[\]{}/%]*)")
_WORD = re.compile(rb"[^\x00\t\n\x0c\r ()<>\[\]{}/%]+")
_NAME_ESCAPE = re.compile(rb"#([0-9A-Fa-f]{2})")
_HEX = re.compile(rb"<([0-9A-Fa-f\x00\t\n\x0c\r ]{0,262144})>")
_STRING_PART = re.compile(rb"[()\\]")
_ESCAPE = re.compile(rb"\\(?:([0-7]{1,3})|(\r\n|[\s\S]))")
_ESCAPED = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}


class DamagedError(Exception):
    """What stands here is no value, or a limit is passed; never leaves this package."""


@dataclass(frozen=True, slots=True)
class Pointer:
    """An indirect reference: the number of an object."""

    number: int


class Name(str):
    """A name, without its slash."""

    __slots__ = ()


class Parser:
    """Parses the values of one file, as far as its budget goes."""

    def __init__(self) -> None:
        self._left = _MOST_VALUES

    def parsed(self, data: bytes, at: int) -> tuple[Any, int]:
        """The value that begins here, and where it ends.

        Args:
            data: The file, or the content of a stream of objects.
            at: Where in it; spaces and comments before the value are passed by.

        Raises:
            DamagedError: No value stands here, or it passes a limit.
        """
        return self._parsed(data, at, 0)

    def _parsed(self, data: bytes, at: int, depth: int) -> tuple[Any, int]:
        if depth > _DEEPEST:
            raise DamagedError("it has values nested deeper than are read")
        at = self._after_space(data, at)
        head = data[at : at + 2]
        if head == b"<<":
            return self._dictionary(data, at + 2, depth)
        match head[:1]:
            case b"[":
                return self._array(data, at + 1, depth)
            case b"/":
                name = _NAME.match(data, at)
                assert name is not None
                self._charge(name.end() - at)
                plain = _NAME_ESCAPE.sub(lambda m: bytes([int(m[1], 16)]), name[1])
                return Name(plain.decode("latin-1")), name.end()
            case b"(":
                found_text = _literal(data, at)
                self._charge(_LONGEST_STRING if found_text is None else found_text[1] - at)
                if found_text is None:
                    raise DamagedError("a string of it is damaged")
                return found_text
            case b"<":
                found = _HEX.match(data, at)
                self._charge(_LONGEST_STRING if found is None else found.end() - at)
                if found is None:
                    raise DamagedError("a string of it is damaged")
                return hexadecimal(found[1]), found.end()
        if (found := _REFERENCE.match(data, at)) is not None:
            return Pointer(int(found[1])), found.end()
        return _word(data, at)

    def _after_space(self, data: bytes, at: int) -> int:
        found = _SPACE.match(data, at)
        assert found is not None
        self._charge(found.end() - at)
        return found.end()

    def _charge(self, size: int) -> None:
        """Count a step of parsing over so many bytes.

        Raises:
            DamagedError: The file takes more of them than any honest one.
        """
        self._left -= 1 + size // _BYTES_A_VALUE
        if self._left < 0:
            raise DamagedError("it has more values than are read")

    def _dictionary(self, data: bytes, at: int, depth: int) -> tuple[dict[str, Any], int]:
        entries: dict[str, Any] = {}
        while True:
            at = self._after_space(data, at)
            if data.startswith(b">>", at):
                return entries, at + 2
            key, at = self._parsed(data, at, depth + 1)
            if not isinstance(key, Name):
                raise DamagedError("a dictionary of it is damaged")
            at = self._after_space(data, at)
            if data.startswith(b">>", at):
                return entries, at + 2
            entries[str(key)], at = self._parsed(data, at, depth + 1)

    def _array(self, data: bytes, at: int, depth: int) -> tuple[list[Any], int]:
        items: list[Any] = []
        while True:
            at = self._after_space(data, at)
            if data.startswith(b"]", at):
                return items, at + 1
            item, at = self._parsed(data, at, depth + 1)
            items.append(item)


def text_of(value: Any) -> str:
    """A text string; empty for anything else."""
    if not isinstance(value, bytes):
        return ""
    if value.startswith(b"\xfe\xff"):
        return value[2:].decode("utf-16-be", "replace")
    if value.startswith(b"\xff\xfe"):
        return value[2:].decode("utf-16-le", "replace")
    return value.removeprefix(b"\xef\xbb\xbf").decode("latin-1")


def _word(data: bytes, at: int) -> tuple[Any, int]:
    word = _WORD.match(data, at)
    if word is None:
        raise DamagedError("a value of it is damaged")
    text = word[0]
    if _NUMBER.fullmatch(text) and len(text) < 40:
        return (float(text) if b"." in text else int(text)), word.end()
    constant = {b"true": True, b"false": False, b"null": None}
    if text not in constant:
        raise DamagedError("a value of it is damaged")
    return constant[text], word.end()


def _literal(data: bytes, at: int) -> tuple[bytes, int] | None:
    depth, start, at = 1, at + 1, at + 1
    last = start + _LONGEST_STRING
    while depth:
        found = _STRING_PART.search(data, at, last)
        if found is None:
            return None
        at = found.end() + (found[0] == b"\\")
        depth += {b"(": 1, b")": -1}.get(found[0], 0)
    return _ESCAPE.sub(_unescaped, data[start : at - 1]), at


def _unescaped(found: re.Match[bytes]) -> bytes:
    if found[1] is not None:
        return bytes([int(found[1], 8) & 0xFF])
    if found[2] in (b"\r\n", b"\n", b"\r"):
        return b""
    return _ESCAPED.get(found[2], found[2])


def hexadecimal(text: bytes) -> bytes:
    """The bytes of hexadecimal digits; anything between them is passed by."""
    digits = re.sub(rb"[^0-9A-Fa-f]", b"", text)
    return bytes.fromhex((digits + b"0" * (len(digits) % 2)).decode("ascii"))
