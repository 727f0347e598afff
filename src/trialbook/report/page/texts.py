"""Text and numbers as plotly.js takes them.

plotly.js interprets a part of HTML in titles, ticks, legends and hovered texts, ``%{...}`` in hover
templates, and ``$...$`` where a page has MathJax. All of these begin with one of ``& < > $ %``, and
entities are decoded after they were looked for: so each is written as an entity.
"""

from __future__ import annotations

import base64
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialbook.report.charts import Axis, Floats, Scale
from trialbook.report.geometry import finite
from trialbook.report.labels import one_line, shortened, wrapped

LETTER_PX = 6.8
X_LETTERS = 16
"""Of the names of categories on an x axis."""
_ENTITIES = str.maketrans({c: f"&#{ord(c)};" for c in "&<>$%{}"})
_PLAIN = re.compile(r"[A-Za-z0-9_ .,:;()=+/\[\]'\"-]{0,100}")
_HOVER_COLUMNS = 90
_SHORT_ARRAY = 12


def escaped(text: str) -> str:
    """The text so that plotly.js shows it as it is, on one line."""
    return text if _PLAIN.fullmatch(text) else one_line(text).translate(_ENTITIES)


def label(text: str, limit: int) -> str:
    """A text for a title, tick or legend, shortened to so many columns."""
    return escaped(shortened(text, limit))


def wrapped_lines(text: str, width_px: float, lines: int = 2) -> str:
    """A text on a few lines of a width."""
    found = wrapped(text, max(int(width_px / LETTER_PX), 8), lines)
    return "<br>".join(escaped(line) for line in found.split("\n"))


def hovered(text: str) -> str:
    """A whole text for a hover box, with its line feeds; long lines are broken."""
    if _PLAIN.fullmatch(text) and len(text) <= _HOVER_COLUMNS:
        return text
    lines: list[str] = []
    for part in text.split("\n"):
        line = one_line(part)
        lines += [
            line[at : at + _HOVER_COLUMNS] for at in range(0, max(len(line), 1), _HOVER_COLUMNS)
        ]
    return "<br>".join(line.translate(_ENTITIES) for line in lines)


def placed(values: Floats, axis: Axis) -> Floats:
    """Numbers as they are on an axis: milliseconds since the epoch on a TIME axis."""
    found = finite(values)
    return found * 1000.0 if axis.scale is Scale.TIME else found


def numbers(values: Floats, *, single: bool = False, packed: bool = False) -> Any:
    """Numbers as plotly.js reads them: a list of a few, else the bytes of a typed array in base64.

    Args:
        values: Shape (n,) or (rows, columns).
        single: Single precision is enough.
        packed: Never a list: plotly takes no gap among colours in one.
    """
    found = np.asarray(values, dtype=np.float64)
    if found.ndim == 1 and len(found) <= _SHORT_ARRAY and not packed:
        return [None if np.isnan(value) else value for value in found.tolist()]
    content: NDArray[Any] = found
    kind = "f8"
    if (whole := _whole(found)) is not None:
        content, kind = whole
    elif single:
        content, kind = found.astype("<f4"), "f4"
    description = {
        "dtype": kind,
        "bdata": base64.b64encode(np.ascontiguousarray(content).tobytes()).decode(),
    }
    if found.ndim == 2:
        description["shape"] = f"{found.shape[0]}, {found.shape[1]}"
    return description


def _whole(values: Floats) -> tuple[NDArray[Any], str] | None:
    """The same as small integers; ``None`` where they are none."""
    if not len(values) or not np.isfinite(values).all():
        return None
    low, high = values.min(), values.max()
    if low < -(2**31) or high >= 2**31 or (values != np.round(values)).any():
        return None
    for kind, room in (("i1", 2**7), ("i2", 2**15), ("i4", 2**31)):
        if -room <= low and high < room:
            return values.astype(f"<{kind}"), kind
    return None
