"""A document with every block and a single figure, so that tests draw no more than they look at."""

from __future__ import annotations

import functools
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

from pypdf import PdfReader

from trialbook.report.document import Document, FigureBlock
from trialbook.report.drawn_figures import DrawnFigures

from ..documents import HOSTILE, document
from ..studies import HOSTILE as NAMES

HOSTILE_TEXT = " ".join((*HOSTILE, *NAMES))
FIGURE = "points"


def short_document(text: str = "plain") -> Document:
    """The test's document with its first figure only."""
    found = document(text)
    everything, figures = found.sections
    first = tuple(b for b in figures.blocks if isinstance(b, FigureBlock) and b.name == FIGURE)
    return replace(found, sections=(everything, replace(figures, blocks=first)))


class GivenFigures(DrawnFigures):
    """The same content for every figure, so that nothing is drawn where nobody looks at it."""

    def __init__(self, content: bytes = b"a picture") -> None:
        super().__init__()
        self.given = content

    def content(self, block, ending):
        return self.given


@functools.cache
def drawn_pdf() -> bytes:
    """A figure as PDF, drawn once."""
    block = short_document().sections[1].blocks[0]
    assert isinstance(block, FigureBlock)
    return DrawnFigures().content(block, "pdf")


def text_of(path: Path) -> str:
    """The text of a PDF, without line breaks and spaces."""
    if shutil.which("pdftotext") is not None:
        command = ["pdftotext", "-raw", str(path), "-"]
        text = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    else:  # many times slower
        text = "".join(page.extract_text() for page in PdfReader(path).pages)
    return "".join(text.split())
