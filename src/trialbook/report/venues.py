"""How wide a figure is: the columns of venues that ask for one.

Widths are those of the text block that the venue's own template sets, in inches of 72.27 TeX points
(or 25.4 mm):

- NeurIPS: ``neurips_2024.sty``, ``textwidth=5.5in``.
- ICML: ``icml2024.sty``, ``textwidth 6.75in``, ``columnsep 0.25in``, so 3.25 in a column.
- ICLR: ``iclr2026_conference.sty``, ``textwidth 5.5 true in``, as in the years before.
- IEEE: ``IEEEtran.cls``, letter paper, two columns: ``textwidth 43pc`` with 1 pc between, so 21 pc
  a column (1 pc = 12 pt): 7.14 and 3.487 in. IEEE's guide for graphics says 7.16 and 3.5 in.
- ACM: ``acmart.dtx``, format ``sigconf``: ``paperwidth=8.5in``, ``inner=54pt``, ``outer=54pt`` and
  ``columnsep=2pc`` (24 pt): 7.01 in, and 3.34 in a column.
- JMLR: ``jmlr2e.sty`` of the journal's own repository, ``textwidth 6.0 true in``.
- Springer LNCS: ``llncs.cls``, ``textwidth 12.2cm``.
- Nature: its research figure guide: 89 mm for one column, 183 mm for two.
- Elsevier: its artwork sizing guide: 90 mm for one column, 190 mm for two. Its class for papers
  is narrower: ``elsarticle.cls`` with ``5p`` sets ``textwidth=522pt`` and ``columnsep=18pt``, so
  88.6 mm a column and 183.5 mm for two.
- A4: 210 mm with margins of 25 mm; the half of it with 8 mm between, and all of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

from trialbook.errors import InvalidInputError
from trialbook.report.charts import Chart
from trialbook.report.geometry import panels_of

_MM, _PT = 1 / 25.4, 1 / 72.27


@dataclass(frozen=True, slots=True)
class Width:
    """The width of a figure on paper.

    Args:
        name: As ``--width`` takes it.
        inches: The width.
        says: What it is the width of.
    """

    name: str
    inches: float
    says: str


WIDTHS: tuple[Width, ...] = (
    Width("a4", 76 * _MM, "half of the text on A4"),
    Width("a4-full", 160 * _MM, "the text on A4"),
    Width("neurips", 5.5, "the text of NeurIPS"),
    Width("icml", 3.25, "a column of ICML"),
    Width("icml-full", 6.75, "both columns of ICML"),
    Width("iclr", 5.5, "the text of ICLR"),
    Width("ieee", 21 * 12 * _PT, "a column of IEEE transactions and conferences"),
    Width("ieee-full", 43 * 12 * _PT, "both columns of IEEE transactions and conferences"),
    Width("acm", (8.5 - (2 * 54 + 24) * _PT) / 2, "a column of ACM conferences (sigconf)"),
    Width("acm-full", 8.5 - 2 * 54 * _PT, "both columns of ACM conferences (sigconf)"),
    Width("jmlr", 6.0, "the text of JMLR"),
    Width("springer-lncs", 122 * _MM, "the text of Springer LNCS"),
    Width("nature", 89 * _MM, "a column of Nature"),
    Width("nature-full", 183 * _MM, "both columns of Nature"),
    Width("elsevier", 90 * _MM, "a column of Elsevier's journals"),
    Width("elsevier-full", 190 * _MM, "both columns of Elsevier's journals"),
)


def width_of(name: str) -> Width:
    """The width of that name.

    Raises:
        InvalidInputError: There is none; near names are suggested.
    """
    for width in WIDTHS:
        if width.name == name:
            return width
    names = [width.name for width in WIDTHS]
    near = get_close_matches(name, names, n=2)
    raise InvalidInputError(
        f"there is no width {name!r}",
        hint=f"did you mean {' or '.join(near)}?" if near else f"one of {', '.join(names)}",
    )


def usual_width(chart: Chart) -> Width:
    """The width for a chart where none is asked for: a column, or the page where it needs that.

    It needs the page with panels in a row, or with many categories along the x axis.
    """
    columns = max((len(row) for row in chart.panels), default=1)
    crowded = any(len(panel.x.categories) > 6 for panel in panels_of(chart))
    return width_of("a4" if columns == 1 and not crowded else "a4-full")
