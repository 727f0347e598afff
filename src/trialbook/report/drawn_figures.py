"""Figures of one document, each drawn once however many formats take it.

LaTeX and Typst take the same PDF, Markdown takes a PNG; the drawing library is asked once for each.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from trialbook.report.document import FigureBlock
from trialbook.report.figure_files import picture

Ending = Literal["pdf", "png", "svg"]


@dataclass(slots=True)
class DrawnFigures:
    """What is drawn already, by the name of the figure and the ending of the file.

    One value is for one document: names are unique only there.
    """

    _contents: dict[tuple[str, Ending], bytes] = field(default_factory=dict)

    def content(self, block: FigureBlock, ending: Ending) -> bytes:
        """The bytes of a figure's file, with its reference; the same for the same chart.

        Raises:
            MissingPackageError: matplotlib is not installed.
        """
        found = self._contents.get((block.name, ending))
        if found is None:
            found = picture(block.chart, block.reference, ending)
            self._contents[block.name, ending] = found
        return found
