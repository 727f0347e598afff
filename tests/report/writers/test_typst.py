from __future__ import annotations

import json
import sys
import unicodedata

import pytest
from pypdf import PdfReader

from trialbook.analysis.columns import Column, Holds, Table
from trialbook.errors import MissingPackageError
from trialbook.records.printable import printable
from trialbook.report.carrying import reading
from trialbook.report.document import Document, Paragraph, Section, TableBlock
from trialbook.report.writers import typst_text
from trialbook.report.writers.typst import write

from ..documents import reference
from .drawn import HOSTILE_TEXT, GivenFigures, drawn_pdf, short_document, text_of

MARKUP = (
    '#panic("ran") #read("/etc/passwd") $x^2$ *bold* _it_ `raw` <label> @ref // comment /* */ '
    "= heading - item + item / term: \\u{41} [content] https://example.org ~ --- ..."
)


def one_text(text: str) -> Document:
    return Document(text, text, (Section("s", text, (Paragraph(text),)),), (), reference("report"))


def test_what_would_be_markup_is_text(tmp_path):
    (pdf,) = write(one_text(MARKUP), tmp_path)
    assert text_of(pdf).count("".join(MARKUP.split())) >= 3


def test_every_block_stands_hostile_texts(tmp_path):
    (pdf,) = write(short_document(HOSTILE_TEXT), tmp_path, GivenFigures(drawn_pdf()))
    shown = text_of(pdf)
    assert "<script>alert(1)</script>" in shown
    assert "n" * 40 in shown
    assert "U+5B66" in shown
    assert "MISSING" in shown


def test_a_report_carries_references_with_their_pages_is_tagged_and_holds_no_time(tmp_path):
    (pdf,) = write(short_document(), tmp_path, GivenFigures(drawn_pdf()))
    reader = PdfReader(pdf)
    assert reader.metadata is not None
    assert reader.metadata["/Keywords"] == str(reference("report"))
    assert reader.metadata["/Title"] == "Title plain"
    assert "/CreationDate" not in reader.metadata
    assert "/StructTreeRoot" in reader.trailer["/Root"]
    with pdf.open("rb") as file:
        carried = reading.read(file).reading.carried
    assert [(each.reference.shows, each.page) for each in carried] == [
        ("report", None),
        ("table:params", 1),
        ("table:empty", 1),
        ("history", 2),
    ]


def test_the_same_document_gives_the_same_bytes(tmp_path):
    figures = GivenFigures(drawn_pdf())
    first, second = (write(short_document(), tmp_path / name, figures)[0] for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()


def test_a_long_table_breaks_over_pages_and_repeats_its_heading(tmp_path):
    rows = tuple((row, f"text of row {row}") for row in range(200))
    table = Table((Column("number of the row"), Column("says")), rows)
    block = TableBlock("rows", "Rows", table, reference("table:rows"))
    (pdf,) = write(
        Document("T", "S", (Section("s", "S", (block,)),), (), reference("report")), tmp_path
    )
    pages = [page.extract_text() for page in PdfReader(pdf).pages]
    assert len(pages) > 3
    assert all("number of the row" in text for text in pages)
    assert "text of row 199" in pages[-1]


def test_typsts_own_fonts_have_every_character_that_is_not_shown_as_its_code(tmp_path):
    import typst

    characters = [
        chr(code)
        for first, last in typst_text._DRAWABLE
        for code in range(first, last + 1)
        if printable(chr(code)) == chr(code) and not chr(code).isspace()
    ]
    letters = [f"o{c}" if unicodedata.combining(c) else c for c in characters]
    (tmp_path / "letters.json").write_text(json.dumps([typst_text.FONTS, letters]))
    source = (
        '#set document(title: "t", date: none)\n#let (fonts, letters) = json("letters.json")\n'
        '#set text(lang: "en", font: fonts)\n#for c in letters { c; strong(c); " " }'
    )
    # PDF/UA-1 refuses a character without a glyph.
    typst.compile(source.encode(), root=tmp_path, ignore_system_fonts=True, pdf_standards=["ua-1"])


def test_without_typst_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "typst", None)
    with pytest.raises(MissingPackageError, match=r"trialbook\[paper\]"):
        write(one_text("x"), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_full_stop_between_two_pieces_of_a_long_number_keeps_its_place(tmp_path):
    table = Table((Column("value", Holds.EXACT),), ((0.11112222333344445,),))
    block = TableBlock("values", "Values", table, reference("table:values"))
    document = Document("T", "S", (Section("s", "S", (block,)),), (), reference("report"))
    (pdf,) = write(document, tmp_path)
    starts: dict[str, float] = {}

    def place(text, matrix, text_matrix, font, size):
        starts.setdefault(text.strip(), matrix[4] + text_matrix[4])

    PdfReader(pdf).pages[0].extract_text(visitor_text=place)
    digit = (starts["2222"] - starts["1111"]) / 4
    assert starts["1111"] - starts["0."] > 1.2 * digit
