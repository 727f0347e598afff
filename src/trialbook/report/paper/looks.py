"""Looks and colour scales as matplotlib takes them."""

from __future__ import annotations

import matplotlib as mpl
from matplotlib.colors import Colormap, LogNorm, Normalize

from trialbook.report.charts import ColorScale
from trialbook.report.geometry import limits_of
from trialbook.report.palette import COLOR_MAP, Look

RASTERIZED_FROM = 3000
"""Marks of more points than this are a picture inside a PDF or SVG; text and axes never are."""
MARKERS = {
    "circle": "o",
    "square": "s",
    "triangle": "^",
    "diamond": "D",
    "cross": "x",
    "plus": "+",
    "star": "*",
    "ring": "o",
}
DASHES: dict[str, tuple[float, tuple[float, ...]]] = {
    "solid": (0, ()),
    "dash": (0, (4.0, 1.6)),
    "dot": (0, (1.0, 1.4)),
    "dashdot": (0, (5.0, 1.4, 1.0, 1.4)),
}
SIZE_PT = 3.4
_UNKNOWN = "#BDBDBD"


def norm_of(scale: ColorScale) -> Normalize:
    """How a scale's numbers become places on the colour map."""
    low, high = limits_of(scale)
    return LogNorm(low, high) if scale.log else Normalize(low, high)


def color_map(scale: ColorScale, bad: str = _UNKNOWN) -> Colormap:
    """A scale's colours; ``bad`` is that of NaN."""
    found = mpl.colormaps[COLOR_MAP + ("_r" if scale.reverse else "")]
    return found.with_extremes(bad=bad)


def marker_of(found: Look, size_pt: float) -> dict[str, object]:
    """What matplotlib's lines take for a marker of this look."""
    hollow = found.marker in ("ring", "cross", "plus")
    return {
        "marker": MARKERS[found.marker],
        "markersize": size_pt * (1.6 if found.marker == "star" else 1.0),
        "markerfacecolor": "none" if hollow else found.color,
        "markeredgecolor": found.color if hollow else "white",
        "markeredgewidth": 0.8 if hollow else 0.25,
    }
