"""Charts as values: panels, axes and marks, without a drawing library.

A kind of figure (``figures/``) turns the result of an analysis into a ``Chart``; two backends draw
any chart: ``plotly_backend.py`` for pages, ``matplotlib_backend.py`` for paper. Both know all marks
that are here, and nothing of studies. Arrays have the shapes that are stated; NaN is a gap.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trialbook.analysis.columns import Table

Floats = NDArray[np.float64]


class Scale(StrEnum):
    """How an axis maps its values."""

    LINEAR = "linear"
    LOG = "log"
    CATEGORY = "category"
    """Values are indices into the axis's ``categories``."""
    TIME = "time"
    """Seconds since the epoch, labelled as dates and times in UTC."""


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis.

    Args:
        label: What it shows, with the unit in parentheses; the backends shorten long labels for
            drawing and keep the whole one where it can be hovered.
        scale: How it maps values.
        categories: Labels of a CATEGORY axis.
        limits: Lowest and highest value shown, ``None`` to fit the marks.
        integer: Whether ticks are whole numbers.
        reverse: Whether values grow to the left or downwards.
        ticks: Value and label of each tick, ``None`` to let the backend choose.
    """

    label: str = ""
    scale: Scale = Scale.LINEAR
    categories: tuple[str, ...] = ()
    limits: tuple[float, float] | None = None
    integer: bool = False
    reverse: bool = False
    ticks: tuple[tuple[float, str], ...] | None = None


class Role(StrEnum):
    """What a mark stands for; ``palette.py`` gives each a colour, marker and line style."""

    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"
    RUNNING = "running"
    WAITING = "waiting"
    INFEASIBLE = "infeasible"
    BEST = "best"
    LEADING = "leading"
    """The line of a figure that it is about, such as best so far."""
    FAINT = "faint"
    """Context behind the rest."""
    LIMIT = "limit"
    """A rule, bound or threshold."""


Style = Role | int
"""A role, or the number of a series (0, 1, ...) that is told apart by colour and marker or dash."""


@dataclass(frozen=True, slots=True, eq=False)
class ColorScale:
    """Colours for numbers (a perceptually uniform, colour-blind-safe map).

    Args:
        label: What the numbers are, with the unit.
        limits: The numbers at both ends.
        log: Whether it is logarithmic.
        reverse: Whether the brightest colour stands for the lowest number.
        integer: Whether its ticks are whole numbers.
    """

    label: str
    limits: tuple[float, float]
    log: bool = False
    reverse: bool = False
    integer: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Separate points.

    Args:
        x: Shape (n,).
        y: Shape (n,).
        style: What they stand for.
        label: In the legend; empty for none.
        colors: Shape (n,): numbers coloured by the panel's ``color``, ``None`` for the style's.
        texts: What is said of each where it can be hovered; empty, or one a point.
        size: Diameter relative to the usual one.
    """

    x: Floats
    y: Floats
    style: Style = 0
    label: str = ""
    colors: Floats | None = None
    texts: tuple[str, ...] = ()
    size: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A line; NaN breaks it.

    Args:
        x: Shape (n,).
        y: Shape (n,).
        style: What it stands for.
        label: In the legend; empty for none.
        step: Whether it keeps each value until the next one, instead of joining them.
        markers: Whether its points are marked too.
        texts: What is said of each point where it can be hovered; empty, or one a point.
    """

    x: Floats
    y: Floats
    style: Style = 0
    label: str = ""
    step: bool = False
    markers: bool = False
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """Many thin lines of one style, such as the learning curves of all trials.

    Args:
        x: Shape (n,): all lines one after the other, separated by NaN.
        y: Shape (n,).
        style: What they stand for.
        label: In the legend; empty for none.
        colors: Shape (lines,): a number for each line, coloured by the panel's ``color``; ``None``
            for the style's colour.
    """

    x: Floats
    y: Floats
    style: Style = Role.FAINT
    label: str = ""
    colors: Floats | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """The area between two lines over the same x.

    Args:
        x: Shape (n,).
        low: Shape (n,).
        high: Shape (n,).
        style: What it stands for.
        label: In the legend; empty for none.
        step: As in ``Line``.
    """

    x: Floats
    low: Floats
    high: Floats
    style: Style = 0
    label: str = ""
    step: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Bars:
    """Horizontal bars on a CATEGORY y axis, one a category, from 0.

    Args:
        at: Shape (n,): index of each bar's category.
        length: Shape (n,).
        low: Shape (n,): lower end of each error bar, ``None`` without them.
        high: Shape (n,): upper end, likewise.
        style: What they stand for.
        label: In the legend; empty for none.
        texts: As in ``Points``.
    """

    at: Floats
    length: Floats
    low: Floats | None = None
    high: Floats | None = None
    style: Style = 0
    label: str = ""
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """Horizontal bars from a start to an end, as in a timeline.

    Args:
        start: Shape (n,).
        end: Shape (n,).
        row: Shape (n,): index of each span's category on the y axis.
        style: What they stand for.
        label: In the legend; empty for none.
        texts: As in ``Points``.
    """

    start: Floats
    end: Floats
    row: Floats
    style: Style = 0
    label: str = ""
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Intervals:
    """Points with error bars.

    Args:
        x: Shape (n,).
        y: Shape (n,).
        low: Shape (n,): lower end.
        high: Shape (n,): upper end.
        horizontal: Whether ``low`` and ``high`` are on the x axis.
        style: What they stand for.
        label: In the legend; empty for none.
        texts: As in ``Points``.
    """

    x: Floats
    y: Floats
    low: Floats
    high: Floats
    horizontal: bool = False
    style: Style = 0
    label: str = ""
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """A grid of coloured cells: a heat map, or the area of a contour plot.

    Args:
        x_edges: Shape (columns + 1,), growing.
        y_edges: Shape (rows + 1,), growing.
        values: Shape (rows, columns): coloured by the panel's ``color``; NaN stays empty.
        contours: Whether to draw smooth filled contours of the cells' centres instead of cells.
    """

    x_edges: Floats
    y_edges: Floats
    values: Floats
    contours: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """A straight line across the panel.

    Args:
        x: Where it crosses the x axis, ``None`` when it is horizontal.
        y: Where it crosses the y axis, ``None`` when it is vertical.
        style: What it stands for.
        label: In the legend; empty for none.
    """

    x: float | None = None
    y: float | None = None
    style: Style = Role.LIMIT
    label: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """Short texts at places of the panel, such as the ends of an axis of parallel coordinates.

    Args:
        x: Shape (n,).
        y: Shape (n,).
        texts: One a place; long ones are shortened.
        side: Where a text lies as seen from its place; it is centred on the other axis.
    """

    x: Floats
    y: Floats
    texts: tuple[str, ...]
    side: Literal["above", "below", "left", "right"] = "above"


Mark = Points | Line | Curves | Band | Bars | Spans | Intervals | Cells | Rule | Labels


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """One pair of axes with its marks, drawn in their order.

    Args:
        x: The x axis.
        y: The y axis.
        marks: What is drawn.
        title: Above the panel; empty for none.
        color: How numbers become colours, ``None`` when no mark has ``colors``.
        empty: What to say in the panel's middle when there is nothing to draw.
    """

    x: Axis
    y: Axis
    marks: tuple[Mark, ...] = ()
    title: str = ""
    color: ColorScale | None = None
    empty: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Chart:
    """A figure.

    Args:
        kind: Its kind, see ``figures/kinds.py``.
        title: One line; a paper's figure leaves it to the caption.
        panels: Rows of panels from the top; ``None`` leaves a place empty.
        table: What it shows, in numbers.
        caption: What is seen, in one to three sentences, with what the reader needs to judge it:
            counts, method, bands. A writer puts it below the figure.
        notes: What was left out, sampled or binned to draw it; empty when everything is there.
        trials: Numbers of the trials that it singles out.
        also: Names of the studies that it shows beside the one it is a figure of.
        share_x: Whether the panels of a column have one x axis.
        share_y: Whether the panels of a row have one y axis.
        height: Relative to the usual height of one row.
        row_heights: The same of each row by itself, from the top; empty for ``height`` in all.
    """

    kind: str
    title: str
    panels: tuple[tuple[Panel | None, ...], ...]
    table: Table
    caption: str = ""
    notes: tuple[str, ...] = ()
    trials: tuple[int, ...] = ()
    also: tuple[str, ...] = ()
    share_x: bool = False
    share_y: bool = False
    height: float = 1.0
    row_heights: tuple[float, ...] = ()

    @property
    def heights(self) -> tuple[float, ...]:
        """Of each row, relative to the usual height of one."""
        return self.row_heights or (self.height,) * max(len(self.panels), 1)
