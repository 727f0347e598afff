"""Parallel coordinates: a line a trial through all of its params to its value.

Each param has its own scale from the bottom to the top of the panel, with the ends written at it.
A line ends where a trial has no such param.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from trialbook.analysis.search.axes import ParamAxis
from trialbook.analysis.search.search import Floats
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
_MARGIN = 0.05
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
        *_ends([*(_labels(axis) for axis in found.axes), _numbers(low, high)]),
    ]
    panel = Panel(
        Axis(
            "",
            Scale.CATEGORY,
            (*(axis.name for axis in found.axes), name),
            (-0.5, len(heights) - 0.5),
        ),
        Axis("", limits=(-0.12, 1.12), ticks=()),
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
            f"was searched{_on_log(logs)}; a line has a gap where the trial has no such param. The "
            f"black line is the best, trial {trials.best_number}."
        ),
        notes=notes + thinned,
        trials=(trials.best_number,),
        height=1.4,
    )


def _curves(heights: Floats, values: Floats) -> Curves:
    """Lines through all axes, one after the other, separated by NaN.

    A trial that lacks a param would be cut in two lines there, of which each needs its colour; a
    lone point between two gaps has nothing to be joined to, and shows nowhere.
    """
    x: list[float] = []
    y: list[float] = []
    colors: list[float] = []
    for line, value in zip(heights.tolist(), values.tolist(), strict=True):
        runs = _runs(line)
        for start, end in runs:
            x += [*range(start, end), np.nan]
            y += [*line[start:end], np.nan]
            colors.append(value)
    return Curves(np.array(x), np.array(y), Role.FAINT, colors=np.array(colors))


def _runs(line: list[float]) -> list[tuple[int, int]]:
    """Stretches of at least two axes without a gap."""
    runs, start = [], 0
    for at, height in enumerate([*line, np.nan]):
        if height != height:
            if at - start > 1:
                runs.append((start, at))
            start = at + 1
    return runs


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
            side: Literal["below", "above", "right"] = (
                "below" if height == 0 else "above" if height == 1 else "right"
            )
            sides[side].append((float(at), height, text))
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


def _on_log(names: list[str]) -> str:
    return f", on a log scale for {', '.join(names)}" if names else ""
