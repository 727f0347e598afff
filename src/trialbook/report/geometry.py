"""What both backends must know of a panel's numbers: extents, outlines, colours of curves.

Nothing is drawn here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from trialbook.report.charts import (
    Axis,
    Band,
    Bars,
    Cells,
    Chart,
    ColorScale,
    Curves,
    Floats,
    Intervals,
    Labels,
    Line,
    Mark,
    Panel,
    Points,
    Rule,
    Scale,
    Spans,
)


def finite(values: Floats) -> Floats:
    """The same numbers with NaN, a gap, in place of infinities, which no axis can hold."""
    found = np.asarray(values, dtype=np.float64)
    if np.isinf(found).any():
        found = np.where(np.isinf(found), np.nan, found)
    return found


def drawable(panel: Panel) -> Panel:
    """The panel with LINEAR in the place of LOG where an axis has numbers and none is positive.

    An axis with limits above 0 stays: a panel without marks may share it with one that has some.
    """
    x, y = panel.x, panel.y
    if x.scale is Scale.LOG and not _above_0(x) and _none_positive(panel, "x"):
        x = replace(x, scale=Scale.LINEAR, limits=None)
    if y.scale is Scale.LOG and not _above_0(y) and _none_positive(panel, "y"):
        y = replace(y, scale=Scale.LINEAR, limits=None)
    return panel if x is panel.x and y is panel.y else replace(panel, x=x, y=y)


def _above_0(axis: Axis) -> bool:
    return axis.limits is not None and axis.limits[0] > 0


def ends(panel: Panel, which: str) -> tuple[float, float]:
    """The least and the greatest number on the axis ``x`` or ``y``; NaN without numbers.

    Of a LOG axis only numbers above 0 count.
    """
    numbers = _numbers(panel, which)
    log = (panel.x if which == "x" else panel.y).scale is Scale.LOG
    seen = numbers[np.isfinite(numbers) & ((numbers > 0) | (not log))]
    return (float(seen.min()), float(seen.max())) if len(seen) else (np.nan, np.nan)


def _numbers(panel: Panel, which: str) -> Floats:
    found = [finite(values).ravel() for mark in panel.marks for values in _coordinates(mark, which)]
    return np.concatenate(found) if found else np.empty(0)


def _none_positive(panel: Panel, which: str) -> bool:
    numbers = _numbers(panel, which)
    return bool(np.any(numbers <= 0)) and not bool(np.any(numbers > 0))


def has_numbers(mark: Mark) -> bool:
    """Whether there is anything of a mark to draw."""
    if isinstance(mark, Rule):
        return True
    return all(
        any(bool(np.isfinite(values).any()) for values in _coordinates(mark, which))
        for which in ("x", "y")
    )


def is_bare(panel: Panel) -> bool:
    """Whether a panel shows nothing, rules aside."""
    return not any(has_numbers(mark) for mark in panel.marks if not isinstance(mark, Rule))


def _coordinates(mark: Mark, which: str) -> tuple[Floats, ...]:
    """The numbers of a mark on the axis ``x`` or ``y``."""
    horizontal = which == "x"
    match mark:
        case Points() | Line() | Curves() | Labels():
            return (mark.x if horizontal else mark.y,)
        case Band():
            return (mark.x,) if horizontal else (mark.low, mark.high)
        case Bars():
            return (mark.length,) if horizontal else (mark.at,)
        case Spans():
            return (mark.start, mark.end) if horizontal else (mark.row,)
        case Intervals():
            ends = (mark.low, mark.high) if mark.horizontal == horizontal else ()
            return (mark.x if horizontal else mark.y, *ends)
        case Cells():
            return (mark.x_edges if horizontal else mark.y_edges,)
        case Rule():
            place = mark.x if horizontal else mark.y
            return () if place is None else (np.array([place]),)
    return ()


def marks_count(mark: Mark) -> int:
    """How many points, bars or cells a mark draws."""
    match mark:
        case Cells():
            return mark.values.size
        case Rule():
            return 1
        case Bars():
            return len(mark.at)
        case Spans():
            return len(mark.start)
        case _:
            return len(mark.x)


def runs(*columns: Floats) -> Iterator[slice]:
    """The stretches where every column has a number."""
    good = np.ones(len(columns[0]), np.bool_)
    for column in columns:
        good &= np.isfinite(column)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], good, [False]]).astype(np.int8)))
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        yield slice(int(start), int(end))


def band_outline(band: Band) -> tuple[Floats, Floats]:
    """The closed outlines of a band's stretches, shape (n,) each, separated by NaN."""
    xs: list[Floats] = []
    ys: list[Floats] = []
    gap = np.array([np.nan])
    for part in runs(band.x, band.low, band.high):
        x, low, high = band.x[part], band.low[part], band.high[part]
        if band.step:
            x, low, high = np.repeat(x, 2)[1:], np.repeat(low, 2)[:-1], np.repeat(high, 2)[:-1]
        if xs:
            xs.append(gap)
            ys.append(gap)
        xs += [x, x[::-1], x[:1]]
        ys += [low, high[::-1], low[:1]]
    if not xs:
        return np.empty(0), np.empty(0)
    return np.concatenate(xs), np.concatenate(ys)


def limits_of(scale: ColorScale) -> tuple[float, float]:
    """Both ends of a colour scale, apart from each other, in the right order and drawable."""
    low, high = sorted(scale.limits)
    if not np.isfinite([low, high]).all():
        return (1.0, 10.0) if scale.log else (0.0, 1.0)
    if scale.log:
        low, high = max(low, np.finfo(float).tiny), max(high, np.finfo(float).tiny)
        return (low, high) if high > low else (low / 2, high * 2)
    if high > low:
        return low, high
    room = abs(low) * 0.05 or 0.5
    return low - room, high + room


def shades(values: Floats, scale: ColorScale) -> Floats:
    """Where numbers lie on the colour map, from 0 to 1; NaN stays."""
    low, high = limits_of(scale)
    found = finite(values)
    if scale.log:
        found = np.where(found > 0, found, np.nan)
        low, high, found = np.log10(low), np.log10(high), np.log10(found)
    place = np.clip((found - low) / (high - low), 0.0, 1.0)
    return 1.0 - place if scale.reverse else place


def curve_slices(curves: Curves) -> list[slice]:
    """Where each line of ``curves`` lies, without the NaN between them."""
    gaps = np.flatnonzero(np.isnan(curves.x) & np.isnan(curves.y))
    if not len(gaps):
        gaps = np.flatnonzero(np.isnan(curves.x))
    starts = np.concatenate([[0], gaps + 1])
    ends = np.concatenate([gaps, [len(curves.x)]])
    return [slice(int(a), int(b)) for a, b in zip(starts, ends, strict=True) if b > a]


def color_scales(chart: Chart) -> tuple[ColorScale, ...]:
    """The different colour scales of a chart's panels, in their order."""
    found: list[ColorScale] = []
    for row in chart.panels:
        for panel in row:
            if panel is None or panel.color is None:
                continue
            if not any(same_scale(panel.color, other) for other in found):
                found.append(panel.color)
    return tuple(found)


def panels_of(chart: Chart) -> list[Panel]:
    """A chart's panels, by rows."""
    return [panel for row in chart.panels for panel in row if panel is not None]


def same_scale(one: ColorScale, other: ColorScale) -> bool:
    """Whether one colour bar says it for both."""
    return (one.label, one.limits, one.log, one.reverse, one.integer) == (
        other.label,
        other.limits,
        other.log,
        other.reverse,
        other.integer,
    )
