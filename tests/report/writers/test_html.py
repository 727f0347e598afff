"""The page as bytes: what it carries, what it lets run, what it leaves out."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from trialbook.analysis.columns import Column, Holds, Table
from trialbook.records.printable import printable
from trialbook.report.carrying import html as carrying
from trialbook.report.document import FigureBlock, TableBlock
from trialbook.report.writers.csv import csv_text, tables_of
from trialbook.report.writers.html import write
from trialbook.report.writers.html_views import TableView, view_of

from ..documents import HOSTILE, document, reference

_ELEMENTS = {
    "html", "head", "meta", "title", "style", "body", "a", "header", "h1", "h2", "h3", "p", "bdi",
    "nav", "ol", "ul", "li", "main", "noscript", "section", "strong", "dl", "dt", "dd", "div",
    "span", "table", "caption", "thead", "tbody", "tr", "th", "td", "figure", "figcaption",
    "details", "summary", "pre", "code", "button", "script", "footer",
}  # fmt: skip


class Page(HTMLParser):
    """The elements of a page with their attributes, and the text of those that hold raw text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text: list[str] = []
        self._open = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._open = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        self._open = ""

    def handle_data(self, data):
        if self._open == "script":
            self.scripts[-1] += data
        elif self._open != "style":
            self.text.append(data)

    def handle_comment(self, data):
        raise AssertionError(f"a comment: {data[:80]}")

    def of(self, name: str) -> list[dict[str, str | None]]:
        """The attributes of each element of that name."""
        return [attributes for tag, attributes in self.elements if tag == name]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    (path,) = write(document(), tmp_path_factory.mktemp("plain"))
    assert path.name == "report.html"
    return path.read_bytes()


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    (path,) = write(document("".join(HOSTILE)), tmp_path_factory.mktemp("hostile"))
    return path.read_bytes()


def test_the_page_and_its_figures_and_tables_carry_their_references(plain):
    blocks = [block for section in document().sections for block in section.blocks]
    carried = carrying.carried(io.BytesIO(plain)).carried
    expected = [document().reference] + [
        block.reference for block in blocks if isinstance(block, (FigureBlock, TableBlock))
    ]
    assert [found.reference for found in carried] == list(dict.fromkeys(expected))


def test_the_policy_names_the_scripts_that_are_there_and_nothing_else_may_run(plain):
    page = Page(plain.decode())
    (policy,) = [m["content"] for m in page.of("meta") if m.get("http-equiv")]
    assert policy is not None
    running = [
        text
        for text, attributes in zip(page.scripts, page.of("script"), strict=True)
        if attributes.get("type") != "application/json"
    ]
    digests = [
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in running
    ]
    assert len(digests) == 2
    assert re.findall("sha256-([^']+)'", policy) == digests
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    assert "http" not in policy


@pytest.mark.parametrize("which", ["plain", "hostile"])
def test_no_text_becomes_an_element_a_handler_or_a_link(which, request):
    page = Page(request.getfixturevalue(which).decode())
    assert {tag for tag, _ in page.elements} <= _ELEMENTS
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")]
        assert "src" not in attributes
        href = attributes.get("href") or "#"
        assert href.startswith(("#", "data:text/csv;"))
    assert len(page.scripts) == 2 + len(page.of("figure"))


def test_hostile_text_is_shown_as_it_is(hostile):
    said = "".join(Page(hostile.decode()).text)
    assert f"A paragraph: {printable(''.join(HOSTILE))}" in said
    assert "{{7*7}}" in said


def test_figures_are_strict_json_that_no_parser_of_html_acts_upon(hostile):
    page = Page(hostile.decode())
    figures = page.scripts[: len(page.of("figure"))]
    for text in figures:
        assert text.isascii()
        assert not set("<>&") & set(text)
        figure = json.loads(text, parse_constant=pytest.fail)
        assert figure["data"]


def test_a_long_table_says_what_it_leaves_out_and_can_be_saved_whole(plain):
    page = Page(plain.decode())
    saved = {a["download"]: a["href"] for a in page.of("a") if "download" in a}
    assert "The first 5 of 14 rows. " in page.text
    for named in tables_of(document()):
        if named.name != "empty":
            content = base64.b64decode((saved[f"{named.name}.csv"] or "").split(",", 1)[1])
            assert content.decode() == csv_text(named.table)


def test_headings_cells_and_figures_say_what_they_are_to_a_screen_reader(plain):
    page = Page(plain.decode())
    assert {th["scope"] for th in page.of("th")} == {"col", "row"}
    for row in range(5):
        assert f'<th scope="row"><bdi>plain {row}</bdi></th><td'.encode() in plain
    assert len(page.of("caption")) == len(page.of("table"))
    plots = [div for div in page.of("div") if div.get("class") == "plot"]
    assert len(plots) == len(page.of("figure")) == 9
    for plot in plots:
        assert plot["role"] == "group"
        assert plot["aria-label"] == ("plain. Plain: caption. Plain: 40 of 80 points are drawn.")
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_a_first_cell_names_its_row_only_where_it_tells_it_apart():
    def named(*first: str | None) -> bool:
        rows = tuple((cell, 1) for cell in first)
        table = Table((Column("a"), Column("b", Holds.INTEGER)), rows)
        view = view_of(TableBlock("t", "T", table, reference("table:t")))
        assert isinstance(view, TableView)
        return view.named

    assert named("x", "y")
    assert not named("x", "x")
    assert not named("x", None)


def test_the_page_knows_what_stands_for_each_ink_of_its_figures_when_it_is_dark(plain):
    page = Page(plain.decode())
    figures, script = page.scripts[: len(page.of("figure"))], page.scripts[-1]
    assert script.startswith("// Draws each figure")
    layouts = [json.dumps(json.loads(text)["layout"]) for text in figures]
    inks = set(
        re.findall(r'"(#[0-9a-f]{6})"', re.sub(r'"colorscale".*?\]\]', "", "".join(layouts)))
    )
    assert len(inks) > 2
    assert inks <= set(re.findall(r'"(#[0-9a-f]{6})":', script))


def test_the_same_document_gives_the_same_bytes(plain, tmp_path):
    (again,) = write(document(), tmp_path)
    assert again.read_bytes() == plain


def test_a_page_without_figures_needs_no_drawing_library(tmp_path):
    whole = document()
    first, *_ = whole.sections
    from dataclasses import replace

    (path,) = write(replace(whole, sections=(first,)), tmp_path)
    assert path.stat().st_size < 100_000
    assert "Plotly" not in Path(path).read_text().split("<script>")[0]
