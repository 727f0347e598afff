"""PDF: what a figure carries, what a paper that includes it keeps, and files made to hurt."""

from __future__ import annotations

import io
import random
import shutil
import subprocess
import time
import zlib
from pathlib import Path

import pytest

from trialbook.records.figure_references import FigureReference
from trialbook.report.carrying import pdf, reading

from .figures import HOSTILE, REFERENCES, drawn, reference

pytest.importorskip("matplotlib")

DIGITS = reference("digits")
OTHER = reference("other_study", "slice")
Found = list[tuple[FigureReference, int | None]]


def read(content: bytes) -> tuple[Found, tuple[str, ...]]:
    found = reading.read(io.BytesIO(content))
    assert found.format == "pdf"
    return [(c.reference, c.page) for c in found.reading.carried], found.reading.notes


@pytest.fixture(scope="module")
def figure() -> bytes:
    return drawn(DIGITS, "pdf")


@pytest.mark.parametrize("carries", REFERENCES, ids=["plain", "hostile", "opaque"])
def test_a_figure_is_read_back(carries):
    assert read(drawn(carries, "pdf")) == ([(carries, None)], ())


def test_the_same_figure_is_the_same_file(figure):
    assert drawn(DIGITS, "pdf") == figure


def test_the_mark_draws_nothing_and_is_no_text(figure):
    pypdf = pytest.importorskip("pypdf")
    from matplotlib.figure import Figure

    out = io.BytesIO()
    axes = Figure(figsize=(2, 1.5)).add_subplot()
    axes.plot([1, 2, 3])
    axes.set_xlabel("trials")
    axes.figure.savefig(out, format="pdf", metadata=pdf.metadata(DIGITS))
    marked = pypdf.PdfReader(io.BytesIO(figure), strict=True)
    bare = pypdf.PdfReader(io.BytesIO(out.getvalue()), strict=True)

    assert marked.pages[0].extract_text() == bare.pages[0].extract_text()
    drawn_by = [page.get_contents().get_data() for page in (marked.pages[0], bare.pages[0])]
    assert drawn_by[0].split() == pdf.mark(DIGITS).split() + drawn_by[1].split()
    assert marked.metadata == bare.metadata == {"/Keywords": str(DIGITS)}


def test_only_a_plain_pdf_is_given_a_mark(figure):
    with pytest.raises(ValueError, match="cross-reference table"):
        pdf.finished(b"%PDF-1.4\n", DIGITS)
    with pytest.raises(ValueError, match="cross-reference table"):
        pdf.finished(figure + figure, DIGITS)


PAPER = r"""
\documentclass{article}
\usepackage{graphicx}
\begin{document}
No figure here.\newpage
\includegraphics[width=.5\linewidth,trim=10 10 5 5,clip]{one}\newpage
\includegraphics[scale=.7,angle=90]{two}\includegraphics[scale=.3]{one}
\end{document}
"""


@pytest.fixture(scope="session")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A paper that includes two figures of two studies, compiled once."""
    engine = shutil.which("pdflatex")
    if engine is None:
        pytest.skip("pdflatex is not installed")
    directory = tmp_path_factory.mktemp("paper")
    (directory / "one.pdf").write_bytes(drawn(DIGITS, "pdf"))
    (directory / "two.pdf").write_bytes(drawn(HOSTILE, "pdf"))
    (directory / "paper.tex").write_text(PAPER)
    command = [engine, "-interaction=batchmode", "-halt-on-error", "paper.tex"]
    subprocess.run(command, cwd=directory, check=True, capture_output=True, timeout=120)
    return directory / "paper.pdf"


IN_PAPER: Found = [(DIGITS, 2), (HOSTILE, 3), (DIGITS, 3)]


def test_a_paper_tells_each_figure_with_its_page(paper):
    found, notes = read(paper.read_bytes())

    assert (sorted(found, key=str), notes) == (sorted(IN_PAPER, key=str), ())


def test_the_mark_alone_is_enough_in_a_paper(paper):
    """XeTeX, Typst and dvipdfmx keep what a page draws, and leave its Keywords behind."""
    content = paper.read_bytes().replace(b"/PTEX.InfoDict", b"/PTEX.InfoNone")
    assert b"PTEX.InfoNone" in content

    assert sorted(read(content)[0], key=str) == sorted(IN_PAPER, key=str)


def test_a_paper_keeps_its_figures_through_a_program_that_writes_it_anew(paper):
    pypdf = pytest.importorskip("pypdf")
    writer = pypdf.PdfWriter()
    for page in reversed(pypdf.PdfReader(paper).pages):
        writer.add_page(page).compress_content_streams()
    out = io.BytesIO()
    writer.write(out)

    assert sorted(read(out.getvalue())[0], key=str) == sorted(
        [(HOSTILE, 1), (DIGITS, 1), (DIGITS, 2)], key=str
    )


def test_an_encrypted_paper_is_said_to_be_encrypted(paper):
    pypdf = pytest.importorskip("pypdf")
    writer = pypdf.PdfWriter(clone_from=paper)
    writer.encrypt("", "owner", algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)

    assert read(out.getvalue()) == ([], ("the PDF is encrypted: what it carries cannot be read",))


def test_a_paper_that_is_cut_is_read_as_far_as_it_goes(paper):
    content = paper.read_bytes()
    complete = set(IN_PAPER)
    whole = {each for each, _ in complete}
    most = 0
    for length in range(5, len(content), 997):
        found, _ = read(content[:length])
        assert {each for each, _ in found} <= whole
        most = max(most, len(found))
    assert most >= 2


def test_a_paper_with_noise_in_it_never_takes_long_and_never_says_something_else(paper):
    rng = random.Random(2)
    content = paper.read_bytes()
    for _ in range(30):
        noisy = bytearray(content)
        for _ in range(40):
            noisy[rng.randrange(8, len(noisy))] = rng.randrange(256)
        began = time.process_time()
        found, _ = read(bytes(noisy))
        assert time.process_time() - began < 5
        assert {each for each, _ in found} <= {DIGITS, HOSTILE}


def built(*objects: bytes, trailer: bytes = b"<< /Root 1 0 R >>") -> bytes:
    """A PDF of these objects, numbered from 1, without a cross-reference table."""
    parts = [b"%PDF-1.7\n"]
    for number, each in enumerate(objects, 1):
        parts.append(b"%d 0 obj\n%s\nendobj\n" % (number, each))
    return b"".join(parts) + b"trailer\n" + trailer + b"\n%%EOF\n"


def stream(content: bytes, entries: bytes = b"") -> bytes:
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(content), entries, content)


CATALOG = b"<< /Type /Catalog /Pages 2 0 R >>"
PAGES = b"<< /Type /Pages /Kids [ 3 0 R ] /Count 1 >>"
PAGE = b"<< /Type /Page /Parent 2 0 R /Contents 4 0 R >>"
MARK = pdf.mark(DIGITS)
HEX = MARK.replace(
    b"(" + str(DIGITS).encode() + b")", b"<" + str(DIGITS).encode().hex().encode() + b">"
)


@pytest.mark.parametrize(
    ("content", "entries"),
    [
        (MARK, b""),
        (HEX, b""),
        (MARK.replace(b"<<", b" << ").replace(b"BDC EMC", b"DP"), b""),
        (zlib.compress(MARK), b"/Filter /FlateDecode"),
        (zlib.compress(b" " * 3_000_000 + MARK), b"/Filter [ /FlateDecode ]"),
        (MARK.hex().encode() + b">", b"/Filter /ASCIIHexDecode"),
        (zlib.compress(MARK).hex().encode() + b">", b"/Filter [/AHx /Fl] /DecodeParms [null null]"),
    ],
)
def test_a_mark_is_read_in_every_form_of_a_stream(content, entries):
    assert read(built(CATALOG, PAGES, PAGE, stream(content, entries))) == ([(DIGITS, 1)], ())


@pytest.mark.parametrize(
    "keywords",
    [
        b"(" + str(DIGITS).encode() + b")",
        b"(deep learning, " + str(DIGITS).encode() + b" and more)",
        b"<" + str(DIGITS).encode().hex().encode() + b">",
        b"<FEFF" + str(DIGITS).encode("utf-16-be").hex().encode() + b">",
        b"(\xff\xfe" + str(DIGITS).encode("utf-16-le").replace(b"(", b"\\(") + b")",
        b"(" + str(DIGITS).encode().replace(b"seal", b"s\\145\\\nal") + b")",
    ],
)
def test_keywords_are_read_in_every_form_of_a_string(keywords):
    info = b"<< /Root 1 0 R /Info << /Keywords " + keywords + b" >> >>"

    assert read(built(CATALOG, PAGES, PAGE, stream(b""), trailer=info)) == ([(DIGITS, None)], ())


def test_xmp_is_read_where_the_keywords_were_lost():
    text = str(DIGITS).replace("&", "&amp;").encode()
    xmp = stream(b"<x:xmpmeta><pdf:Keywords>" + text + b"</pdf:Keywords>", b"/Type /Metadata")
    catalog = CATALOG.replace(b">>", b"/Metadata 5 0 R >>")

    assert read(built(catalog, PAGES, PAGE, stream(b""), xmp)) == ([(DIGITS, None)], ())


def test_objects_in_a_compressed_stream_are_read():
    packed = [CATALOG, PAGES, PAGE]
    offsets, body = [], b""
    for number, each in enumerate(packed, 1):
        offsets.append(b"%d %d" % (number, len(body)))
        body += each + b" "
    head = b" ".join(offsets) + b" "
    entries = b"/Type /ObjStm /N 3 /First %d /Filter /FlateDecode" % len(head)
    content = b"%PDF-1.5\n4 0 obj\n" + stream(MARK) + b"\nendobj\n"
    content += b"5 0 obj\n" + stream(zlib.compress(head + body), entries) + b"\nendobj\n"
    content += b"6 0 obj\n" + stream(b"", b"/Type /XRef /Root 1 0 R /Size 7") + b"\nendobj\n"

    assert read(content) == ([(DIGITS, 1)], ())


def test_the_last_version_of_an_object_counts():
    old = built(CATALOG, PAGES, PAGE, stream(pdf.mark(OTHER)))
    new = b"4 0 obj\n" + stream(MARK) + b"\nendobj\ntrailer\n<< /Root 1 0 R >>\n"

    assert read(old + new)[0] == [(DIGITS, 1)]


def test_what_a_page_says_is_not_what_it_carries():
    said = MARK.replace(b"(", b"\\(").replace(b")", b"\\)")
    content = stream(b"BT (" + said + b") Tj ET")

    assert read(built(CATALOG, PAGES, PAGE, content)) == ([], ())


def test_a_file_that_says_it_is_its_own_parent_comes_to_an_end():
    loops = b"<< /Type /Pages /Kids [ 2 0 R 2 0 R 3 0 R ] >>"
    form = b"/Subtype /Form /Resources << /XObject << /A 5 0 R /B 5 0 R >> >>"
    page = PAGE.replace(b">>", b"/Resources << /XObject << /A 5 0 R >> >> >>")
    itself = b"5 0 R"

    assert read(built(CATALOG, loops, page, stream(b""), stream(MARK, form)))[0] == [(DIGITS, 1)]
    assert read(built(b"1 0 R", itself))[0] == []
    assert read(built(CATALOG, b"<< /Kids 2 0 R >>"))[0] == []


@pytest.mark.parametrize(
    "damage",
    [
        b"[" * 100_000,
        b"<<" * 100_000,
        b"(" * 100_000,
        b"<< /A " * 50_000,
        b"<" + b"0" * 3_000_000,
        b"[" + b"0 " * 3_000_000,
        b"5 0 obj " * 200_000,
        b"5 0 obj stream\n" * 50_000,
        b"trailer << " * 50_000,
        b"/" + b"#" * 500_000,
        b"%" + b"\0" * 2_000_000,
        b"0 " * 1_000_000,
        b"9" * 2_000_000,
        b"trailer (" * 100_000,
        b"trailer <0" * 100_000,
        b"".join(b"%d 0 obj %%" % number for number in range(9, 90_000)),
        b"".join(b"%d 0 obj (" % number for number in range(9, 90_000)),
        b"".join(b"%d 0 obj <" % number for number in range(9, 90_000)),
    ],
    ids=lambda damage: damage[:15].decode(),
)
def test_damage_of_any_size_is_passed_by(damage):
    began = time.process_time()
    content = built(CATALOG, PAGES, PAGE, stream(MARK), damage)
    assert read(content)[0] in ([(DIGITS, 1)], [])
    assert time.process_time() - began < 20


def test_a_bomb_is_not_inflated_into_memory(monkeypatch):
    monkeypatch.setattr("trialbook.report.carrying.pdf_objects._INFLATED_AT_MOST", 1 << 24)
    bomb = zlib.compress(bytes(1 << 25), 9)
    content = built(CATALOG, PAGES, PAGE, stream(bomb, b"/Filter /FlateDecode"))
    doubled = zlib.compress(zlib.compress(bytes(1 << 25), 9), 9)
    twice = built(CATALOG, PAGES, PAGE, stream(doubled, b"/Filter [/FlateDecode /FlateDecode]"))

    for each in (content, twice):
        assert read(each) == ([], ("the PDF: its streams inflate to more than is read",))


@pytest.mark.parametrize("filters", [b"/A85", b"/AHx", b"[" + b"/AHx " * 1000 + b"]"])
def test_letters_are_not_decoded_into_memory(filters):
    """Decoding takes a hundred bytes of memory a letter, and a microsecond."""
    content = built(CATALOG, PAGES, PAGE, stream(b"z" * 3_000_000, b"/Filter " + filters))

    assert read(content) == ([], ("the PDF: its streams inflate to more than is read",))


def test_what_is_too_large_or_of_an_unknown_filter_is_said(monkeypatch):
    odd = built(CATALOG, PAGES, PAGE, stream(MARK, b"/Filter /LZWDecode"))
    assert read(odd) == ([], ("the PDF: streams of the filter LZWDecode were not read",))

    monkeypatch.setattr(pdf, "_LARGEST", 100)
    assert read(odd) == ([], ("a PDF of more than 256 MiB is not read",))
