"""The objects of a PDF (ISO 32000-2, section 7), as far as finding references needs them.

Objects are found by going through the file from its beginning, not by its cross-reference table:
so a damaged or truncated file gives what is left of it. Later objects of the same number replace
earlier ones, as incremental updates mean it. Values are parsed when they are asked for, in
``pdf_values.py``. All that can be made large on purpose (objects, inflated streams) has a limit.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from trialbook.report.carrying.pdf_values import DamagedError, Parser, Pointer, hexadecimal

_MOST_OBJECTS = 1_000_000
_LONGEST_CHAIN = 60
_INFLATED_AT_MOST = 512 * 1024 * 1024
_HELD_AT_MOST = 64 * 1024 * 1024
_LETTERS_AT_MOST = 2 * 1024 * 1024
_BYTES_A_LETTER = 32
_PIECE = 1024 * 1024
_OBJECT = re.compile(
    rb"(?<![0-9])(\d{1,10})[\x00\t\n\x0c\r ]+(\d{1,5})[\x00\t\n\x0c\r ]+obj(?![a-z])"
)
_END = re.compile(rb"endobj|stream(?:\r\n|\n|\r)|(?<![d])obj(?![a-z])")
_TOO_MUCH = "its streams inflate to more than is read"


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream: its dictionary and where its bytes lie in the file."""

    entries: dict[str, Any]
    start: int
    end: int


class Objects:
    """The objects of a file.

    Args:
        content: The file.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.notes: list[str] = []
        self.trailers: list[dict[str, Any]] = []
        self.offsets: dict[int, int] = {}
        self._packed: dict[int, tuple[int, int]] = {}  # object -> object stream, index in it
        self._streams: dict[int, tuple[int, int]] = {}  # offset of the value -> bytes of the stream
        self._unpacked: dict[int, tuple[bytes, list[tuple[int, int]]]] = {}
        self._values: dict[int, Any] = {}
        self._parser = Parser()
        self._inflatable = _INFLATED_AT_MOST
        self._index()

    def value(self, value: Any) -> Any:
        """The value itself; what a pointer leads to, ``None`` where it leads nowhere."""
        for _ in range(_LONGEST_CHAIN):
            if not isinstance(value, Pointer):
                return value
            value = self._object(value.number)
        return None

    def entries(self, value: Any) -> dict[str, Any]:
        """A dictionary, or that of a stream; an empty one for anything else."""
        value = self.value(value)
        if isinstance(value, Stream):
            return value.entries
        return value if isinstance(value, dict) else {}

    def items(self, value: Any) -> list[Any]:
        """An array; an empty one for anything else."""
        value = self.value(value)
        return value if isinstance(value, list) else []

    def numbers(self) -> list[int]:
        """The numbers of all objects, in the order of the file."""
        return [*self.offsets, *(n for n in self._packed if n not in self.offsets)]

    def streams(self) -> list[int]:
        """The numbers of the objects that are streams, in the order of the file."""
        return [number for number, at in self.offsets.items() if at in self._streams]

    def inflated(self, stream: Stream) -> Iterator[bytes]:
        """The content of a stream by pieces; what cannot be decoded ends it, with a note."""
        data: bytes | memoryview = memoryview(self.content)[stream.start : stream.end]
        filters = self.value(stream.entries.get("Filter"))
        names = filters if isinstance(filters, list) else [] if filters is None else [filters]
        for number, each in enumerate(names):
            match self.value(each):
                case "FlateDecode" | "Fl" if number == len(names) - 1:
                    yield from self._flate(data)
                    return
                case "FlateDecode" | "Fl":
                    data = b"".join(self._flate(data, _HELD_AT_MOST))
                case "ASCII85Decode" | "A85" if self._is_short(data):
                    data = self._ascii85(bytes(data))
                case "ASCIIHexDecode" | "AHx" if self._is_short(data):
                    data = hexadecimal(bytes(data).partition(b">")[0])
                case "ASCII85Decode" | "A85" | "ASCIIHexDecode" | "AHx":
                    return
                case "Crypt":
                    continue
                case other:
                    self._note(f"streams of the filter {other} were not read")
                    return
        for start in range(0, len(data), _PIECE):
            piece = bytes(data[start : start + _PIECE])
            if not self._is_affordable(len(piece)):
                return
            yield piece

    def _flate(self, data: bytes | memoryview, most: int | None = None) -> Iterator[bytes]:
        inflating = zlib.decompressobj()
        given, rest = 0, bytes(data)
        while rest and not inflating.eof:
            try:
                piece = inflating.decompress(rest, _PIECE)
            except zlib.error:
                self._note("a compressed stream is damaged")
                return
            rest = inflating.unconsumed_tail
            given += len(piece)
            if not self._is_affordable(len(piece)):
                return
            if most is not None and given > most:
                self._note(_TOO_MUCH)
                return
            if not piece and not rest:
                break
            yield piece

    def _is_affordable(self, size: int) -> bool:
        """Whether so many bytes more of streams are looked at."""
        self._inflatable -= size
        if self._inflatable < 0:
            self._note(_TOO_MUCH)
        return self._inflatable >= 0

    def _is_short(self, data: bytes | memoryview) -> bool:
        """Whether data in letters is decoded, which takes far more time and memory than bytes."""
        if len(data) > _LETTERS_AT_MOST:
            self._note(_TOO_MUCH)
            return False
        return self._is_affordable(len(data) * _BYTES_A_LETTER)

    def _ascii85(self, data: bytes) -> bytes:
        try:
            return base64.a85decode(data.strip().removesuffix(b"~>"), ignorechars=b" \t\n\r\x0b\0")
        except ValueError:
            self._note("a stream in ASCII85 is damaged")
            return b""

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    # Where the objects are

    def _index(self) -> None:
        at = 0
        for _ in range(_MOST_OBJECTS):
            found = _OBJECT.search(self.content, at)
            self._trailers(at, found.start() if found else len(self.content))
            if found is None:
                break
            at = self._one(int(found[1]), found.end())
        else:
            self._note(f"it has more than {_MOST_OBJECTS:,} objects")
        for number in self.streams():
            if self._is_packing(number):
                self._unpack(number)

    def _trailers(self, start: int, end: int) -> None:
        at = self.content.find(b"trailer", start, end)
        while at >= 0:
            try:
                value, _ = self._parser.parsed(self.content, at + len(b"trailer"))
            except DamagedError:
                value = None
            if isinstance(value, dict):
                self.trailers.append(value)
            at = self.content.find(b"trailer", at + 7, end)

    def _one(self, number: int, at: int) -> int:
        """Note where an object is; where the next one is looked for."""
        self.offsets[number] = at
        end = _END.search(self.content, at)
        if end is None:
            return at
        if not end[0].startswith(b"stream"):
            return end.end() if end[0] == b"endobj" else at
        start = end.end()
        stop = self._stream_end(at, start)
        self._streams[at] = (start, stop)
        return stop

    def _stream_end(self, at: int, start: int) -> int:
        try:
            entries, _ = self._parser.parsed(self.content, at)
        except DamagedError:
            entries = None
        length = entries.get("Length") if isinstance(entries, dict) else None
        if isinstance(length, int) and 0 <= length <= len(self.content) - start:
            stop = start + length
            if self.content[stop : stop + 12].lstrip().startswith(b"endstream"):
                return stop
        stop = self.content.find(b"endstream", start)
        if stop < 0:
            self._note("it ends in the middle of a stream")
            return len(self.content)
        return stop

    def _is_packing(self, number: int) -> bool:
        """Whether the object is a stream of objects; a trailer that is a stream is noted too."""
        at = self.offsets[number]
        head = self.content[at : self._streams[at][0]]
        if b"/XRef" in head:
            self.trailers.append(self.entries(Pointer(number)))
        return b"ObjStm" in head

    def _unpack(self, number: int) -> None:
        stream = self.value(Pointer(number))
        if not isinstance(stream, Stream) or stream.entries.get("Type") != "ObjStm":
            return
        first, count = self.value(stream.entries.get("First")), self.value(stream.entries.get("N"))
        if not isinstance(first, int) or not isinstance(count, int):
            return
        parts, held = [], 0
        for piece in self.inflated(stream):
            parts.append(piece)
            held += len(piece)
            if held > _HELD_AT_MOST:
                self._note(_TOO_MUCH)
                return
        content = b"".join(parts)
        words = content[:first].split()[: 2 * max(0, min(count, _MOST_OBJECTS))]
        try:
            pairs = [
                (int(n), first + int(at)) for n, at in zip(words[::2], words[1::2], strict=False)
            ]
        except ValueError:
            self._note("a stream of objects is damaged")
            return
        self._unpacked[number] = (content, pairs)
        for index, (packed, _) in enumerate(pairs):
            self._packed[packed] = (number, index)

    # What the objects are

    def _object(self, number: int) -> Any:
        if number in self._values:
            return self._values[number]
        self._values[number] = None  # what leads to itself leads nowhere
        try:
            if number in self.offsets:
                at = self.offsets[number]
                value, _ = self._parser.parsed(self.content, at)
                if at in self._streams and isinstance(value, dict):
                    value = Stream(value, *self._streams[at])
            elif number in self._packed:
                stream, index = self._packed[number]
                content, pairs = self._unpacked[stream]
                value, _ = self._parser.parsed(content, pairs[index][1])
            else:
                value = None
        except DamagedError as error:
            self._note(str(error))
            value = None
        self._values[number] = value
        return value
