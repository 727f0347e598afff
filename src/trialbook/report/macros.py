"""Numbers that a paper quotes by name, so that none is copied by hand."""

from __future__ import annotations

from collections.abc import Iterator

from trialbook.analysis.columns import Holds
from trialbook.analysis.estimates import Estimate
from trialbook.analysis.replication_tables import interval_text
from trialbook.records.code import CodeState
from trialbook.records.coordinates import Kind
from trialbook.report.document import Macro
from trialbook.report.macro_names import best_names, spelt
from trialbook.report.sections.configuration import plain
from trialbook.report.selected_replicates import selected_replicates
from trialbook.report.source import ReportSource, snapshot_state


def macros(source: ReportSource) -> tuple[Macro, ...]:
    """What a paper may quote; of what is not known there is no macro."""
    return (
        *_counts(source),
        *_best(source),
        *_replicates(source),
        *_compute(source),
        *_origin(source),
    )


def _counts(source: ReportSource) -> Iterator[Macro]:
    states = source.study.states
    yield Macro("Trials", sum(states.values()), Holds.INTEGER, says="all living trials")
    for name, state, says in (
        ("Complete", states.get("COMPLETE", 0), "complete trials"),
        ("Pruned", states.get("PRUNED", 0), "pruned trials"),
        ("Failed", states.get("FAIL", 0), "failed trials"),
    ):
        yield Macro(name, state, Holds.INTEGER, says=says)


def _best(source: ReportSource) -> Iterator[Macro]:
    if source.search.objectives > 1:
        size = len(source.search.front)
        yield Macro("FrontSize", size, Holds.INTEGER, says="trials on the Pareto front")
    if source.selected is None:
        return
    trial = source.selected.trial
    assert trial.values is not None
    yield Macro("BestTrial", trial.number, Holds.INTEGER, says="number of the selected trial")
    yield Macro("BestValue", trial.values[0], Holds.NUMBER, says="its value")
    yield Macro("BestValueExact", trial.values[0], Holds.EXACT, says="its value in full")
    names = best_names(param.name for param in trial.params)
    for name, param in zip(names, trial.params, strict=True):
        value = plain(param.value)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        holds = Holds.EXACT if number else Holds.TEXT
        says = f"param {param.name} of the selected trial"
        yield Macro(name, value, holds, says=says, param=param.name)


def _replicates(source: ReportSource) -> Iterator[Macro]:
    found = selected_replicates(source)
    if found is None:
        return
    names = source.replications[0].objectives
    count = found.estimates[0].count  # those that completed have a value of each objective
    yield Macro("Replicates", count, Holds.INTEGER, says=f"replicates of {found.name}")
    for index, (name, mean) in enumerate(zip(names, found.estimates, strict=True)):
        if len(names) == 1:
            yield from _estimate(mean)
        else:
            yield from _estimate(mean, spelt(index), f", {name}")


def _estimate(mean: Estimate, end: str = "", of: str = "") -> Iterator[Macro]:
    """What replicates came to in one objective; of several, ``end`` and ``of`` say which."""
    if mean.count:
        yield Macro(f"ReplicateMean{end}", mean.mean, Holds.NUMBER, says=f"their mean{of}")
    if mean.count > 1:
        says = f"standard deviation{of}"
        yield Macro(f"ReplicateDeviation{end}", mean.deviation, Holds.NUMBER, says=says)
    if mean.interval is not None:
        says = interval_text(mean.interval)
        low, high = mean.interval.low, mean.interval.high
        yield Macro(f"ReplicateLow{end}", low, Holds.NUMBER, says=f"lower end{of}, {says}")
        yield Macro(f"ReplicateHigh{end}", high, Holds.NUMBER, says=f"upper end{of}, {says}")
        yield Macro(f"ReplicateInterval{end}", says, says=f"what the interval is{of}")


def _compute(source: ReportSource) -> Iterator[Macro]:
    use = source.account.compute
    if use.attempts:
        yield Macro("CpuHours", use.cpu_h, Holds.NUMBER, says="CPU-hours of all attempts")
        yield Macro("GpuHours", use.gpu_h, Holds.NUMBER, says="GPU-hours of all attempts")


def _origin(source: ReportSource) -> Iterator[Macro]:
    yield Macro("Seal", source.seal.seal, Holds.DIGEST, says="seal over all trials")
    if source.account.seeds:
        different = source.account.different_seeds
        yield Macro("Seeds", different, Holds.INTEGER, says="different seeds of trials")
    spec = source.study.spec
    if spec is not None and spec.search.seed is not None:
        yield Macro("StudySeed", spec.search.seed, Holds.INTEGER, says="seed of the study")
    if source.shown is None or source.anonymous:
        return
    code = snapshot_state(source.shown, Kind.CODE, CodeState)
    if code is not None and code.git is not None and code.git.commit is not None:
        yield Macro("Commit", code.git.commit, Holds.DIGEST, says="commit of the code")
