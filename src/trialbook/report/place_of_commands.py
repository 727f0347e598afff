"""The sentence that tells where the commands of a report run, and against which book.

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
    """The sections, with that sentence before the first command of all.

    Args:
        sections: In their order.
        also: Name of a section whose first command has it too, as readers go there directly.
    """
    found: list[Section] = []
    is_told = False
    for section in sections:
        at = _first_command(section)
        if at is not None and (not is_told or section.name == also):
            blocks = (*section.blocks[:at], PLACE_OF_COMMANDS, *section.blocks[at:])
            section = replace(section, blocks=blocks)
            is_told = True
        found.append(section)
    return tuple(found)


def _first_command(section: Section) -> int | None:
    kinds = (at for at, block in enumerate(section.blocks) if isinstance(block, Command))
    return next(kinds, None)
