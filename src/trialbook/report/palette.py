"""Colours, markers and line styles, the same in every backend.

Colours are those of Okabe and Ito, "Color Universal Design" (2008), which people with the common
kinds of colour blindness tell apart. No series is told apart by its colour alone: each has a marker
and a dash of its own too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trialbook.report.charts import Role, Style

Marker = Literal["circle", "square", "triangle", "diamond", "cross", "plus", "star", "ring"]
Dash = Literal["solid", "dash", "dot", "dashdot"]


@dataclass(frozen=True, slots=True)
class Look:
    """How a mark looks.

    Args:
        color: ``#RRGGBB``.
        marker: Shape of its points.
        dash: How its line is drawn.
        opacity: From 0 to 1.
    """

    color: str
    marker: Marker = "circle"
    dash: Dash = "solid"
    opacity: float = 1.0


BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY = "#767676"

_ROLES: dict[Role, Look] = {
    Role.COMPLETE: Look(BLUE, "circle"),
    Role.PRUNED: Look(ORANGE, "triangle", "dash"),
    Role.FAILED: Look(VERMILION, "cross", "dot"),
    Role.RUNNING: Look(GREEN, "ring", "dashdot"),
    Role.WAITING: Look(GREY, "plus", "dot"),
    Role.INFEASIBLE: Look(PURPLE, "square", "dot"),
    Role.BEST: Look(BLACK, "star"),
    Role.LEADING: Look(VERMILION, "square"),
    Role.FAINT: Look(GREY, "circle", opacity=0.35),
    Role.LIMIT: Look(GREY, "circle", "dash"),
}
_SERIES: tuple[Look, ...] = (
    Look(BLUE, "circle", "solid"),
    Look(ORANGE, "square", "dash"),
    Look(GREEN, "triangle", "dot"),
    Look(VERMILION, "diamond", "dashdot"),
    Look(PURPLE, "cross", "solid"),
    Look(SKY, "plus", "dash"),
    Look(BLACK, "star", "dot"),
)
COLOR_MAP = "viridis"
"""Perceptually uniform; matplotlib knows it by this name, ``page/colors.py`` holds its colours."""


def look(style: Style) -> Look:
    """How marks of this style look; series beyond the seventh begin again."""
    return _ROLES[style] if isinstance(style, Role) else _SERIES[style % len(_SERIES)]
