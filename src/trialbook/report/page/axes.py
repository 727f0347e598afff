"""An axis of a panel as plotly.js has it: its range, ticks and title."""

from __future__ import annotations

from typing import Any

import numpy as np

from trialbook.report.charts import Axis, Scale
from trialbook.report.labels import axis_labels, distinct
from trialbook.report.log_ticks import is_plain
from trialbook.report.page.drawn import Json
from trialbook.report.page.texts import LETTER_PX, X_LETTERS, escaped, label, numbers, placed

_TITLE_PX = 12
_Y_LETTERS = 26
"""Of the names of categories."""
_GRID, _SOFT = "#e5e5e5", "#767676"


def axis_json(
    axis: Axis, ends: tuple[float, float], length_px: float, *, shown: bool, vertical: bool
) -> Json:
    """An axis without its title and its place.

    Args:
        axis: The axis.
        ends: The least and the greatest number on it, NaN without numbers.
        length_px: How long it is.
        shown: Whether it has labels at its ticks.
        vertical: Whether it is a y axis.
    """
    found: Json = {
        "type": {Scale.LOG: "log", Scale.TIME: "date"}.get(axis.scale, "linear"),
        "gridcolor": _GRID,
        "zeroline": False,
        "showline": True,
        "linecolor": _SOFT,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": _SOFT,
        "automargin": True,
        "showticklabels": shown,
        "exponentformat": "power",
        "nticks": max(int(length_px / (36 if vertical else 64)), 3),
    }
    if axis.scale is Scale.TIME:
        found["hoverformat"] = "%Y-%m-%d %H:%M:%S"
    if axis.integer:
        found["tickformat"] = "d"
    elif axis.scale is Scale.LOG:
        found |= _log_format(axis.limits or ends)
    if axis.ticks is not None:
        _name_ticks(found, axis, length_px, vertical)
    elif axis.integer and axis.scale is Scale.LINEAR and not ends[1] - ends[0] >= found["nticks"]:
        found["dtick"] = 1  # plotly would set ticks between whole numbers too
    elif axis.scale is Scale.CATEGORY:
        labels = distinct(axis.categories, _Y_LETTERS if vertical else X_LETTERS)
        step = max(-(-len(labels) * 15 // max(int(length_px), 1)), 1)
        found |= {
            "tickmode": "array",
            "tickvals": list(range(0, len(labels), step)),
            "ticktext": [escaped(text) for text in labels[::step]],
            "autotickangles": [0, 90],  # slanted ones reach into the next panel
            "showgrid": False,
        }
    shown_ends = _range(axis)
    if shown_ends is not None:
        found |= {"range": shown_ends[::-1] if axis.reverse else shown_ends, "autorange": False}
    elif axis.reverse:
        found["autorange"] = "reversed"
    return found


def title_axis(found: Json, axis: Axis, labels: list[str], length_px: float) -> None:
    """Give an axis its label, told apart from those of the other panels."""
    if found["showticklabels"] and axis.label:
        letters = max(int((length_px - 16) / LETTER_PX), 8)
        drawn = axis_labels(labels, letters, 2)[axis.label]
        text = "<br>".join(escaped(line) for line in drawn.split("\n"))
        found["title"] = {"text": text, "standoff": 8, "font": {"size": _TITLE_PX}}


def _log_format(ends: tuple[float, float]) -> Json:
    """The form of all labels of a LOG axis: by itself plotly.js would write 2 for 0.0002.

    Labels stay plotly.js's own, so that there are some wherever a reader zooms to.
    """
    low, high = ends
    if not 0 < low <= high:
        return {}
    first, last = 10.0 ** np.ceil(np.log10(low)), 10.0 ** np.floor(np.log10(high))
    if first <= last:  # these are labelled, and not what lies beyond them
        low, high = first, last
    if is_plain(low, high):
        return {"tickformat": "~r"}
    return {"tickformat": "~e"} if high < 100 * low else {}


def _name_ticks(found: Json, axis: Axis, length_px: float, vertical: bool) -> None:
    assert axis.ticks is not None
    step = max(-(-len(axis.ticks) * (16 if vertical else 40) // max(int(length_px), 1)), 1)
    chosen = axis.ticks[::step]
    found |= {
        "tickmode": "array",
        "tickvals": numbers(placed(np.array([value for value, _ in chosen]), axis)),
        "ticktext": [label(text, 24) for _, text in chosen],
    }


def _range(axis: Axis) -> list[Any] | None:
    if axis.limits is not None:
        low, high = placed(np.array(axis.limits), axis).tolist()
        if axis.scale is Scale.LOG:
            if low <= 0 or high <= 0:
                return None
            return [float(np.log10(low)), float(np.log10(high))]
        return [low, high]
    if axis.scale is Scale.CATEGORY and axis.categories:
        return [-0.6, len(axis.categories) - 0.4]
    return None
