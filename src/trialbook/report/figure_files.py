"""Writing one figure to a file, by its ending: a page, or a picture for paper.

Every file carries the reference of what it shows. The same chart gives the same bytes: no time, no
random id, no version of a program is in them; bytes are those of one version of matplotlib (of
plotly for pages) and change with it. Characters that matplotlib's own fonts lack are drawn in fonts
of the machine, where it has some: such a figure depends on them too.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from trialbook.errors import InvalidInputError
from trialbook.records.figure_references import FigureReference
from trialbook.report.carrying import pdf, png, svg
from trialbook.report.charts import Chart
from trialbook.report.document import Document, FigureBlock, Section
from trialbook.report.labels import texts_of
from trialbook.report.placing import placing
from trialbook.report.venues import Width

ENDINGS = ("html", "png", "svg", "pdf")
_METADATA: dict[str, Callable[[FigureReference], dict[str, str | None]]] = {
    "pdf": pdf.metadata,
    "png": png.metadata,
    "svg": svg.metadata,
}


def ending_of(path: Path) -> str:
    """The ending of a figure's file, in small letters and without the dot.

    Raises:
        InvalidInputError: No figure can be written to such a file.
    """
    found = path.suffix.lower().removeprefix(".")
    if found not in ENDINGS:
        raise InvalidInputError(
            f"no figure can be written as {path.suffix or 'a file without an ending'}",
            where=str(path),
            hint=f"end the name in one of {', '.join('.' + name for name in ENDINGS)}",
        )
    if path.is_dir():
        raise InvalidInputError("a directory is in the place of the figure", where=str(path))
    return found


def write_figure(
    chart: Chart,
    reference: FigureReference,
    path: str | os.PathLike[str],
    width: Width | None = None,
) -> tuple[str, ...]:
    """Write a figure, whole or not at all.

    Args:
        chart: What to draw.
        reference: What the file carries.
        path: Where; its ending decides how: ``.html``, ``.png``, ``.svg`` or ``.pdf``.
        width: How wide it is on paper, ``None`` for the usual width of such a chart. A page has
            the width of its window.

    Returns:
        What a reader of the figure should know: the chart's notes, and what could not be drawn.

    Raises:
        InvalidInputError: The ending is another one.
        MissingPackageError: A picture is asked for and matplotlib is not installed.
        OutputError: The file cannot be written.
    """
    place = Path(path)
    ending = ending_of(place)
    if ending == "html":
        content, notes = _page(chart, reference), chart.notes
    else:
        content = picture(chart, reference, ending, width)
        notes = (*chart.notes, *_boxes(chart))
    with placing("the figure", place):
        _put(content, place)
    return notes


def picture(
    chart: Chart, reference: FigureReference, ending: str, width: Width | None = None
) -> bytes:
    """A chart as the content of a ``png``, ``svg`` or ``pdf``.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    from trialbook.report.matplotlib_backend import figure

    drawn = figure(chart, width)
    from trialbook.report.paper.settings import drawing

    out = io.BytesIO()
    with drawing(texts_of(chart)):
        drawn.savefig(out, format=ending, metadata=_METADATA[ending](reference))
    content = out.getvalue()
    return pdf.finished(content, reference) if ending == "pdf" else content


def one_figure(chart: Chart, reference: FigureReference, *, anonymous: bool = False) -> Document:
    """A document that holds nothing but a figure."""
    block = FigureBlock(chart.kind, chart, reference)
    section = Section("figure", chart.title or chart.kind, (block,))
    names = ", ".join(study.name for study in reference.studies if study.name is not None)
    title = f"Study {names}" if names else "Figure"
    return Document(title, "", (section,), (), reference, anonymous)


def _page(chart: Chart, reference: FigureReference) -> bytes:
    from trialbook.report.writers.html import page_text

    anonymous = all(study.name is None for study in reference.studies)
    document = one_figure(chart, reference, anonymous=anonymous)
    return page_text(document).encode("utf-8", "xmlcharrefreplace")


def _boxes(chart: Chart) -> tuple[str, ...]:
    """What is said of characters that are drawn as an empty box."""
    from trialbook.report.paper.settings import without_glyph

    lacking = without_glyph(texts_of(chart))
    if not lacking:
        return ()
    codes = ", ".join(f"U+{ord(character):04X}" for character in lacking[:5])
    more = f" and {len(lacking) - 5} more" if len(lacking) > 5 else ""
    return (f"no font here has the characters {codes}{more}: they are drawn as boxes",)


def _put(content: bytes, path: Path) -> None:
    """Put a file in its place when all of it is written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".trialbook-figure-", dir=path.parent) as own:
        whole = Path(own) / "figure"  # a new file in it has the rights that new files have here
        whole.write_bytes(content)
        whole.replace(path)
