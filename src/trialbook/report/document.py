"""The model of a document: sections of blocks, with nothing of HTML, LaTeX or Typst in it.

Sections are made from analyses in ``sections/``; each format has a writer that knows every block.
All text is plain: a writer escapes it. Numbers stay numbers until a writer sets them (see
``numbers.py``), so that each is the same in every format.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from trialbook.analysis.columns import Cell, Holds, Table
from trialbook.records.figure_references import FigureReference
from trialbook.report.charts import Chart


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Running text."""

    text: str


class Tone(StrEnum):
    """How serious a notice is."""

    NOTE = "note"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something a reader must not miss: what is missing, left out or doubtful."""

    text: str
    tone: Tone = Tone.NOTE


@dataclass(frozen=True, slots=True)
class Fact:
    """A label and a value.

    Args:
        label: What it is.
        value: ``None`` is set as "not recorded".
        holds: What the value is.
        unit: As in a table's column.
        note: What belongs to the value, such as a reason; empty for nothing.
    """

    label: str
    value: Cell
    holds: Holds = Holds.TEXT
    unit: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Labels and values, one below the other."""

    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class TableBlock:
    """A table with a caption.

    Args:
        name: Its file name without ending: small letters, digits and hyphens, unique in a document.
        caption: What it shows.
        table: The table.
        reference: What it carries.
        shown: How many rows a page shows; the rest is in the CSV file, and the page says so.
            ``None`` for all.
    """

    name: str
    caption: str
    table: Table
    reference: FigureReference
    shown: int | None = None


@dataclass(frozen=True, slots=True)
class FigureBlock:
    """A figure. Its name and caption are those of a table's; the caption is the chart's own."""

    name: str
    chart: Chart
    reference: FigureReference


@dataclass(frozen=True, slots=True)
class Command:
    """A command that a reader can copy.

    Args:
        text: One line, quoted for a POSIX shell.
        says: What it does.
    """

    text: str
    says: str = ""


class Answer(StrEnum):
    """The answer to an item of a checklist."""

    YES = "Yes"
    NO = "No"
    NOT_APPLICABLE = "N/A"
    MISSING = "MISSING"
    """The evidence for an answer is not in the book."""
    AUTHORS = "Authors"
    """Nothing in a book can answer it: the authors must."""


@dataclass(frozen=True, slots=True)
class ChecklistItem:
    """One item of a checklist.

    Args:
        source: Which checklist and item, as in ``NeurIPS 4``.
        question: The item in our words.
        answer: The answer.
        evidence: What it rests on: numbers, digests, names of sections; why it is missing.
    """

    source: str
    question: str
    answer: Answer
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Checklist:
    """Items of a checklist, in its order."""

    items: tuple[ChecklistItem, ...]


Block = Paragraph | Notice | Facts | TableBlock | FigureBlock | Command | Checklist


@dataclass(frozen=True, slots=True)
class Section:
    """A section.

    Args:
        name: As the name of a table, unique in a document.
        title: Its heading.
        blocks: What is in it.
    """

    name: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Macro:
    """A number or text that a paper quotes by name.

    Args:
        name: Letters only, as LaTeX asks: ``BestValue``. A writer puts its own prefix in front.
        value: The value.
        holds: What it is.
        unit: Its unit.
        says: What it is, in a few words.
        param: The param that it is called after; empty when it is called after none.
    """

    name: str
    value: Cell
    holds: Holds = Holds.TEXT
    unit: str = ""
    says: str = ""
    param: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """A document.

    Args:
        title: Its title.
        summary: What it is, in one or two sentences.
        sections: Its parts.
        macros: What a paper may quote.
        reference: What the whole document carries.
        anonymous: Whether names, hosts, paths and remotes were left out: set by
            ``anonymous.without_names`` alone.
        verified: Whether the records are what their digests say; ``None`` when nobody looked.
    """

    title: str
    summary: str
    sections: tuple[Section, ...]
    macros: tuple[Macro, ...]
    reference: FigureReference
    anonymous: bool = False
    verified: bool | None = None
