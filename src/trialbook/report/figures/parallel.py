"""Parallel coordinates: a line a trial through all of its params to its value.

Each param has its own scale from the bottom to the top of the panel, with the ends written at it.
A trial that has no such param goes through a place below the axis.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from trialbook.analysis.searches.axes import ParamAxis
from trialbook.analysis.searches.search import Flags, Floats
from trialbook.report.charts import (
    Axis,
    Chart,
    ColorScale,
    Curves,
    Labels,
    Line,
    Mark,
    Panel,
    Role,
    Rule,
    Scale,
)
from trialbook.report.figures.kinds import FigureSource
from trialbook.report.figures.over_params import chosen_slices, drawn_trials, judged_sentence
from trialbook.report.figures.wording import objective_label, objective_name
from trialbook.report.numbers import number_text

MOST_PARAMS = 12
_ABSENT = -0.22
"""Height of a param that a trial does not have."""
_ASIDE = 0.02
"""Room between the end of an axis and its text, for a marker there."""
_MOST_LABELS = 6
"""Choices that are all written at their axis; of more only the first and the last."""


def parallel(source: FigureSource) -> Chart:
    """Each complete trial as a line through its params and its value."""
    found, notes = chosen_slices(source, MOST_PARAMS)
    trials, search = found.judged, source.search
    # A line costs a mark at each of its axes.
    drawn, thinned = drawn_trials(source, trials, len(found.axes) + 1)
    drawn = drawn[np.argsort(-trials.losses[drawn], kind="stable")]  # the best on top
    low, high = float(trials.values.min()), float(trials.values.max())
    span = high - low
    heights = [axis.scaled[trials.indices] for axis in found.axes]
    heights.append((trials.values - low) / span if span > 0 else np.full(len(trials), 0.5))
    stacked = np.column_stack(heights)
    absent: Flags = np.asarray(np.isnan(stacked).any(axis=0))
    stacked = np.nan_to_num(stacked, nan=_ABSENT)
    name = objective_name(search, trials.objective)
    marks: list[Mark] = [
        _curves(stacked[drawn], trials.values[drawn]),
        *(Rule(x=float(at), style=Role.LIMIT) for at in range(len(heights))),
        Line(
            np.arange(len(heights), dtype=np.float64),
            stacked[trials.best],
            Role.BEST,
            f"best (trial {trials.best_number})",
            markers=True,
        ),
        *_absent(absent),
        *_ends([*(_labels(axis) for axis in found.axes), _numbers(low, high)]),
    ]
    panel = Panel(
        Axis(
            "",
            Scale.CATEGORY,
            (*(axis.name for axis in found.axes), name),
            (-0.5, len(heights) - 0.5),
        ),
        Axis("", limits=(-0.14 + (_ABSENT if absent.any() else 0.0), 1.14), ticks=()),
        tuple(marks),
        color=ColorScale(
            objective_label(search, trials.objective),
            (low, high) if span > 0 else (low, low + 1),
            reverse=not trials.maximize,
        ),
    )
    logs = [axis.name for axis in found.axes if axis.log]
    return Chart(
        kind="parallel",
        title="Params and value of each trial",
        panels=((panel,),),
        table=found.table(),
        caption=(
            f"Each line is a trial, from param to param to its value, coloured by it: "
            f"{judged_sentence(trials)} Each axis goes from the lowest to the highest value that "
            f"was searched{_on_log(logs)}{_on_absent(bool(absent.any()))}. The black "
            f"line is the best, trial {trials.best_number}."
        ),
        notes=notes + thinned,
        trials=(trials.best_number,),
        height=1.4,
    )


def _curves(heights: Floats, values: Floats) -> Curves:
    """Lines through all axes, one after the other, separated by NaN."""
    lines, axes = heights.shape
    gap = np.full((lines, 1), np.nan)
    along = np.broadcast_to(np.append(np.arange(axes, dtype=np.float64), np.nan), (lines, axes + 1))
    return Curves(along.ravel(), np.hstack([heights, gap]).ravel(), Role.FAINT, colors=values)


def _labels(axis: ParamAxis) -> list[tuple[float, str]]:
    """Height and text of what is written at the axis of a param, the lowest first."""
    if not axis.is_categorical:
        ends = [(0.0, axis.low), (1.0, axis.high)] if not axis.single else [(0.5, axis.low)]
        return [(height, number_text(value)) for height, value in ends]
    last = len(axis.choices) - 1
    shown = range(last + 1) if last < _MOST_LABELS else (0, last)
    return [(at / last if last else 0.5, axis.choices[at]) for at in shown]


def _numbers(low: float, high: float) -> list[tuple[float, str]]:
    if low == high:
        return [(0.5, number_text(low))]
    return [(0.0, number_text(low)), (1.0, number_text(high))]


def _ends(axes: list[list[tuple[float, str]]]) -> list[Labels]:
    """The texts of all axes: the lowest below, the highest above, those between on the right."""
    sides: dict[Literal["below", "above", "right"], list[tuple[float, float, str]]] = {
        "below": [],
        "above": [],
        "right": [],
    }
    for at, labels in enumerate(axes):
        for height, text in labels:
            if height == 0:
                sides["below"].append((float(at), -_ASIDE, text))
            elif height == 1:
                sides["above"].append((float(at), 1 + _ASIDE, text))
            else:
                sides["right"].append((float(at), height, text))
    return [
        Labels(
            np.array([x for x, _, _ in places]),
            np.array([y for _, y, _ in places]),
            tuple(text for _, _, text in places),
            side,
        )
        for side, places in sides.items()
        if places
    ]


def _absent(absent: Flags) -> list[Labels]:
    places = np.flatnonzero(absent).astype(np.float64)
    if not len(places):
        return []
    return [Labels(places, np.full(len(places), _ABSENT), ("n/a",) * len(places), "below")]


def _on_absent(any_absent: bool) -> str:
    return (
        "; lines of trials that were not asked for a param pass below its axis (n/a)"
        if any_absent
        else ""
    )


def _on_log(names: list[str]) -> str:
    return f", on a log scale for {', '.join(names)}" if names else ""
