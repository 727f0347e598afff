"""PDF: the document's Keywords, and a mark in what each page draws.

The mark is an empty marked-content sequence (ISO 32000-2, 14.6) at the beginning of a page::

    /Trialbook <</Ref (trialbook:1?...)>> BDC EMC

It draws nothing and is no text. A TeX that includes the page in a paper takes what the page draws
with it, and leaves the Keywords behind or not, as it likes. What survives which program is measured
in ``docs/design/locating.md``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import Any, BinaryIO

from trialbook.records.figure_references import REFERENCE, FigureReference
from trialbook.report.carrying.carried import LONGEST_REFERENCE, Found, Reading, reading
from trialbook.report.carrying.pdf_objects import Objects, Stream
from trialbook.report.carrying.pdf_values import Name, Pointer, text_of

SIGNATURE = b"%PDF-"
_TAG = "Trialbook"
_MARK = re.compile(
    rb"/Trialbook\s*<<\s*/Ref\s*(?:\((trialbook:1\?[^()\\<>\s]{1,65536})\)|<([0-9A-Fa-f\s]{2,131072})>)"
)
_LARGEST = 256 * 1024 * 1024
_MOST_PAGES = 20_000
_MOST_STEPS = 2_000_000


def metadata(reference: FigureReference) -> dict[str, str | None]:
    """What matplotlib's ``savefig`` takes as ``metadata=`` for PDF."""
    return {"Keywords": str(reference), "CreationDate": None, "Creator": None, "Producer": None}


def mark(reference: FigureReference) -> bytes:
    """Operators that draw nothing, for the beginning of what a page draws."""
    return f"/{_TAG} <</Ref ({reference})>> BDC EMC\n".encode("ascii")


def mark_digits(reference: FigureReference) -> str:
    """The reference as hexadecimal digits, which a mark may hold as well: TeX reads no more."""
    return str(reference).encode("ascii").hex()


def blank(reference: FigureReference) -> bytes:
    """A page of one point that draws nothing but the mark.

    For a program that writes no marks itself, and keeps those of a page that it includes.
    """
    drawn = mark(reference)
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [ 3 0 R ] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [ 0 0 1 1 ] /Resources << >> /Contents 4 0 R >>",
        b"<< /Length %d >>\nstream\n%sendstream" % (len(drawn), drawn),
    )
    content, offsets = b"%PDF-1.4\n", {}
    for number, each in enumerate(objects, 1):
        offsets[number] = len(content)
        content += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    size = len(objects) + 1
    ending = b"trailer\n<< /Root 1 0 R /Size %d >>\nstartxref\n%d\n%%%%EOF\n"
    return content + _table(offsets, size) + ending % (size, len(content))


def finished(content: bytes, reference: FigureReference) -> bytes:
    """A PDF with the mark on each of its pages.

    Args:
        content: As matplotlib writes it: every object for itself, one cross-reference table.
        reference: What the mark says.

    Raises:
        ValueError: The content is built otherwise.
    """
    objects = Objects(content)
    table = content.rfind(b"\nxref", 0, content.rfind(b"startxref"))
    if table < 0 or len(objects.trailers) != 1:
        raise ValueError("this PDF has not exactly one cross-reference table")
    size = objects.trailers[0].get("Size")
    if not isinstance(size, int):
        raise ValueError("the trailer of this PDF says no size")
    pages = [n for n in objects.numbers() if objects.entries(Pointer(n)).get("Type") == "Page"]
    starts = _starts(content, objects)
    ends = [*sorted(starts.values())[1:], table + 1]
    parts, offsets, at = [content[: min(starts.values())]], {}, min(starts.values())
    for (number, start), end in zip(
        sorted(starts.items(), key=lambda item: item[1]), ends, strict=True
    ):
        body = content[start:end]
        if number in pages:
            body, changed = re.subn(
                rb"/Contents\s+(\d+ \d+ R)", b"/Contents [ %d 0 R \\1 ]" % size, body, count=1
            )
            if not changed:
                raise ValueError("a page of this PDF draws nothing")
        offsets[number] = at
        parts.append(body)
        at += len(body)
    drawn = mark(reference)
    offsets[size] = at
    parts.append(
        b"%d 0 obj\n<< /Length %d >>\nstream\n%sendstream\nendobj\n" % (size, len(drawn), drawn)
    )
    at += len(parts[-1])
    parts.append(_table(offsets, size + 1))
    trailer = re.search(rb"trailer.*?(?=startxref)", content[table:], re.DOTALL)
    assert trailer is not None
    parts.append(re.sub(rb"/Size\s+\d+", b"/Size %d" % (size + 1), trailer[0], count=1))
    parts.append(b"startxref\n%d\n%%%%EOF\n" % at)
    return b"".join(parts)


def _starts(content: bytes, objects: Objects) -> dict[int, int]:
    """Where each object begins, its number included."""
    starts = {}
    for number, at in objects.offsets.items():
        start = content.rfind(b"%d 0 obj" % number, 0, at)
        if start < 0:
            raise ValueError("an object of this PDF is of a later generation")
        starts[number] = start
    if not starts:
        raise ValueError("this PDF has no object")
    return starts


def _table(offsets: dict[int, int], size: int) -> bytes:
    lines = [b"xref\n0 %d\n0000000000 65535 f \n" % size]
    for number in range(1, size):
        at = offsets.get(number)
        lines.append(b"0000000000 00000 f \n" if at is None else b"%010d 00000 n \n" % at)
    return b"".join(lines)


def carried(file: BinaryIO) -> Reading:
    """The references of a PDF: the document's own first, then those of its pages.

    Args:
        file: Seekable, at its beginning.
    """
    content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        return Reading(notes=("a PDF of more than 256 MiB is not read",))
    objects = Objects(content)
    if any("Encrypt" in trailer for trailer in objects.trailers):
        return Reading(notes=("the PDF is encrypted: what it carries cannot be read",))
    own = list(dict.fromkeys(_of_document(objects)))
    placed = list(_Drawn(objects).by_page())
    if not own and not placed:
        placed = list(map(Found, _of_streams(objects)))
    found = [*map(Found, own), *(each for each in placed if each.text not in own)]
    return reading(found, [f"the PDF: {note}" for note in objects.notes])


def _of_document(objects: Objects) -> Iterator[str]:
    for trailer in reversed(objects.trailers):
        yield from _of_info(objects, trailer.get("Info"))
        catalog = objects.entries(trailer.get("Root"))
        described = objects.value(catalog.get("Metadata"))
        if isinstance(described, Stream):
            for piece in objects.inflated(described):
                yield from _in_text(unescape(piece.decode("utf-8", "replace")))


def _of_info(objects: Objects, info: Any) -> Iterator[str]:
    yield from _in_text(text_of(objects.value(objects.entries(info).get("Keywords"))))


def _in_text(text: str) -> Iterator[str]:
    for found in REFERENCE.findall(text.encode("ascii", "replace")):
        yield found.decode("ascii")


class _Drawn:
    """What pages draw; each stream and each set of resources is read once.

    Args:
        objects: The file.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._streams: dict[int, tuple[str, ...]] = {}
        self._resources: dict[int, tuple[str, ...]] = {}
        self._steps = _MOST_STEPS

    def by_page(self) -> Iterator[Found]:
        """The references of each page, and of what it includes."""
        for number, page in enumerate(_pages(self._objects), 1):
            if number > _MOST_PAGES:
                self._objects.notes.append(f"it has more than {_MOST_PAGES:,} pages")
                return
            found = dict.fromkeys([*self._of_contents(page), *self._of_resources(page)])
            for text in found:
                yield Found(text, number)

    def _of_contents(self, page: dict[str, Any]) -> Iterator[str]:
        contents = self._objects.value(page.get("Contents"))
        for each in [contents] if isinstance(contents, Stream) else self._objects.items(contents):
            stream = self._objects.value(each)
            if isinstance(stream, Stream) and self._goes_on():
                yield from self._of_stream(stream)

    def _of_resources(self, page: dict[str, Any]) -> tuple[str, ...]:
        """The references of the forms that a page may draw, and of those that these may draw."""
        entries = self._objects.entries(page.get("Resources"))
        key = id(entries)  # the file's values live as long as this does
        if entries and key not in self._resources:
            self._resources[key] = tuple(dict.fromkeys(self._of_forms(entries)))
        return self._resources[key] if entries else ()

    def _of_forms(self, resources: dict[str, Any]) -> Iterator[str]:
        waiting: list[Any] = [resources]
        seen: set[int] = set()
        while waiting:
            named = self._objects.entries(self._objects.entries(waiting.pop()).get("XObject"))
            for each in named.values():
                if not self._goes_on():
                    return
                if not isinstance(each, Pointer) or each.number in seen:
                    continue
                seen.add(each.number)
                form = self._objects.value(each)
                if isinstance(form, Stream) and form.entries.get("Subtype") == "Form":
                    yield from self._of_stream(form)
                    waiting.append(form.entries.get("Resources"))

    def _of_stream(self, stream: Stream) -> tuple[str, ...]:
        if stream.start not in self._streams:
            own = _of_info(self._objects, stream.entries.get("PTEX.InfoDict"))
            self._streams[stream.start] = tuple(
                dict.fromkeys([*own, *_marks(self._objects, stream)])
            )
        return self._streams[stream.start]

    def _goes_on(self) -> bool:
        self._steps -= 1
        if self._steps == 0:
            self._objects.notes.append("its pages include more than is read")
        return self._steps > 0


def _pages(objects: Objects) -> Iterator[dict[str, Any]]:
    """The pages in their order; resources that they inherit are put in."""
    roots = [t["Root"] for t in reversed(objects.trailers) if "Root" in t]
    for root in roots or [n for n in map(Pointer, objects.numbers()) if _is(objects, n, "Catalog")]:
        waiting: list[tuple[Any, Any]] = [(objects.entries(root).get("Pages"), None)]
        seen: set[int] = set()
        any_page = False
        while waiting:
            node, inherited = waiting.pop()
            if isinstance(node, Pointer):
                if node.number in seen:
                    continue
                seen.add(node.number)
            entries = objects.entries(node)
            resources = entries.get("Resources", inherited)
            if "Kids" in entries:
                kids = objects.items(entries["Kids"])
                waiting += [(kid, resources) for kid in reversed(kids)]
            elif entries:
                any_page = True
                yield {**entries, "Resources": resources}
        if any_page:
            return


def _is(objects: Objects, value: Any, kind: str) -> bool:
    return objects.entries(value).get("Type") == Name(kind)


def _of_streams(objects: Objects) -> Iterator[str]:
    """The references of all streams that are no images and fonts, for a file in disorder."""
    for number in objects.streams():
        stream = objects.value(Pointer(number))
        if isinstance(stream, Stream) and stream.entries.get("Subtype") in (None, "Form"):
            yield from _marks(objects, stream)


def _marks(objects: Objects, stream: Stream) -> Iterator[str]:
    """The references in the operators of a stream."""
    kept = b""
    for piece in objects.inflated(stream):
        window = kept + piece
        for plain, digits in _MARK.findall(window):
            text = plain or bytes.fromhex(digits.decode("ascii"))
            yield text.decode("latin-1")
        kept = window[-2 * LONGEST_REFERENCE :]
