"""Small figures by matplotlib in each format, with references of studies of hostile names."""

from __future__ import annotations

import io
from typing import Any

from trialbook.records.figure_references import FigureReference, ShownStudy
from trialbook.report.carrying import pdf, png, svg

SEAL = "5e" * 32


def reference(name: str, shows: str = "history", *, seal: str | None = SEAL) -> FigureReference:
    """Of one study of this name; its identity follows from the name."""
    uid = name.encode().hex()[:32].ljust(32, "0")
    return FigureReference(shows, (ShownStudy.of(name, uid, seal),), (3, 25))


HOSTILE = reference(
    "\u05e9\u05dc\u05d5\u05dd <script>&amp;--> ]]> \\) % $x_1$ \x1b[31m" + "x" * 300
)
REFERENCES = (reference("digits"), HOSTILE, HOSTILE.opaque())
_METADATA: dict[str, Any] = {"png": png.metadata, "svg": svg.metadata, "pdf": pdf.metadata}


def drawn(carries: FigureReference, ending: str, text: str = "trials") -> bytes:
    """A figure as Trialbook writes it: metadata, and in PDF the mark."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2, 1.5))
    axes = figure.add_subplot()
    axes.plot([1, 2, 3])
    axes.set_xlabel(text)
    out = io.BytesIO()
    figure.savefig(out, format=ending, metadata=_METADATA[ending](carries))
    content = out.getvalue()
    return pdf.finished(content, carries) if ending == "pdf" else content
