from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from trialbook.analysis.columns import Column, Table
from trialbook.records.printable import printable
from trialbook.report.document import Command, Document, Section, TableBlock
from trialbook.report.writers.markdown import FILE, code, markdown, write

from ..documents import reference
from .drawn import HOSTILE_TEXT, GivenFigures, short_document


class Rendered(HTMLParser):
    """The elements and the text of a page as a Markdown renderer makes it."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.comments: list[str] = []
        self.text = ""
        renderer = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
        self.feed(renderer.render(source))
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def handle_comment(self, data):
        self.comments.append(data.strip())


def squeezed(text: str) -> str:
    return "".join(text.split())


@example("# heading")
@example("- item")
@example("1. item")
@example("===")
@example("---")
@example("***")
@example("    code")
@example("a | b")
@example("[x](javascript:alert(1)) <script>alert(1)</script> &lt; &amp;amp;")
@example("`` ` ``` ~~~ $x$")
@example("https://example.org www.example.org")
@example("a  \nb\\")
@given(st.text(st.characters(codec="utf-8")))
def test_text_shows_as_it_is(text):
    found = Rendered(markdown(text))
    assert {tag for tag, _ in found.elements} <= {"p"}
    assert squeezed(found.text) == squeezed(printable(text))


@example("|", True)
@example("`a` | ``b``", True)
@example("`", False)
@given(st.text(st.characters(codec="utf-8")), st.booleans())
def test_code_shows_as_it_is(text, in_table):
    shown = code(text, in_table=in_table)
    source = f"| a |\n| --- |\n| {shown} |\n" if in_table else f"x {shown}"
    found = Rendered(source)
    allowed = {"p", "code", "table", "thead", "tbody", "tr", "th", "td"}
    assert {tag for tag, _ in found.elements} <= allowed
    before = "a" if in_table else "x"
    assert squeezed(found.text) == before + squeezed(printable(text))


def test_hostile_names_become_no_elements(tmp_path):
    page, *figures = write(short_document(HOSTILE_TEXT), tmp_path, GivenFigures())
    source = page.read_text(encoding="utf-8")
    found = Rendered(source)
    tags = {tag for tag, _ in found.elements}
    assert tags == {
        "h1", "h2", "p", "blockquote", "ul", "li", "strong", "em", "code", "pre", "table", "thead",
        "tbody", "tr", "th", "td", "img", "sub", "br",
    }  # fmt: skip
    images = [attributes for tag, attributes in found.elements if tag == "img"]
    assert [image["src"] for image in images] == ["figures/points.png"]
    assert [path.relative_to(tmp_path).as_posix() for path in figures] == ["figures/points.png"]
    assert squeezed(printable(HOSTILE_TEXT)) in squeezed(found.text)
    assert all(comment.startswith("trialbook:1?") for comment in found.comments)
    assert len(found.comments) == 4  # the page, two tables and a figure


def test_every_row_of_a_table_has_as_many_cells(tmp_path):
    (page, *_) = write(short_document("a | b || \\| c"), tmp_path, GivenFigures())
    tables = re.findall(r"(?:^\|.*\|\n)+", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(tables) == 3
    for found in tables:
        rendered = Rendered(found)
        rows = found.strip().count("\n") + 1
        columns = sum(tag == "th" for tag, _ in rendered.elements)
        assert sum(tag == "td" for tag, _ in rendered.elements) == columns * (rows - 2)


def test_a_long_table_is_cut_and_names_its_csv_file(tmp_path):
    rows = tuple((f"row {row}",) for row in range(1000))
    block = TableBlock("trials", "Trials", Table((Column("trial"),), rows), reference("table:x"))
    found = Document("T", "S", (Section("s", "S", (block,)),), (), reference("report"))
    (page,) = write(found, tmp_path)
    text = page.read_text(encoding="utf-8")
    assert "row 49" in text
    assert "row 50" not in text
    assert "The first 50 of 1000 rows" in text
    assert "csv/trials.csv" in text


def test_missing_answers_stand_out(tmp_path):
    (page, *_) = write(short_document(), tmp_path, GivenFigures())
    assert "| **MISSING** |" in page.read_text(encoding="utf-8")


def test_the_same_document_gives_the_same_bytes(tmp_path):
    figures = GivenFigures()
    for name in ("a", "b"):
        write(short_document(), tmp_path / name, figures)
    assert (tmp_path / "a" / FILE).read_bytes() == (tmp_path / "b" / FILE).read_bytes()


def test_what_a_command_does_ends_with_one_mark(tmp_path):
    says = ("Runs it again.", "runs it again")
    blocks = tuple(Command("trialbook rerun digits/3", text) for text in says)
    document = replace(short_document(), sections=(Section("again", "Again", blocks),))
    write(document, tmp_path, GivenFigures())
    text = (tmp_path / FILE).read_text()
    assert "\nRuns it again.\n\n```" in text
    assert "\nruns it again.\n\n```" in text
