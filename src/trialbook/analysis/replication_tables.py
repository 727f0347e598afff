"""Replicates as tables and sentences: for pages, reports and figures alike."""

from __future__ import annotations

import math

from trialbook.analysis.columns import Cell, Column, Holds, Table, number_cell
from trialbook.analysis.estimates import Interval, ends_of
from trialbook.analysis.replication import (
    ConfigurationComparison,
    Gap,
    ReplicatedConfiguration,
    Replication,
)


def summary_table(replication: Replication) -> Table:
    """One row a configuration and objective: count, mean, spread, interval, gap."""
    columns = (
        Column("configuration"),
        Column("objective"),
        Column("n", Holds.INTEGER),
        Column("failed", Holds.INTEGER),
        Column("to run", Holds.INTEGER),
        Column("mean", Holds.NUMBER),
        Column("sd", Holds.NUMBER),
        Column("min", Holds.NUMBER),
        Column("max", Holds.NUMBER),
        Column("low", Holds.NUMBER),
        Column("high", Holds.NUMBER),
        Column("interval"),
        Column("search", Holds.NUMBER),
        Column("gap", Holds.NUMBER),
        Column("gap low", Holds.NUMBER),
        Column("gap high", Holds.NUMBER),
    )
    rows: list[tuple[Cell, ...]] = []
    for one in replication.configurations:
        for objective, found in enumerate(one.estimates):
            gap = one.gaps[objective]
            rows.append(
                (
                    one.name,
                    replication.objectives[objective],
                    found.count,
                    one.runs.failed,
                    one.runs.unfinished,
                    number_cell(found.mean),
                    number_cell(found.deviation),
                    number_cell(found.lowest),
                    number_cell(found.highest),
                    *ends_of(found.interval),
                    found.lacking if found.interval is None else interval_text(found.interval),
                    None if gap is None else gap.search,
                    None if gap is None else gap.gap,
                    *ends_of(None if gap is None else gap.interval),
                )
            )
    return Table(columns, tuple(rows))


def comparison_table(replication: Replication) -> Table:
    """One row a comparison: by how much the chosen configuration is better."""
    columns = (
        Column("configuration"),
        Column("against"),
        Column("objective"),
        Column("n", Holds.INTEGER),
        Column("paired"),
        Column("better by", Holds.NUMBER),
        Column("low", Holds.NUMBER),
        Column("high", Holds.NUMBER),
        Column("interval"),
        Column("p", Holds.NUMBER),
        Column("test"),
        Column("remark"),
    )
    return Table(
        columns,
        tuple(
            (
                one.first,
                one.second,
                replication.objectives[one.objective],
                one.difference.count,
                one.difference.paired,
                number_cell(one.difference.mean),
                *ends_of(one.difference.interval),
                None if one.difference.interval is None else interval_text(one.difference.interval),
                one.difference.p_value,
                one.difference.test,
                one.difference.remark,
            )
            for one in replication.comparisons
        ),
    )


def run_table(*replications: Replication) -> Table:
    """One row a replicate: its seed, its trial and what it came to.

    Args:
        replications: One or more of one study.
    """
    columns = (
        Column("configuration"),
        Column("seed number", Holds.INTEGER),
        Column("seed", Holds.EXACT),
        Column("trial"),
        Column("state"),
        *(Column(name, Holds.NUMBER) for name in replications[0].objectives),
    )
    return Table(
        columns,
        tuple(
            (
                one.name,
                int(one.runs.indices[at]),
                int(one.runs.seeds[at]),
                trial.reference,
                str(one.runs.states[at]),
                *(number_cell(float(value)) for value in one.runs.values[at]),
            )
            for replication in replications
            for one in replication.configurations
            for at, trial in enumerate(one.runs.trials)
        ),
    )


def metric_table(replication: Replication) -> Table:
    """One row a configuration and metric: the last value of each replicate."""
    columns = (
        Column("configuration"),
        Column("metric"),
        Column("n", Holds.INTEGER),
        Column("mean", Holds.NUMBER),
        Column("sd", Holds.NUMBER),
        Column("low", Holds.NUMBER),
        Column("high", Holds.NUMBER),
        Column("interval"),
    )
    return Table(
        columns,
        tuple(
            (
                one.name,
                metric.metric,
                metric.estimate.count,
                number_cell(metric.estimate.mean),
                number_cell(metric.estimate.deviation),
                *ends_of(metric.estimate.interval),
                metric.estimate.lacking
                if metric.estimate.interval is None
                else interval_text(metric.estimate.interval),
            )
            for one in replication.configurations
            for metric in one.metrics
        ),
    )


def interval_text(interval: Interval) -> str:
    """The level and the method: ``95 %, Student's t``."""
    return f"{100 * interval.level:g} %, {interval.method}"


def gap_text(
    replication: Replication, one: ReplicatedConfiguration, gap: Gap, objective: int = 0
) -> str:
    """The winner's curse of one of its configurations in words, one or two sentences."""
    found = one.estimates[objective]
    runs = "replicate" if found.count == 1 else "replicates"
    where = _in(replication, objective)
    way = "better" if gap.gap > 0 else "worse" if gap.gap < 0 else None
    if way is None:
        return (
            f"The search's value of {one.name}{where} equals the mean of its {found.count} {runs}."
        )
    text = (
        f"The search's value of {one.name}{where}, {gap.search:.4g}, is {abs(gap.gap):.4g} {way} "
        f"than the mean of its {found.count} {runs}, {found.mean:.4g}, and better than "
        f"{gap.below} of them"
    )
    if gap.interval is None:
        return f"{text}; there is no interval: {found.lacking}."
    ends = f"{gap.interval.low:.4g} to {gap.interval.high:.4g} ({interval_text(gap.interval)})"
    text = f"{text}; interval of the gap: {ends}."
    if gap.interval.holds_zero:
        return f"{text} It holds 0, so the replicates do not settle how large the gap is."
    if gap.gap > 0:
        return f"{text} The search's value is optimistic: report the replicated mean."
    return text


def comparison_text(replication: Replication, one: ConfigurationComparison) -> str:
    """Whether the chosen configuration is better than another one, in words."""
    found = one.difference
    if math.isnan(found.mean):
        return f"{one.first} and {one.second} cannot be compared: {found.remark}."
    way = "better" if found.mean >= 0 else "worse"
    how = f"{found.count} pairs of one seed" if found.paired else "unpaired"
    where = _in(replication, one.objective)
    text = f"{one.first} is {abs(found.mean):.4g} {way} than {one.second}{where} on average ({how}"
    if found.interval is not None:
        ends = f"{found.interval.low:.4g} to {found.interval.high:.4g}"
        text += f"; {100 * found.interval.level:g} % interval {ends}, {found.interval.method}"
    if found.p_value is not None:
        text += f"; p = {found.p_value:.3g}, {found.test.partition(';')[0]}"
    return f"{text}).{f' Note: {found.remark}.' if found.remark else ''}"


def _in(replication: Replication, objective: int) -> str:
    """In which objective, where there are several."""
    names = replication.objectives
    return f" in {names[objective]}" if len(names) > 1 else ""
