from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from trialbook.analysis.columns import Holds
from trialbook.analysis.opening import opened
from trialbook.report.building import build
from trialbook.report.carrying.reading import read
from trialbook.report.carrying.text import carried
from trialbook.report.document import Document, Macro, Paragraph, Section, TableBlock
from trialbook.report.drawn_figures import DrawnFigures
from trialbook.report.numbers import number_text
from trialbook.report.source import ReportOptions
from trialbook.report.writers.latex import write
from trialbook.report.writers.tex_text import siunitx, tex, tex_cell, tex_code

from ..documents import reference
from .drawn import HOSTILE_TEXT, GivenFigures, drawn_pdf, short_document, text_of

WIDEST_OVERFULL_PT = 5.0
"""How far a line of the example paper may reach into the margin, which is 71 pt wide."""

needs_pdflatex = pytest.mark.skipif(
    shutil.which("pdflatex") is None, reason="pdflatex is not installed"
)


def compiled(directory: Path, engine: str = "pdflatex") -> Path:
    """The example paper as PDF; its log lies beside it."""
    found = subprocess.run(
        [engine, "-interaction=nonstopmode", "-halt-on-error", "paper.tex"],
        cwd=directory,
        capture_output=True,
        timeout=120,
    )
    assert found.returncode == 0, found.stdout.decode("utf-8", "replace")[-3000:]
    return directory / "paper.pdf"


def overfull_pt(directory: Path) -> list[float]:
    log = (directory / "paper.log").read_text(encoding="latin-1")
    return [float(width) for width in re.findall(r"Overfull \\hbox \(([\d.]+)pt", log)]


def only(text: str, *more: Paragraph) -> Document:
    sections = (Section("one", text, (Paragraph(text), *more)),)
    return Document(text, text, sections, (), reference("report"))


def test_the_files_are_ascii_and_begin_with_what_they_show(tmp_path):
    files = write(short_document(HOSTILE_TEXT), tmp_path, GivenFigures())
    names = [path.relative_to(tmp_path).as_posix() for path in files]
    assert names == [
        "latex/paper.tex",
        "latex/trialbook.tex",
        "latex/macros.tex",
        "latex/checklist.tex",
        "latex/sections/everything.tex",
        "latex/tables/params.tex",
        "latex/tables/empty.tex",
        "latex/sections/figures.tex",
        "latex/figures/points.tex",
        "latex/figures/points.pdf",
    ]
    for path in files:
        if path.suffix != ".tex" or path.name in ("paper.tex", "trialbook.tex"):
            continue
        assert path.read_bytes().isascii()
        first, again, *_ = path.read_text().splitlines()
        assert first.startswith("% trialbook:1?")
        assert "trialbook report --format latex digits" in again
        with path.open("rb") as file:
            assert carried(file).carried


def test_a_report_of_two_studies_has_other_macros_only_with_another_prefix(tmp_path):
    write(short_document(), tmp_path, GivenFigures(), prefix="Digits")
    macros = (tmp_path / "latex" / "macros.tex").read_text()
    assert r"\newcommand{\DigitsBestValue}{\num{0.9}}" in macros
    with pytest.raises(ValueError, match="letters"):
        write(short_document(), tmp_path, GivenFigures(), prefix="TB2")


@pytest.mark.parametrize(
    ("value", "holds", "text"),
    [
        (1.5e-05, Holds.NUMBER, "1.5e-5"),
        (0.123456, Holds.NUMBER, "0.1235"),
        (0.1 + 0.2, Holds.EXACT, "0.30000000000000004"),
        (-3, Holds.INTEGER, "-3"),
        (1e300, Holds.EXACT, "1e300"),
        (float("nan"), Holds.NUMBER, ""),
        (float("-inf"), Holds.EXACT, ""),
    ],
)
def test_numbers_are_those_of_the_other_formats(value, holds, text):
    assert siunitx(value, holds) == text
    assert tex_cell(value, holds) == (rf"\num{{{text}}}" if text else number_text(value))


def test_what_would_be_a_command_is_text():
    assert tex(r"a_b & 50% #1 $x$ {y} ~ ^ \input") == (
        r"a\_b \& 50\% \#1 \$x\$ \{y\} \textasciitilde{} \textasciicircum{} \textbackslash{}input"
    )
    assert tex("---") == "-{}-{}-"
    assert tex("é ñ ß ≤ α") == r"\'{e} \~{n} \ss{} \ensuremath{\leq} \ensuremath{\alpha}"
    assert tex("学") == r"\TBchar{5B66}"
    assert tex("a\nb\x1b\u202e") == tex(r"a\nb\x1b\u202e")


@needs_pdflatex
def test_every_character_compiles_everywhere_and_what_is_ascii_can_be_copied(tmp_path):
    printed = "".join(map(chr, range(0x21, 0x7F)))
    specials = "\\{$#%-`',[*!"
    pairs = [a + b for a in specials for b in specials]
    ranges = [(0xA0, 0x17F), (0x370, 0x3FF), (0x400, 0x420), (0x5D0, 0x5D4), (0x2010, 0x2265)]
    others = "".join(chr(code) for first, last in ranges for code in range(first, last))
    others += "学習率 \U0001f600 \x00\x1f\u2028\ufeff\ud800"
    text = " ".join((printed, *pairs, others, "x" * 300))
    document = short_document(text)
    macros = (Macro("Hostile", text), Macro("Code", printed, Holds.CODE))
    write(replace(document, macros=macros), tmp_path, GivenFigures(drawn_pdf()))
    pdf = compiled(tmp_path / "latex")
    shown = text_of(pdf)
    assert "U+5B66" in shown
    # Straight quotes and hyphens are what a shell reads.
    assert "".join(c for c in printed if c not in "\\{}|_<>^~") in re.sub(
        r"[\\{}|_<>^~]", "", shown
    )
    assert all(width <= WIDEST_OVERFULL_PT for width in overfull_pt(tmp_path / "latex"))


@needs_pdflatex
@pytest.mark.parametrize("study", ["plain", "hostile", "long_names"])
def test_the_example_paper_of_a_study_compiles(shelf, tmp_path, study):
    with opened(shelf.storage) as reader:
        document = build(reader, shelf.names[study], ReportOptions(figures=False))
    write(document, tmp_path)
    paper = compiled(tmp_path / "latex")
    with paper.open("rb") as file:
        found = [c.reference for c in read(file).reading.carried]
    tables = [b for s in document.sections for b in s.blocks if isinstance(b, TableBlock)]
    assert sorted(map(str, found)) == sorted(str(table.reference) for table in tables)
    if study != "hostile":
        assert all(width <= WIDEST_OVERFULL_PT for width in overfull_pt(tmp_path / "latex"))


@needs_pdflatex
def test_fonts_of_figures_are_embedded_as_truetype(tmp_path):
    if shutil.which("pdffonts") is None:
        pytest.skip("pdffonts is not installed")
    write(short_document(), tmp_path, DrawnFigures())
    pdf = compiled(tmp_path / "latex")
    listed = subprocess.run(["pdffonts", pdf], capture_output=True, text=True, check=True).stdout
    drawn = [line for line in listed.splitlines() if "DejaVu" in line]
    assert drawn
    assert all("TrueType" in line for line in drawn)
    assert "Type 3" not in listed


@needs_pdflatex
def test_fragments_work_from_another_directory_in_two_columns_with_two_reports(tmp_path):
    figures = GivenFigures(drawn_pdf())
    for name, prefix in (("one", "TB"), ("two", "Second")):
        write(short_document(), tmp_path / name, figures, prefix=prefix)
    body = r"\input{\TBdir macros}\input{\TBdir tables/params}\input{\TBdir figures/points}"
    body += r"\input{\TBdir checklist}\ref{\TBlabel fig:points}"
    (tmp_path / "paper.tex").write_text(
        r"\documentclass[twocolumn]{article}\newcommand{\TBdir}{one/latex/}"
        r"\usepackage[utf8]{inputenc}\usepackage[T1]{fontenc}\usepackage{times,hyperref}"
        r"\input{\TBdir trialbook}\begin{document}"
        rf"{body}\TBBestValue"
        r"\renewcommand{\TBdir}{two/latex/}\renewcommand{\TBlabel}{second:}"
        rf"{body}\SecondBestValue\end{{document}}"
    )
    shown = text_of(compiled(tmp_path))
    assert shown.count("MISSING") == 2
    log = (tmp_path / "paper.log").read_text(encoding="latin-1")
    assert "multiply defined" not in log


def test_a_command_keeps_its_characters():
    assert tex_code("run 'a b'") == r"\TBcode{run \TBapostrophe{}a b\TBapostrophe{}}"
