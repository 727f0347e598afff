"""What limits a result of replicates, in sentences: for pages, reports and figures alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from trialbook.analysis.estimates import Estimate, Floats, estimate

if TYPE_CHECKING:
    from trialbook.analysis.replication import ReplicatedConfiguration


def replication_notes(
    configurations: Sequence[ReplicatedConfiguration], objectives: Sequence[str]
) -> Iterator[str]:
    """What a reader must know to judge replicates, one sentence each.

    Args:
        configurations: What was replicated.
        objectives: What the objectives are called.
    """
    for one in configurations:
        runs = one.runs
        if one.unchanged == "runs":
            yield (
                f"The seeds changed nothing: all {one.estimates[0].count} replicates of {one.name} "
                "are bit-identical, metrics too. The objective sets its own seed or is "
                "deterministic, so their spread says nothing about the noise of training."
            )
        elif one.unchanged == "values":
            yield (
                f"All {one.estimates[0].count} replicates of {one.name} came to the same value, "
                "though their metrics differ."
            )
        if runs.failed:
            yield (
                f"{runs.failed} of {len(runs)} replicates of {one.name} did not complete and are "
                "in no mean."
            )
        if runs.unfinished:
            yield f"{runs.unfinished} of {len(runs)} replicates of {one.name} are still to run."
        if runs.strayed:
            yield (
                f"{runs.strayed} of {len(runs)} replicates of {one.name} asked for other params "
                "than its trial did: what a param decides depends on the seed."
            )
        for objective, found in enumerate(one.estimates):
            of = f" in {objectives[objective]}" if len(objectives) > 1 else ""
            yield from _beyond(f"{one.name}{of}", runs.values[runs.complete, objective], found)
        yield from (f"{one.name}: {remark}." for remark in runs.configuration.remarks)


def _beyond(name: str, values: Floats, found: Estimate) -> Iterator[str]:
    """That an interval leaves where all values lie: a share cannot be above 1, nor a loss below 0.

    Whether the metric has such bounds is not recorded, so the sentence says what it depends on. A
    bootstrap interval lies between the least and the greatest value.
    """
    interval = found.interval
    if interval is None or not found.count:
        return
    if found.lowest >= 0 and found.highest <= 1 and (interval.low < 0 or interval.high > 1):
        where = "between 0 and 1"
    elif found.lowest >= 0 and interval.low < 0:
        where = "at 0 or above"
    else:
        return
    other = estimate(values, method="bootstrap", level=interval.level).interval
    text = (
        f"All values of {name} lie {where}, and the interval of their mean goes beyond: "
        f"{interval.method} takes it as normal. Where the metric cannot go there either, "
    )
    yield text + (
        "the interval is too wide at that end: replicate under more seeds."
        if other is None
        else f"report the bootstrap's, {other.low:.4g} to {other.high:.4g} "
        f"({100 * other.level:g} %, {other.method})."
    )
