"""The text that tells where the commands of a report run, and against which book.

It names no path and no server: the same book gives the same report wherever it lies, and an
anonymous one hides its place. What tells one book from another is its seal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from trialbook.report.document import Command, Paragraph, Section

PLACE_OF_COMMANDS = Paragraph(
    "Commands in this report read the book that --storage URL names, else TRIALBOOK_STORAGE, else "
    "storage of [tool.trialbook] in the nearest pyproject.toml, else .trialbook/book.db in the "
    "directory where they are run or in the nearest one above it. Run elsewhere, they need "
    "--storage. Whether it is the book of this report, 'verify --seal' tells."
)


def placed(sections: Iterable[Section], also: str = "rerun") -> tuple[Section, ...]:
    """The sections, with that text before the first command of all.

    Args:
        sections: In their order.
        also: Name of a section whose first command gets a short form of it, as readers go there
            directly.
    """
    found: list[Section] = []
    told_in = ""
    for section in sections:
        at = _first_command(section)
        if at is not None and (not told_in or section.name == also):
            said = _again(told_in) if told_in else PLACE_OF_COMMANDS
            blocks = (*section.blocks[:at], said, *section.blocks[at:])
            section = replace(section, blocks=blocks)
            told_in = told_in or section.title
        found.append(section)
    return tuple(found)


def _again(told_in: str) -> Paragraph:
    return Paragraph(
        "The command reads the book that --storage names, else the one found from the directory "
        f"where it is run (see {told_in!r})."
    )


def _first_command(section: Section) -> int | None:
    kinds = (at for at, block in enumerate(section.blocks) if isinstance(block, Command))
    return next(kinds, None)
