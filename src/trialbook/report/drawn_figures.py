"""Figures of one document, each drawn once however many formats take it.

LaTeX and Typst take the same PDF, Markdown takes a PNG; the drawing library is asked once for each.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Literal

from trialbook.records.figure_references import FigureReference
from trialbook.report.carrying import pdf, png, svg
from trialbook.report.charts import Chart
from trialbook.report.document import FigureBlock

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
            found = figure_content(block.chart, block.reference, ending)
            self._contents[block.name, ending] = found
        return found


def figure_content(chart: Chart, reference: FigureReference, ending: Ending) -> bytes:
    """A chart as a file's content."""
    from trialbook.report.labels import texts_of
    from trialbook.report.matplotlib_backend import figure
    from trialbook.report.paper.settings import drawing

    out = io.BytesIO()
    drawn = figure(chart)
    with drawing(texts_of(chart)):
        drawn.savefig(out, format=ending, metadata=_METADATA[ending](reference))
    content = out.getvalue()
    return pdf.finished(content, reference) if ending == "pdf" else content


_METADATA = {"pdf": pdf.metadata, "png": png.metadata, "svg": svg.metadata}
