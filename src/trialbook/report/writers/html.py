"""The HTML writer: one file that opens offline, with interactive figures and no request at all.

Its text is escaped by the templates. The page's Content-Security-Policy allows the two scripts that
are written here, by their digests, and nothing else: no network, no frame, no inline handler.
Figures are JSON that a browser does not execute; ``report.js`` draws each when it is scrolled to.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from trialbook.records.printable import printable
from trialbook.report.carrying import html as carrying
from trialbook.report.document import Document, FigureBlock
from trialbook.report.writers.html_views import View, view_of

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

FILE = "report.html"

_TEMPLATES = Path(__file__).parent / "templates"
_POLICY = (
    "default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data: blob:; "
    "base-uri 'none'; form-action 'none'"
)
_WITHOUT_SCRIPT = (
    "Figures are drawn by JavaScript, which does not run here. Everything else is on this page: "
    "each figure's caption, and below it the first rows of its numbers."
)
_INERT = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


@dataclass(frozen=True, slots=True)
class SectionView:
    """A section of the page."""

    name: str
    title: str
    blocks: tuple[View, ...]


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure as ``report.js`` draws it.

    Args:
        text: JSON without ``<``, ``>`` and ``&``.
        height_px: Kept free for it until it is drawn.
        narrowest_px: Where the page is narrower, the figure scrolls.
    """

    text: Markup
    height_px: int
    narrowest_px: int


@dataclass(frozen=True, slots=True)
class PageView:
    """What the page's frame shows."""

    title: str
    summary: str
    sections: tuple[SectionView, ...]
    colophon: str
    reference: str
    meta: Markup


def write(document: Document, directory: Path) -> tuple[Path, ...]:
    """Write ``report.html`` under a directory.

    Args:
        document: What to write.
        directory: Where; made when it is not there.

    Returns:
        The file.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / FILE
    with path.open("w", encoding="utf-8", errors="xmlcharrefreplace", newline="\n") as page:
        page.writelines(_pieces(document))
    return (path,)


def page_text(document: Document) -> str:
    """The whole page, for a document that is small."""
    return "".join(_pieces(document))


def _pieces(document: Document) -> Iterator[str]:
    from markupsafe import Markup

    script = _template_text("report.js")
    scripts = [script]
    if _has_figures(document):
        from plotly.offline import get_plotlyjs

        scripts.insert(0, get_plotlyjs())
    return (
        _environment()
        .get_template("report.html.j2")
        .generate(
            page=_page(document),
            policy=_POLICY.format(scripts=" ".join(f"'{_digest(text)}'" for text in scripts)),
            style=Markup(_template_text("report.css")),
            scripts=[Markup(text) for text in scripts],
            without_script=_WITHOUT_SCRIPT,
            attribute=lambda reference: Markup(carrying.attribute(reference)),
            drawing_of=_drawing,
        )
    )


def _page(document: Document) -> PageView:
    from markupsafe import Markup

    said = "Written by Trialbook. 'trialbook locate' leads from this file back to the study."
    if document.anonymous:
        said += " Names, hosts, paths and remotes were left out."
    return PageView(
        title=printable(document.title),
        summary=printable(document.summary),
        sections=tuple(
            SectionView(
                section.name, printable(section.title), tuple(view_of(b) for b in section.blocks)
            )
            for section in document.sections
        ),
        colophon=said,
        reference=str(document.reference),
        meta=Markup(carrying.meta(document.reference)),
    )


def _has_figures(document: Document) -> bool:
    return any(
        isinstance(block, FigureBlock) for part in document.sections for block in part.blocks
    )


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _template_text(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _digest(script: str) -> str:
    """A script as a policy names it (CSP Level 3, 2.3.1)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")


def _drawing(block: FigureBlock) -> Drawing:
    """A figure as JSON that can stand in a script element.

    Non-ASCII text is escaped too, so no line separator ends a line of it.
    """
    from markupsafe import Markup

    from trialbook.report.plotly_backend import described, narrowest_px

    shown = described(block.chart)
    text = json.dumps(shown, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return Drawing(
        Markup(text.translate(_INERT)), shown["layout"]["height"], narrowest_px(block.chart)
    )
