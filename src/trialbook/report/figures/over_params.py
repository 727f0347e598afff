"""What figures over the search space share: axes of params, the choice of params, what is left out.

No kind of figure lives here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from trialbook.analysis.searches.axes import ParamAxis
from trialbook.analysis.searches.importance import leading
from trialbook.analysis.searches.judged import Judged
from trialbook.analysis.searches.search import Ints, Search
from trialbook.analysis.searches.slices import Slices, slices
from trialbook.report.charts import Axis, ColorScale, Floats, Panel, Points, Role, Scale
from trialbook.report.figures.kinds import FigureSource
from trialbook.report.figures.thinning import chosen
from trialbook.report.wording import counted

_ROOM = 0.05
"""Room beyond both ends of a range, as a share of it."""
_FEW_LEVELS = 20
_MOST_CHOICES = 200
"""More choices than this are numbered: so many labels cannot be read."""

_T = TypeVar("_T")


def axis_of(param: ParamAxis) -> Axis:
    """The axis of a param over its whole range, with its scale."""
    if param.is_categorical:
        labels = param.choices
        if len(labels) > _MOST_CHOICES:
            labels = tuple(f"choice {index}" for index in range(len(labels)))
        return Axis(param.name, Scale.CATEGORY, labels, (-0.5, len(labels) - 0.5))
    low, high = param.unscaled(np.array([-_ROOM, 1 + _ROOM])).tolist()
    levels = param.levels(_FEW_LEVELS)
    if levels is not None and param.step is not None and low > param.low - param.step / 2:
        low, high = param.low - param.step / 2, param.high + param.step / 2
    return Axis(
        param.name,
        Scale.LOG if param.log else Scale.LINEAR,
        limits=None if param.single else (low, high),
        integer=param.integer,
    )


def chosen_slices(source: FigureSource, most: int) -> tuple[Slices, tuple[str, ...]]:
    """The trials over the params that a figure shows, and notes on what it does not show.

    Args:
        source: What the figure is made from.
        most: How many params it has room for. Params that the caller names are all taken.

    Raises:
        NotApplicableError: No trial counts, or none of them has a param.
        NotFoundError: The caller names a param that no trial has.
    """
    search, options = source.search, source.options
    found = slices(search, source.objective, options.params)
    notes = _other_best(search, found.judged)
    if options.params or len(found.axes) <= most:
        return found, notes
    names, how = leading(search, source.objective, most)
    left = [axis.name for axis in found.axes if axis.name not in names]
    note = (
        f"{len(names)} of {len(found.axes)} params are shown, {how}; left out: "
        + ", ".join(left[:10])
        + (f" and {len(left) - 10} more" if len(left) > 10 else "")
    )
    return slices(search, source.objective, names), (*notes, note)


def _other_best(search: Search, trials: Judged) -> tuple[str, ...]:
    """A note when the study's best trial is another one, because its value is infinite."""
    if search.best is None or search.best == trials.best_index:
        return ()
    return (
        f"the study's best trial, {search.numbers[search.best]}, has the value "
        f"{search.values[search.best, 0]:g}, which has no place here; the best of the others is "
        "marked",
    )


def rows_of(items: Sequence[_T], columns: int) -> tuple[tuple[_T | None, ...], ...]:
    """Items in rows of so many; the last row is filled up with ``None``."""
    width = min(columns, len(items))
    filled = [*items, *[None] * (-len(items) % width)]
    return tuple(tuple(filled[at : at + width]) for at in range(0, len(filled), width))


def judged_sentence(trials: Judged) -> str:
    """How many trials a figure shows and which it leaves out, as a sentence."""
    said = counted(len(trials), "complete trial")
    return said + (f" (left out: {trials.left_out_text})." if trials.left_out else ".")


def trial_texts(trials: Judged, members: Ints) -> tuple[str, ...]:
    """What is said of each of these trials where it can be hovered."""
    numbers, found = trials.numbers[members].tolist(), trials.values[members].tolist()
    return tuple(
        f"trial {number}: {value:.6g}" for number, value in zip(numbers, found, strict=True)
    )


def best_point(x: Floats, y: Floats, trials: Judged) -> Points:
    """The mark of the best trial.

    Args:
        x: Shape (n,), one for each trial that counts.
        y: Shape (n,), likewise.
        trials: The trials.
    """
    at = np.array([trials.best])
    label = f"best (trial {trials.best_number})"
    return Points(x[at], y[at], Role.BEST, label, texts=trial_texts(trials, at), size=1.6)


def empty_panel(x: ParamAxis, y: ParamAxis, color: ColorScale) -> Panel:
    """The panel of two params that no trial has together, with the colour scale of the others."""
    return Panel(axis_of(x), axis_of(y), color=color, empty="no complete trial has both")


def drawn_trials(source: FigureSource, trials: Judged, panels: int) -> tuple[Ints, tuple[str, ...]]:
    """Which trials are drawn in each of so many panels, and a note when not all are."""
    limit = max(1, source.options.marks // max(1, panels))
    drawn = chosen(len(trials), limit, keep=np.array([trials.best]), seed=source.options.seed)
    if len(drawn) == len(trials):
        return drawn, ()
    return drawn, (
        f"{len(drawn)} of {len(trials)} trials are drawn, chosen at random (seed "
        f"{source.options.seed}), the best among them",
    )


def triangle(
    axes: Sequence[ParamAxis], panel: Callable[[ParamAxis, ParamAxis], Panel]
) -> tuple[tuple[Panel | None, ...], ...]:
    """A panel for each pair of params: rows by the second, columns by the first.

    Args:
        axes: At least two.
        panel: Makes the panel with the first along x, the second along y.
    """
    return tuple(
        tuple(
            panel(axes[column], axes[row]) if column < row else None
            for column in range(len(axes) - 1)
        )
        for row in range(1, len(axes))
    )


def spread(positions: Floats, param: ParamAxis, seed: int) -> Floats:
    """Positions for drawing: those of a categorical moved aside a little, so that points show."""
    if not param.is_categorical or len(positions) < 3:
        return positions
    return positions + np.random.default_rng(seed).uniform(-0.2, 0.2, len(positions))
