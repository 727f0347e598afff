"""A panel's axes on paper: scales, limits, ticks and their labels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from matplotlib import dates, ticker
from matplotlib.axes import Axes
from matplotlib.axis import Axis as DrawnAxis
from matplotlib.axis import YAxis

from trialbook.report.charts import Axis, Floats, Panel, Scale
from trialbook.report.geometry import finite, is_bare
from trialbook.report.labels import cells_of, distinct, shortened, wrapped
from trialbook.report.log_ticks import log_ticks
from trialbook.report.paper.settings import LABEL_PT, SMALL_PT, TICK_PT

_DAY_S = 86400.0
LETTER = 0.56
"""Width of a letter relative to the size of its font."""
_NARROW_IN = 2.2


@dataclass(frozen=True, slots=True)
class Room:
    """How much room a panel has.

    Args:
        width_in: Of the panel with its labels.
        height_in: The same.
    """

    width_in: float
    height_in: float

    @property
    def scale(self) -> float:
        """Size of marks relative to the usual one."""
        return min(max(math.sqrt(self.width_in / 3.0), 0.7), 1.0)

    def letters(self, length_in: float, size_pt: float = LABEL_PT) -> int:
        """How many letters of a font fit into a length."""
        return max(int(length_in * 72 / (size_pt * LETTER)), 6)


def drawn(values: Floats, axis: Axis) -> Floats:
    """The numbers as matplotlib takes them on this axis; infinities become gaps."""
    found = finite(values)
    return found / _DAY_S if axis.scale is Scale.TIME else found


def set_scales(axes: Axes, panel: Panel) -> None:
    """Give the axes their scales, before anything is drawn."""
    if panel.x.scale is Scale.LOG:
        axes.set_xscale("log", nonpositive="mask")
    if panel.y.scale is Scale.LOG:
        axes.set_yscale("log", nonpositive="mask")


def include(axes: Axes, x: Floats, y: Floats) -> None:
    """Let the axes reach these points; collections are slow at it by themselves."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    log_x, log_y = axes.get_xscale() == "log", axes.get_yscale() == "log"
    good = np.isfinite(x) & np.isfinite(y) & ((x > 0) | (not log_x)) & ((y > 0) | (not log_y))
    if good.any():
        points = np.column_stack([x[good], y[good]])
        axes.update_datalim(np.stack([points.min(axis=0), points.max(axis=0)]))
        axes.autoscale_view()


def finish_axes(
    axes: Axes, panel: Panel, room: Room, x_label: str | None, y_label: str | None
) -> None:
    """Set limits, ticks and labels, after everything is drawn.

    Args:
        axes: The axes.
        panel: What they show.
        room: How much room they have.
        x_label: Label of the x axis, ``None`` when it shares that of the panel below.
        y_label: Label of the y axis, ``None`` when it shares that of the panel on the left.
    """
    _limit(axes, panel)
    _ticks(axes.xaxis, panel.x, room, room.width_in - 0.45)
    _ticks(axes.yaxis, panel.y, room, room.height_in - 0.35)
    if panel.x.scale is Scale.CATEGORY:
        _turn(axes, room)
    if is_bare(panel):
        _blank(axes, panel)
    if panel.title:
        axes.set_title(wrapped(panel.title, room.letters(room.width_in - 0.2)), parse_math=False)
    if x_label and panel.x.scale is Scale.TIME:
        x_label += _time_form(axes.xaxis)[1]
    axes.set_xlabel(x_label or "", parse_math=False)
    axes.set_ylabel(y_label or "", parse_math=False)
    axes.tick_params(labelbottom=x_label is not None, labelleft=y_label is not None)


def _blank(axes: Axes, panel: Panel) -> None:
    """Take ticks away that nothing has decided on, unless the axis is shared."""
    for axis, which, shared in (
        (panel.x, axes.xaxis, axes.get_shared_x_axes()),
        (panel.y, axes.yaxis, axes.get_shared_y_axes()),
    ):
        decided = axis.limits is not None or axis.categories or axis.ticks
        if not decided and len(shared.get_siblings(axes)) == 1:
            which.set_ticks([])
            which.set_minor_locator(ticker.NullLocator())


def _limit(axes: Axes, panel: Panel) -> None:
    for axis, get, put in (
        (panel.x, axes.get_xlim, axes.set_xlim),
        (panel.y, axes.get_ylim, axes.set_ylim),
    ):
        low, high = get()
        if axis.limits is not None:
            low, high = drawn(np.array(axis.limits), axis)
        elif axis.scale is Scale.CATEGORY and axis.categories:
            low, high = -0.6, len(axis.categories) - 0.4
        if low == high:
            low, high = (low / 2, high * 2) if axis.scale is Scale.LOG else (low - 0.5, high + 0.5)
        if axis.reverse and low < high:
            low, high = high, low
        put(low, high)


def _ticks(which: DrawnAxis, axis: Axis, room: Room, length_in: float) -> None:
    vertical = isinstance(which, YAxis)
    size = TICK_PT if room.width_in > 1.2 else SMALL_PT
    # A label above another needs less room than one beside another.
    count = max(int(length_in / (0.28 if vertical else 0.42)), 2)
    which.set_tick_params(labelsize=size)
    if axis.ticks is not None:
        chosen = axis.ticks[:: _stride(len(axis.ticks), count * 2)]
        places = drawn(np.array([value for value, _ in chosen]), axis)
        labels = [shortened(label, 24) for _, label in chosen]
        which.set_ticks(places.tolist(), labels, parse_math=False)
        which.set_minor_locator(ticker.NullLocator())
    elif axis.scale is Scale.CATEGORY:
        _categories(which, axis, room, length_in)
    elif axis.scale is Scale.LOG:
        mark_log_ticks(which, length_in, size)
    elif axis.scale is Scale.TIME:
        form, _ = _time_form(which)
        most = max(int(length_in / (0.7 if form.endswith("%f") else 0.55)), 2)
        locator = dates.AutoDateLocator(tz="UTC", minticks=2, maxticks=most)  # type: ignore[no-untyped-call]
        which.set_major_locator(locator)
        which.set_major_formatter(_time_labels(form))
    else:
        which.set_major_locator(
            ticker.MaxNLocator(
                nbins=min(count, 8),
                integer=axis.integer,
                steps=[1, 2, 5, 10] if axis.integer else [1, 2, 2.5, 5, 10],
                min_n_ticks=1 if axis.integer and not _holds_two(which) else 2,
            )
        )


def mark_log_ticks(which: DrawnAxis, length_in: float, size_pt: float) -> None:
    """Set the ticks of a LOG axis whose limits are final."""
    low, high = sorted(which.get_view_interval())
    letter_in = size_pt * LETTER / 72
    if isinstance(which, YAxis):
        found = log_ticks(low, high, length_in, lambda _: 2 * size_pt / 72)
    else:
        found = log_ticks(low, high, length_in, lambda text: (cells_of(text) + 1.5) * letter_in)
    which.set_major_locator(ticker.FixedLocator([value for value, _ in found.labelled]))
    which.set_major_formatter(ticker.FixedFormatter([label for _, label in found.labelled]))
    which.set_minor_locator(ticker.FixedLocator(list(found.marks)))
    which.set_minor_formatter(ticker.NullFormatter())


def _holds_two(which: DrawnAxis) -> bool:
    """Whether two whole numbers are in view: of one, matplotlib would mark fractions too."""
    low, high = sorted(which.get_view_interval())
    return math.floor(high) - math.ceil(low) >= 1


def _time_labels(form: str) -> ticker.Formatter:
    """Labels of times in UTC; of fractions of a second one digit."""
    surplus = 5 if form.endswith("%f") else 0

    def label(at: float, _place: int | None = None) -> str:
        text = f"{dates.num2date(at, tz='UTC'):{form}}"  # type: ignore[no-untyped-call]
        return text[: len(text) - surplus]

    return ticker.FuncFormatter(label)


def _time_form(which: DrawnAxis) -> tuple[str, str]:
    """The form of a TIME axis's ticks, and what its label must say besides."""
    low, high = sorted(which.get_view_interval())
    first = dates.num2date((low + high) / 2, tz="UTC")  # type: ignore[no-untyped-call]
    days = high - low
    if days < 2:
        form = "%H:%M:%S" if days < 10 / 1440 else "%H:%M"
        form += ".%f" if days * _DAY_S < 5 else ""
        return form, f", {first:%Y-%m-%d}"
    return ("%m-%d", f", {first:%Y}") if days < 300 else ("%Y-%m", "")


def _categories(which: DrawnAxis, axis: Axis, room: Room, length_in: float) -> None:
    vertical = isinstance(which, YAxis)
    share = 0.45 if vertical else 0.9
    narrow = 12 if room.width_in < _NARROW_IN else 18
    limit = min(room.letters(room.width_in * share, TICK_PT), 40) if vertical else narrow
    labels = distinct(axis.categories, limit)
    stride = _stride(len(labels), max(int(length_in / 0.13), 1))
    which.set_ticks(list(range(0, len(labels), stride)), list(labels[::stride]), parse_math=False)
    which.set_minor_locator(ticker.NullLocator())
    which.grid(visible=False)


def _turn(axes: Axes, room: Room) -> None:
    """Turn the labels of categories on the x axis where they would run into each other."""
    labels = axes.get_xticklabels()
    if not labels:
        return
    each = (room.width_in - 0.5) / len(labels) / (TICK_PT * LETTER / 72)
    widths = [cells_of(label.get_text()) for label in labels]
    if all((one + other) / 2 + 1 <= each for one, other in pairwise(widths)):
        return
    # Slanted labels reach to the left, out of a narrow panel.
    upright = room.width_in < _NARROW_IN
    axes.tick_params(axis="x", labelrotation=90 if upright else 40)
    for label in labels:
        label.set_horizontalalignment("center" if upright else "right")
        label.set_rotation_mode("default" if upright else "anchor")


def _stride(count: int, room: int) -> int:
    return max(math.ceil(count / max(room, 1)), 1)
