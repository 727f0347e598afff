"""Replicates of chosen configurations: each value, their mean, and what the search had."""

from __future__ import annotations

import numpy as np

from trialbook.analysis.estimates import Interval
from trialbook.analysis.replicated_runs import Floats, Ints
from trialbook.analysis.replication import ReplicatedConfiguration, Replication, replications
from trialbook.analysis.replication_tables import gap_text, interval_text, run_table
from trialbook.errors import NotApplicableError
from trialbook.records.shell_words import arguments
from trialbook.report.charts import Axis, Chart, Curves, Intervals, Mark, Panel, Points, Role
from trialbook.report.figures.kinds import FigureSource
from trialbook.report.figures.wording import objective_label
from trialbook.report.wording import counted

_ASIDE = 0.28
"""How far below the values of a configuration its mean is drawn, in rows; the search's above."""
_APART = 0.07


def replicates(source: FigureSource) -> Chart:
    """A row a configuration: every replicate, their mean, and what the search had."""
    search, objective = source.search, source.objective
    found = replications(source.reader, search.study)
    if not found:
        name = "STUDY" if source.options.anonymous else search.study.name
        trial = "best" if search.objectives == 1 else "NUMBER"  # no trial of several is the best
        raise NotApplicableError(
            "there are no replicates",
            hint=f"run: trialbook replicate --seeds 10 {arguments(f'{name}/{trial}')}",
        )
    label = objective_label(search, objective)
    panels = tuple(
        (_panel(one, objective, label, title=one.study if len(found) > 1 else ""),) for one in found
    )
    rows = sum(len(one.configurations) for one in found)
    return Chart(
        kind="replicates",
        title="Replicates under fresh seeds",
        panels=panels,
        table=run_table(*found),
        caption=" ".join(_caption(one, objective) for one in found),
        notes=tuple(note for one in found for note in one.notes),
        trials=_trials(found) if found[0].link.uid == search.study.uid else (),
        also=tuple(one.study for one in found if one.study != search.study.name),
        height=max(0.6, 0.25 + 0.2 * rows / len(found)),
    )


def _panel(replication: Replication, objective: int, label: str, title: str) -> Panel:
    configurations = replication.configurations
    some = any(one.estimates[objective].count for one in configurations)
    # The chosen configuration is at the top.
    ticks = tuple((float(-row), one.name) for row, one in enumerate(configurations))
    return Panel(
        Axis(label),
        Axis(ticks=ticks, limits=(0.5 - len(configurations), 0.5)),
        tuple(_marks(replication, objective)) if some else (),
        title=title,
        empty="" if some else "no replicate is complete",
    )


def _marks(replication: Replication, objective: int) -> list[Mark]:
    configurations = replication.configurations
    values = [one.runs.values[:, objective] for one in configurations]
    rows = [_height(row, one.runs.indices) for row, one in enumerate(configurations)]
    marks: list[Mark] = []
    if len(configurations) > 1:
        marks.append(_pairs(configurations, objective))
    texts = tuple(
        f"{trial.reference}, seed {seed}"
        for one in configurations
        for trial, seed in zip(one.runs.trials, one.runs.seeds, strict=True)
    )
    marks.append(
        Points(
            np.concatenate(values), np.concatenate(rows), Role.COMPLETE, "replicate", texts=texts
        )
    )
    marks += _means(configurations, objective)
    searched = [
        (gap.search, _ASIDE - row)
        for row, one in enumerate(configurations)
        if (gap := one.gaps[objective]) is not None
    ]
    if searched:
        x, y = np.array(searched).T
        marks.append(Points(x, y, Role.BEST, "search", size=1.6))
    return marks


def _height(row: int, indices: Ints) -> Floats:
    """Where replicates are drawn: a little apart, so that equal values are seen to be several."""
    heights: Floats = np.asarray((indices % 3 - 1) * _APART - row, np.float64)
    return heights


def _means(configurations: tuple[ReplicatedConfiguration, ...], objective: int) -> list[Mark]:
    """The means, with intervals where there are any."""
    with_interval: list[tuple[float, float, float, float]] = []
    method: Interval | None = None
    alone = []
    for row, one in enumerate(configurations):
        found = one.estimates[objective]
        y = -row - _ASIDE
        if found.interval is not None:
            method = found.interval
            with_interval.append((found.mean, y, found.interval.low, found.interval.high))
        elif found.count:
            alone.append((found.mean, y))
    marks: list[Mark] = []
    if method is not None:
        x, y, low, high = np.array(with_interval).T
        label = f"mean ({100 * method.level:g} % interval)"
        marks.append(Intervals(x, y, low, high, True, Role.LEADING, label))
    if alone:
        x, y = np.array(alone).T
        label = "mean" if method is None else "mean (no interval)"
        marks.append(Points(x, y, Role.LEADING, label))
    return marks


def _pairs(configurations: tuple[ReplicatedConfiguration, ...], objective: int) -> Curves:
    """A line through the replicates of each seed, from row to row."""
    seeds = dict.fromkeys(int(seed) for one in configurations for seed in one.runs.seeds)
    xs: list[float] = []
    ys: list[float] = []
    for seed in seeds:
        for row, one in enumerate(configurations):
            at = np.flatnonzero(one.runs.seeds == seed)
            if len(at) and one.runs.complete[at[0]]:
                xs.append(float(one.runs.values[at[0], objective]))
                ys.append(float(_height(row, one.runs.indices[at])[0]))
        xs.append(float("nan"))
        ys.append(float("nan"))
    return Curves(np.array(xs[:-1]), np.array(ys[:-1]), Role.FAINT, "one seed")


def _caption(replication: Replication, objective: int) -> str:
    chosen = replication.chosen
    parts = [
        f"Each configuration run again under {counted(len(chosen.runs), 'fresh seed')}: a point a "
        "replicate, below it their mean"
    ]
    interval = chosen.estimates[objective].interval
    if interval is not None:
        parts.append(f" with its interval ({interval_text(interval)})")
    parts.append(
        "; the star is the value that the search had. "
        if any(one.gaps[objective] for one in replication.configurations)
        else ". "
    )
    if len(replication.configurations) > 1:
        parts.append("Lines join replicates of one seed. ")
    gap = chosen.gaps[objective]
    if gap is not None:
        parts.append(gap_text(replication, chosen, gap, objective))
    return "".join(parts).strip()


def _trials(found: tuple[Replication, ...]) -> tuple[int, ...]:
    numbers = (one.runs.configuration.trial for each in found for one in each.configurations)
    return tuple(sorted({number for number in numbers if number is not None}))
