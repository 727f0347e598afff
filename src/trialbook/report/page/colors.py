"""Numbers as colours of a page. The colours of roles and series are in ``palette.py``."""

from __future__ import annotations

import numpy as np

from trialbook.report.charts import ColorScale, Floats

# Ten colours of viridis, from dark to bright (matplotlib's, CC0).
VIRIDIS = (
    "#440154", "#482878", "#3e4989", "#31688e", "#26828e",
    "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725",
)  # fmt: skip


def colored(values: Floats, log: bool) -> Floats:
    """Numbers as a colour axis has them: their logarithms where it is one (plotly.js has none)."""
    found = np.where(np.isinf(values), np.nan, values)
    if not log:
        return found
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(found > 0, np.log10(found), np.nan)


def colorscale(scale: ColorScale) -> list[list[float | str]]:
    """The colours of a scale, as plotly.js has them."""
    colors = VIRIDIS[::-1] if scale.reverse else VIRIDIS
    return [[round(i / (len(colors) - 1), 6), color] for i, color in enumerate(colors)]


def viridis(place: float) -> str:
    """The colour at a place from 0 to 1."""
    at = min(max(place, 0.0), 1.0) * (len(VIRIDIS) - 1)
    index = min(int(at), len(VIRIDIS) - 2)
    part = at - index
    low, high = VIRIDIS[index], VIRIDIS[index + 1]
    mixed = [
        round(int(low[c : c + 2], 16) * (1 - part) + int(high[c : c + 2], 16) * part)
        for c in (1, 3, 5)
    ]
    return "#{:02x}{:02x}{:02x}".format(*mixed)


def rgba(color: str, alpha: float) -> str:
    """``#RRGGBB`` with an opacity from 0 to 1."""
    red, green, blue = (int(color[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"
