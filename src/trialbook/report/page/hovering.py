"""What plotly.js says of a mark where a reader points at it."""

from __future__ import annotations

import numpy as np

from trialbook.report.charts import Axis, Floats, Panel, Scale
from trialbook.report.labels import one_line
from trialbook.report.page.texts import hovered


def said_of(panel: Panel, x: Floats | None, y: Floats, texts: tuple[str, ...]) -> list[str] | None:
    """The hovered text of each point: its own, then its categories in full."""
    said = [hovered(text) for text in texts] if texts else None
    for axis, values in ((panel.x, x), (panel.y, y)):
        if axis.scale is not Scale.CATEGORY or values is None or not axis.categories:
            continue
        names = [hovered(f"{axis.label}: {c}" if axis.label else c) for c in axis.categories]
        chosen = [_name_at(names, value) for value in values.tolist()]
        said = (
            chosen
            if said is None
            else [f"{own}<br>{name}" for own, name in zip(said, chosen, strict=True)]
        )
    return said


def _name_at(names: list[str], value: float) -> str:
    if np.isnan(value):
        return ""
    index = round(value)
    return names[index] if 0 <= index < len(names) else ""


def template_of(axis: Axis, name: str, texts: list[str] | None, key: str) -> str:
    """What is said of a bar: its own text, ``key`` of the trace, then its length."""
    said = f"%{{{key}}}<br>" if texts else ""
    return f"{said}{axis_said(axis, name)}<extra></extra>"


def axis_said(axis: Axis, name: str) -> str:
    """The label of an axis with a point's number on it; ``name`` is ``x`` or ``y``."""
    label_ = hovered(one_line(axis.label)) if axis.label else name
    return f"{label_}: %{{{name}}}"
