"""What has been drawn of a chart for a page so far, and what every trace of it is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from trialbook.report.charts import Panel, Style
from trialbook.report.page.texts import escaped, label
from trialbook.report.palette import Look

Json = dict[str, Any]

_SYMBOLS = {
    "circle": "circle",
    "square": "square",
    "triangle": "triangle-up",
    "diamond": "diamond",
    "cross": "x",
    "plus": "cross",
    "star": "star",
    "ring": "circle-open",
}
_SIZE_PX = 6.0
_LEGEND_LETTERS = 60


@dataclass(slots=True)
class Drawn:
    """What has been drawn of a chart so far.

    Args:
        traces: In the order of the marks.
        shapes: Rules, likewise.
        labels: What the legend has already.
        gl: Whether many points are drawn by WebGL.
    """

    traces: list[Json] = field(default_factory=list)
    shapes: list[Json] = field(default_factory=list)
    labels: set[str] = field(default_factory=set)
    gl: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where a panel's marks go.

    Args:
        panel: The panel.
        x: Its x axis, as ``x2``.
        y: Its y axis, as ``y2``.
        coloraxis: Its colour axis, as ``coloraxis2``; empty without one.
    """

    panel: Panel
    x: str
    y: str
    coloraxis: str


def legend_entry(drawn: Drawn, text: str, style: Style) -> Json:
    """The entry in the legend; a label that is there already switches with it."""
    if not text:
        return {"showlegend": False}
    first = text not in drawn.labels
    drawn.labels.add(text)
    group = f"{style}:{escaped(text)}"
    return {"name": label(text, _LEGEND_LETTERS), "legendgroup": group, "showlegend": first}


def marker_of(found: Look, size: float) -> Json:
    """The marker of a look; ``size`` is relative to the usual one."""
    symbol = _SYMBOLS[found.marker]
    bigger = 1.6 if found.marker == "star" else 1.0
    marker: Json = {
        "color": found.color,
        "symbol": symbol,
        "size": round(_SIZE_PX * size * bigger, 2),
    }
    if found.opacity < 1:
        marker["opacity"] = found.opacity
    if symbol in ("circle", "square", "triangle-up", "diamond", "star"):
        marker["line"] = {"width": 0.5, "color": "#ffffff"}
    return marker
