r"""The LaTeX writer: fragments that a paper takes in by ``\input``, and an example paper.

    latex/trialbook.tex       what the fragments need; once in the preamble
    latex/macros.tex          numbers as \newcommand
    latex/tables/NAME.tex     a table with caption and label
    latex/figures/NAME.tex    a figure with caption and label, and NAME.pdf
    latex/checklist.tex       all checklists of the report
    latex/sections/NAME.tex   a whole section, as for an appendix; takes in its tables and figures
    latex/paper.tex           a paper of all of these

Fragments are ASCII and need packages of TeX Live's basic and recommended collections and siunitx.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from trialbook.records.figure_references import FigureReference
from trialbook.report.carrying.text import latex as reference_comment
from trialbook.report.document import (
    Answer,
    Block,
    Checklist,
    Command,
    Document,
    Fact,
    Facts,
    FigureBlock,
    Notice,
    Paragraph,
    Section,
    TableBlock,
    Tone,
)
from trialbook.report.drawn_figures import DrawnFigures
from trialbook.report.making_again import Commands
from trialbook.report.writers.captions import caption_of, ended, notes_of
from trialbook.report.writers.tex_tables import tex_table
from trialbook.report.writers.tex_text import comment_text, tex, tex_caption, tex_cell

DIRECTORY = "latex"
PREFIX = "TB"
"""Of macros."""

_ANSWERS = {
    Answer.YES: "TByes",
    Answer.NO: "TBno",
    Answer.NOT_APPLICABLE: "TBna",
    Answer.MISSING: "TBmissing",
    Answer.AUTHORS: "TBauthors",
}


def write(
    document: Document,
    directory: Path,
    figures: DrawnFigures | None = None,
    *,
    prefix: str = PREFIX,
) -> tuple[Path, ...]:
    """Write ``latex/`` under a directory.

    Args:
        document: What to write.
        directory: Where; made when it is not there.
        figures: Figures of this document that are drawn already; ``None`` to draw them here.
        prefix: Of macros, letters only; another one lets a paper take in two reports.

    Returns:
        The files; the example paper is the first.

    Raises:
        MissingPackageError: matplotlib is not installed.
        ValueError: The prefix is not made of letters.
    """
    if not re.fullmatch(r"[A-Za-z]+", prefix):
        raise ValueError(f"the prefix of macros is made of letters, not {prefix!r}")
    drawn = figures if figures is not None else DrawnFigures()
    place = directory / DIRECTORY
    files: dict[str, bytes] = {"paper.tex": _paper(document, prefix).encode("ascii")}
    files["trialbook.tex"] = _preamble()
    files["macros.tex"] = _macros(document, prefix).encode("ascii")
    files["checklist.tex"] = _checklists(document).encode("ascii")
    for section in document.sections:
        files[f"sections/{section.name}.tex"] = _section(document, section).encode("ascii")
        for block in section.blocks:
            if isinstance(block, TableBlock):
                text = _fragment(document, block.reference, tex_table(block))
                files[f"tables/{block.name}.tex"] = text.encode("ascii")
            elif isinstance(block, FigureBlock):
                text = _fragment(document, block.reference, _figure(block))
                files[f"figures/{block.name}.tex"] = text.encode("ascii")
                files[f"figures/{block.name}.pdf"] = drawn.content(block, "pdf")
    for name, content in files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tuple(place / name for name in files)


def _preamble() -> bytes:
    return resources.files(__package__).joinpath("templates", "trialbook.tex").read_bytes()


def _fragment(document: Document, reference: FigureReference, body: str) -> str:
    """A body under the lines that say what it shows and how it is made again."""
    names = [study.name or "STUDY" for study in document.reference.studies]
    command = Commands(None).make(document.reference, names, "latex")
    again = () if command is None else (f"% To make it again: {comment_text(command)}",)
    lines = (
        reference_comment(reference),
        *again,
        "% Which run it shows: trialbook locate THIS-FILE",
        body,
    )
    return "\n".join(lines) + "\n"


def _macros(document: Document, prefix: str) -> str:
    r"""``\newcommand``, so that two reports cannot silently change each other's numbers."""
    lines = []
    for macro in document.macros:
        lines.append(f"% {comment_text(macro.says)}" if macro.says else "%")
        value = tex_cell(macro.value, macro.holds, macro.unit)
        lines.append(rf"\newcommand{{\{prefix}{macro.name}}}{{{value}}}")
    return _fragment(document, document.reference, "\n".join(lines))


def _checklists(document: Document) -> str:
    found = [
        block
        for section in document.sections
        for block in section.blocks
        if isinstance(block, Checklist)
    ]
    body = "\n\n".join(_checklist(block) for block in found) or "% no checklist"
    return _fragment(document, document.reference, body)


def _checklist(block: Checklist) -> str:
    lines = []
    for item in block.items:
        answer = rf"\{_ANSWERS[item.answer]}{{{tex(item.answer.value)}}}"
        evidence = "; ".join(tex(text) for text in item.evidence)
        lines.append(
            rf"\TBitem{{{tex(item.source)}}}{{{tex(item.question)}}}{{{answer}}}{{{evidence}}}"
        )
    return "\n".join(lines)


def _section(document: Document, section: Section) -> str:
    body = "\n\n".join(_block(block) for block in section.blocks)
    return _fragment(document, document.reference, body or "% nothing")


def _block(block: Block) -> str:
    match block:
        case Paragraph():
            return tex(block.text) + r"\par"
        case Notice():
            title = "Warning" if block.tone is Tone.WARNING else "Note"
            return rf"\TBnotice{{{title}}}{{{tex(block.text)}}}"
        case Facts():
            return "\n".join(_fact(fact) for fact in block.facts)
        case TableBlock():
            return rf"\input{{\TBdir tables/{block.name}}}"
        case FigureBlock():
            return rf"\input{{\TBdir figures/{block.name}}}"
        case Command():
            return rf"\TBcommand{{{tex(block.text)}}}{{{tex(ended(block.says))}}}"
        case Checklist():
            return _checklist(block)


def _fact(fact: Fact) -> str:
    value = tex_cell(fact.value, fact.holds, fact.unit)
    return rf"\TBfact{{{tex(fact.label)}}}{{{value}}}{{{tex(fact.note)}}}"


def _figure(block: FigureBlock) -> str:
    chart = block.chart
    caption = tex_caption(caption_of(chart), notes_of(chart))
    return "\n".join(
        (
            r"\begin{figure}",
            r"\centering",
            rf"\TBfit{{\includegraphics{{\TBdir figures/{block.name}.pdf}}}}",
            rf"\caption{{{caption}}}\label{{\TBlabel fig:{block.name}}}",
            rf"\TBreference{{{tex(str(block.reference))}}}",
            r"\end{figure}",
        )
    )


def _paper(document: Document, prefix: str) -> str:
    lines = [
        reference_comment(document.reference),
        r"% An example paper: every fragment of the report. Compile it in this directory with",
        r"% pdflatex, lualatex or xelatex, twice for the cross-references.",
        r"\documentclass{article}",
        r"\usepackage[margin=2.5cm]{geometry}",
        r"\input{trialbook}",
        r"% Digits are not grouped, as in the other formats of the report.",
        r"\sisetup{group-digits=none}",
        r"\emergencystretch=3em",
        r"\makeatletter\def\fps@figure{htbp}\def\fps@table{htbp}\makeatother",
        r"\input{\TBdir macros}",
        rf"\title{{{tex(document.title)}}}",
        r"\author{}\date{}",
        r"\begin{document}",
        r"\maketitle",
        r"\begin{abstract}",
        r"\noindent " + tex(document.summary),
        r"\TBreference{" + tex(str(document.reference)) + "}",
        r"\end{abstract}",
    ]
    for section in document.sections:
        lines += [
            "",
            rf"\section{{{tex(section.title)}}}\label{{\TBlabel sec:{section.name}}}",
            rf"\input{{\TBdir sections/{section.name}}}",
            r"\clearpage" if _floats(section) > _MOST_FLOATS else "",
        ]
    lines += _macro_list(document, prefix)
    return "\n".join((*lines, r"\end{document}", ""))


_MOST_FLOATS = 8
"""LaTeX holds back a limited number of floats before it gives up."""


def _floats(section: Section) -> int:
    return sum(isinstance(block, (TableBlock, FigureBlock)) for block in section.blocks)


def _macro_list(document: Document, prefix: str) -> Iterator[str]:
    if not document.macros:
        return
    yield ""
    yield r"\section{Macros}"
    yield r"These stand for numbers and texts of the report.\par"
    for macro in document.macros:
        name = rf"\textbackslash{{}}{prefix}{macro.name}"
        yield rf"\TBfact{{\TBcode{{{name}}}}}{{\{prefix}{macro.name}}}{{{tex(macro.says)}}}"
