"""Proofs of what was measured again: reruns, replicates, and test metrics the search never saw."""

from __future__ import annotations

from trialbook.analysis.replication_tables import interval_text
from trialbook.analysis.test_metrics import begun_after, exposure, has_test_metrics
from trialbook.records.verdict import Verdict
from trialbook.report.proofs.proof import Proof, chosen_trial, missing
from trialbook.report.sections.metrics import metrics_title
from trialbook.report.selected_replicates import selected_replicates
from trialbook.report.source import ReportSource
from trialbook.report.wording import counted


def rerun(source: ReportSource) -> Proof:
    """Whether the selected trial came out the same again."""
    found = source.selected or source.front_first
    if found is None:
        return missing("no trial is selected, so none can be rerun")
    name = source.trial_name(found.trial.number)
    if not found.trial.reruns:
        return missing(f"{chosen_trial(source)} was not rerun: run 'trialbook rerun {name}'")
    report = found.trial.reruns[-1].report
    said = f"trial {found.trial.number} was rerun: {report.verdict}"
    if report.verdict is Verdict.WITHIN_TOLERANCE:
        said += f" (relative {report.rtol:g}, absolute {report.atol:g})"
    # One that came out the same does not undo another that did not, where nothing else differed.
    others = [
        one.report.verdict is Verdict.DIFFERENT and not one.report.coordinates
        for one in found.trial.reruns[:-1]
    ]
    if any(others):
        said += f"; {sum(others)} of {len(others)} before it came out different"
    if report.verdict in (Verdict.IDENTICAL, Verdict.WITHIN_TOLERANCE):
        return Proof(
            f"{said}, {counted(report.points, 'point')} compared (section Running it again)",
            against=any(others),
        )
    if report.verdict is Verdict.DIFFERENT:
        return Proof(f"{said}, {counted(len(report.differences), 'difference')}", against=True)
    return missing(f"{said}: {report.reason}")


def replicates(source: ReportSource) -> Proof:
    """Mean, spread and interval under fresh seeds."""
    found = source.selected or source.front_first
    name = source.trial_name(found.trial.number) if found is not None else source.command_name
    if not source.replications:
        return missing(f"the configuration was not replicated: run 'trialbook replicate {name}'")
    chosen = selected_replicates(source)
    if chosen is None:
        return missing(
            f"{chosen_trial(source)} was not replicated, but {source.replications[0].chosen.name}: "
            f"run 'trialbook replicate {name}'"
        )
    names = source.replications[0].objectives
    told, lacking = [], []
    for objective, estimate in zip(names, chosen.estimates, strict=True):
        of = f" of {objective}" if len(names) > 1 else ""
        if estimate.interval is None:
            lacking.append(f"the replicates give no interval{of}: {estimate.lacking}")
            continue
        low, high = estimate.interval.low, estimate.interval.high
        told.append(
            f"mean{of} {estimate.mean:.4g} of {counted(estimate.count, 'replicate')}, {low:.4g} to "
            f"{high:.4g} ({interval_text(estimate.interval)})"
        )
    if lacking:
        return missing("; ".join((*lacking, *told)))
    return Proof(f"{'; '.join(told)} (section Replicates)")


def test(source: ReportSource) -> Proof:
    """Test metrics that the search never saw."""
    found = source.selected or source.front_first
    if found is None or not has_test_metrics(found.trial):
        return missing("no test metric is recorded: log it with trial.log_test")
    seen = exposure(source.reader, source.study)
    after = begun_after(seen, source.search)
    went_on = (
        f"{counted(after, 'trial')} began afterwards" if after else "no trial began afterwards"
    )
    return Proof(
        f"test metrics of trial {found.trial.number}, which sampler, pruner and selection did not "
        f"use; those of {seen.text} were shown, and {went_on} (section {metrics_title(source)})"
    )
