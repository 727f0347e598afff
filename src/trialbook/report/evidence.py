"""What the book holds that answers items of checklists: proofs, each found or missing.

A proof that is found says what it is, with figures that were computed from the book; one that is
missing says what would bring it about. Which item rests on which proofs is in ``checklist.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from trialbook.analysis.compute import ComputeUse
from trialbook.analysis.coordinate_changes import Version
from trialbook.analysis.gaps import Gaps
from trialbook.analysis.replication_tables import interval_text
from trialbook.analysis.searches.asked import ComponentUse
from trialbook.analysis.searches.pruning_rules import executed_trials
from trialbook.analysis.test_metrics import begun_after, exposure, has_test_metrics
from trialbook.analysis.trial_numbers import numbers_text
from trialbook.records.code import CodeState
from trialbook.records.config import ConfigState
from trialbook.records.coordinates import Kind
from trialbook.records.data import DataState
from trialbook.records.environment import EnvironmentState
from trialbook.records.verdict import Verdict
from trialbook.report.selected_replicates import selected_replicates
from trialbook.report.source import ReportSource, snapshot_state
from trialbook.report.wording import counted

_TRACK = "decorate the objective with trialbook.tracked_objective and run the search with it"
_NO_SEARCH = "these are replicates, nothing was searched: see the report of the study they are of"
_SHORT = 12
_NAMED = 4


@dataclass(frozen=True, slots=True)
class Proof:
    """A piece of evidence.

    Args:
        text: What was found, or what to do when it is missing.
        found: Whether it is there.
        against: Whether what is there answers no.
    """

    text: str
    found: bool = True
    against: bool = False


def missing(text: str) -> Proof:
    """A proof that is not there, with what to do."""
    return Proof(text, found=False)


@dataclass(frozen=True, slots=True)
class Evidence:
    """All proofs of one study.

    Args:
        code: The code of all trials, whole: each version that they ran with.
        data: Their inputs, with digests.
        environment: Interpreter and packages.
        hardware: The machines of all attempts.
        space: Ranges and scales of every param.
        method: Sampler, pruner and seed of the study.
        selection: The rule and what it selected.
        configuration: All params of the selected trial, and what was fixed.
        seeds: Seeds of the trials.
        runs: How many trials there were in each state.
        exclusions: What became of those that cannot be selected.
        compute: CPU and GPU time of all attempts.
        runtime: Time of the selected trial, and the mean over attempts.
        coverage: Whether all coordinates of all trials are recorded.
        rerun: Whether the selected trial came out the same again.
        replicates: Mean, spread and interval under fresh seeds.
        test: Test metrics that the search never saw.
        artifacts: Files that the selected trial kept.
    """

    code: Proof
    data: Proof
    environment: Proof
    hardware: Proof
    space: Proof
    method: Proof
    selection: Proof
    configuration: Proof
    seeds: Proof
    runs: Proof
    exclusions: Proof
    compute: Proof
    runtime: Proof
    coverage: Proof
    rerun: Proof
    replicates: Proof
    test: Proof
    artifacts: Proof


PROOFS = tuple(field.name for field in fields(Evidence))


def evidence(source: ReportSource) -> Evidence:
    """What the book holds of a study; nothing when its records were verified and do not hold."""
    found = _evidence(source)
    wrong = 0 if source.verification is None else len(source.verification.mismatches)
    if not wrong:
        return found
    said = f"the records do not hold ({counted(wrong, 'mismatch', 'mismatches')}, section The seal)"
    return Evidence(*(missing(f"{said}: {getattr(found, name).text}") for name in PROOFS))


def _evidence(source: ReportSource) -> Evidence:
    use, gaps = source.account.compute, source.account.gaps
    return Evidence(
        code=_code(source),
        data=_data(source),
        environment=_environment(source),
        hardware=_hardware(use),
        space=_space(source),
        method=_method(source),
        selection=_selection(source),
        configuration=_configuration(source),
        seeds=_seeds(source),
        runs=_runs(source),
        exclusions=_exclusions(source),
        compute=_compute(source),
        runtime=_runtime(source),
        coverage=_coverage(gaps),
        rerun=_rerun(source),
        replicates=_replicates(source),
        test=_test(source),
        artifacts=_artifacts(source),
    )


def _code(source: ReportSource) -> Proof:
    state = None if source.shown is None else snapshot_state(source.shown, Kind.CODE, CodeState)
    if source.shown is None or state is None:
        return missing(f"no code is recorded: {_TRACK}")
    lacking = _lacking(source, Kind.CODE)
    if lacking:
        return lacking
    versions = source.account.changes.versions[Kind.CODE]
    states = [source.reader.snapshot(one.digest).state_as(CodeState) for one in versions]
    where = f"the code of trial {source.shown.trial.number}"
    if len(versions) > 1:
        where = f"the code of {counted(len(versions), 'version')}"
    without = sum(not entry.embedded for one in states for entry in one.files)
    if without:
        return missing(f"{where} is kept but for {counted(without, 'file')}: release those too")
    if not all(one.loaded for one in states):
        return missing(f"of {where} no loaded file is known: {_TRACK}")
    if len(versions) == 1:
        same = _of_all(source, Kind.CODE)
        return Proof(
            f"{same}{where}: {counted(len(state.files), 'file')}, kept in the book with their "
            f"contents, identity {state.identity[:_SHORT]} (section Code, data and environment)"
        )
    named = [
        f"{_trials(version)} identity {one.identity[:_SHORT]}"
        for version, one in zip(versions, states, strict=True)
    ]
    return Proof(
        f"{len(versions)} different: {_first(named)}; each kept in the book with the contents of "
        "its files (sections Exclusions and Code, data and environment)"
    )


def _data(source: ReportSource) -> Proof:
    state = None if source.shown is None else snapshot_state(source.shown, Kind.DATA, DataState)
    if state is None:
        return missing(f"no data is recorded: {_TRACK}")
    lacking = _lacking(source, Kind.DATA)
    if lacking:
        return lacking
    versions = source.account.changes.versions[Kind.DATA]
    states = [source.reader.snapshot(one.digest).state_as(DataState) for one in versions]
    if not all(one.inputs for one in states):
        return missing("no input is declared: name them in tracked_objective(data={...})")
    unread = sorted({i.name for one in states for i in one.inputs if not i.verified})
    if unread:
        return missing(f"the content of {', '.join(unread)} was never hashed: run with --paranoid")
    if len(versions) > 1:
        named = [
            f"{_trials(version)} {_inputs(one)}"
            for version, one in zip(versions, states, strict=True)
        ]
        return Proof(
            f"{len(versions)} different, with SHA-256: {_first(named)} (section Exclusions)"
        )
    read = f"; {counted(len(state.undeclared), 'file')} more read" if state.undeclared else ""
    same = _of_all(source, Kind.DATA)
    inputs = counted(len(state.inputs), "input")
    return Proof(f"{same}{inputs} with SHA-256: {_inputs(state)}{read}")


def _lacking(source: ReportSource, kind: Kind) -> Proof | None:
    """That a coordinate is not recorded of every trial that began; ``None`` when it is."""
    gaps, unknown = source.account.gaps, source.account.changes.unknown.get(kind, ())
    without = gaps.untracked + len(unknown)
    if not without:
        return None
    return missing(f"{kind} is not recorded of {counted(without, 'trial')}: {_TRACK}")


def _of_all(source: ReportSource, kind: Kind) -> str:
    """That all trials ran with one version; nothing where there is one trial alone."""
    count = sum(len(one.trials) for one in source.account.changes.versions[kind])
    return f"the same in all {count} trials, " if count > 1 else ""


def _trials(version: Version) -> str:
    one = len(version.trials) == 1
    return f"{'trial' if one else 'trials'} {numbers_text(version.trials, _NAMED)}"


def _inputs(state: DataState) -> str:
    named = ", ".join(f"{one.name} {one.digest[:_SHORT]}" for one in state.inputs[:_NAMED])
    more = f" and {len(state.inputs) - _NAMED} more" if len(state.inputs) > _NAMED else ""
    return f"{named}{more}"


def _first(named: Sequence[str]) -> str:
    more = f", and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    return f"{', '.join(named[:_NAMED])}{more}"


def _environment(source: ReportSource) -> Proof:
    shown = source.shown
    state = None if shown is None else snapshot_state(shown, Kind.ENVIRONMENT, EnvironmentState)
    if state is None or not state.packages:
        return missing(f"no environment is recorded: {_TRACK}")
    lacking = _lacking(source, Kind.ENVIRONMENT)
    if lacking:
        return lacking
    python = state.interpreter
    others = source.account.changes.changed((Kind.ENVIRONMENT,))
    return Proof(
        f"{python.implementation} {python.version} and all {len(state.packages)} installed "
        f"distributions with versions, {sum(p.record_digest is not None for p in state.packages)} "
        f"of them with digests; {counted(len(state.lock_files), 'lock file')}"
        + (f"; {counted(others, 'trial')} had another (section Exclusions)" if others else "")
    )


def _hardware(use: ComputeUse) -> Proof:
    known = [host for host in use.hosts if host.hardware]
    if not known or len(known) < len(use.hosts):
        return missing(f"the machines of some attempts are not recorded: {_TRACK}")
    return Proof(f"processors and GPUs of {counted(len(known), 'host')} (section Compute)")


def _space(source: ReportSource) -> Proof:
    if source.holds_replicates:
        return missing(_NO_SEARCH)
    found = source.account.space
    if found is None:
        return missing("no trial has asked for a param: suggest them in the objective")
    changed = sum(param.changed for param in found.params)
    note = f"; {changed} changed while the study ran" if changed else ""
    return Proof(
        f"{counted(len(found.params), 'param')} with range and scale{note} (section Search space)"
    )


def _method(source: ReportSource) -> Proof:
    if source.holds_replicates:
        return missing(_NO_SEARCH)
    samplers, pruners = source.search.samplers, source.search.pruners
    if not samplers or not pruners:
        return missing("sampler and pruner are not recorded: use trialbook.create_study")
    untracked = source.account.gaps.untracked
    if untracked:
        return missing(
            f"by which sampler {counted(untracked, 'trial')} came is not known: {_TRACK}"
        )
    spec = source.study.spec
    seed = "no seed" if spec is None or spec.search.seed is None else f"seed {spec.search.seed}"
    names = (_components(source, uses) for uses in (samplers, pruners))
    return Proof(f"{', '.join(names)}, {seed} (section Sampler, pruner, seeds and budget)")


def _components(source: ReportSource, uses: Sequence[ComponentUse]) -> str:
    """Names of samplers or pruners, each with its trials where there are several."""
    if len(uses) == 1:
        return source.class_name(uses[0].component.name)
    return ", ".join(
        f"{source.class_name(use.component.name)} in trials {numbers_text(use.trials, _NAMED)}"
        for use in uses
    )


def _selection(source: ReportSource) -> Proof:
    if source.holds_replicates:
        return missing(_NO_SEARCH)
    if source.search.objectives > 1 and len(source.search.front):
        size = len(source.search.front)
        return Proof(f"the rule and a front of {counted(size, 'trial')} (section Selection)")
    if source.selected is None:
        return missing("no trial can be selected: let at least one complete")
    number = source.selected.trial.number
    return Proof(f"the rule, ties and the runner-up of trial {number} (section Selection)")


def _configuration(source: ReportSource) -> Proof:
    found = source.selected or source.front_first
    if found is None or not found.trial.params:
        return missing("there is no selected configuration: let at least one trial complete")
    state = snapshot_state(found, Kind.CONFIG, ConfigState)
    if state is None:
        return missing(f"what was fixed beside the params is not recorded: {_TRACK}")
    if not state.resolved:
        return missing(
            "what was fixed beside the params is in the code alone: give it to "
            "tracked_objective(config=...)"
        )
    return Proof(
        f"{counted(len(found.trial.params), 'param')} of trial {found.trial.number} in full and "
        f"{counted(len(state.resolved), 'key')} of its resolved configuration (section Best "
        "configuration); what the code fixes is in the code"
    )


def _seeds(source: ReportSource) -> Proof:
    different = source.account.different_seeds
    trials = sum(way.trials for way in source.account.seeds)
    begun = int(np.count_nonzero(source.search.states != "WAITING"))
    if not trials or trials < begun:
        return missing(f"seeds of {begun - trials} of {begun} trials are not recorded: {_TRACK}")
    return Proof(f"{counted(different, 'different seed')} in {counted(trials, 'trial')}")


def _runs(source: ReportSource) -> Proof:
    states = source.study.states
    total = sum(states.values())
    if not total:
        return missing("there is no trial yet: run the study")
    unfinished = states.get("RUNNING", 0) + states.get("WAITING", 0)
    if unfinished:
        return missing(f"{counted(unfinished, 'trial')} can still end: let the study finish")
    parts = ", ".join(f"{states[s]} {s.lower()}" for s in states if states[s])
    attempts = sum(attempt.executed for attempt in source.search.attempts)
    # A trial that was added by hand and one of an objective without tracking look the same.
    untracked = source.account.gaps.untracked
    if untracked:
        return missing(
            f"{counted(total, 'trial')} ({parts}): {total - untracked} ran here under tracking"
            + (f", in {counted(attempts, 'attempt')}" if attempts else "")
            + f"; {untracked} {'was' if untracked == 1 else 'were'} added or ran without it, and "
            f"how many runs that took is not known: {_TRACK}"
        )
    return Proof(f"{counted(total, 'trial')} ({parts}) in {counted(attempts, 'attempt')}")


def _exclusions(source: ReportSource) -> Proof:
    if not len(source.search):
        return missing("there is no trial yet: run the study")
    found, failures = source.account.exclusions, source.account.failures
    if failures.unexplained:
        return missing(
            f"why {counted(failures.unexplained, 'attempt')} failed is unknown: {_TRACK}"
        )
    return Proof(
        f"{found.trials - found.eligible} of {found.trials} trials cannot be selected, each with "
        f"its reason; {len(found.deleted)} deleted (sections Trials by state and Exclusions)"
    )


def _compute(source: ReportSource) -> Proof:
    use, gaps = source.account.compute, source.account.gaps
    if not use.attempts:
        return missing(f"no compute is recorded: {_TRACK}")
    unknown = {
        "untracked trials": gaps.untracked,
        "deleted trials": len(source.account.exclusions.deleted),
        "attempts that still run": sum(host.running for host in use.hosts),
        "ended attempts": max(use.without_cpu, use.without_gpus),
    }
    named = ", ".join(f"{count} {what}" for what, count in unknown.items() if count)
    if named:
        return missing(f"the total is a lower bound: it is not all known of {named}")
    apart = source.replications and not source.holds_replicates
    return Proof(
        f"{use.cpu_h:.4g} CPU-hours and {use.gpu_h:.4g} GPU-hours of "
        f"{counted(use.attempts, 'attempt')}, failed and pruned ones too (section Compute)"
        + ("; those of the replicates are in the report of their own study" if apart else "")
    )


def _runtime(source: ReportSource) -> Proof:
    use = source.account.compute
    if not use.attempts:
        return missing(f"no attempt was timed: {_TRACK}")
    mean_s = sum(host.wall_s for host in use.hosts) / use.attempts
    text = f"{mean_s:.4g} s an attempt in the mean (section Compute)"
    found = source.selected or source.front_first
    if found is None:
        return Proof(text)
    search = source.search
    index = int(np.searchsorted(search.numbers, found.trial.number))
    took_s = float(search.ended_s[index] - search.started_s[index])
    if not executed_trials(search)[index] or not took_s >= 0:
        return missing(f"how long the selected trial {found.trial.number} took: {_TRACK}")
    return Proof(f"trial {found.trial.number} took {took_s:.4g} s; {text}")


def _coverage(gaps: Gaps) -> Proof:
    if not gaps.tracked or gaps.untracked > 0:
        return missing(f"{counted(gaps.untracked, 'trial')} ran untracked: {_TRACK}")
    partial = [str(kind) for kind in Kind if not gaps.complete(kind)]
    if partial:
        return missing(
            f"{', '.join(partial)} {'is' if len(partial) == 1 else 'are'} not complete in some "
            "trials: the section What was not recorded has the reasons"
        )
    return Proof(f"all five coordinates of all {counted(gaps.tracked, 'trial')} are complete")


def _rerun(source: ReportSource) -> Proof:
    found = source.selected or source.front_first
    if found is None:
        return missing("no trial is selected, so none can be rerun")
    name = source.trial_name(found.trial.number)
    if not found.trial.reruns:
        return missing(f"the selected trial was not rerun: run 'trialbook rerun {name}'")
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


def _replicates(source: ReportSource) -> Proof:
    found = source.selected or source.front_first
    name = source.trial_name(found.trial.number) if found is not None else source.command_name
    if not source.replications:
        return missing(f"the configuration was not replicated: run 'trialbook replicate {name}'")
    chosen = selected_replicates(source)
    if chosen is None:
        return missing(
            f"not the selected trial was replicated but {source.replications[0].chosen.name}: run "
            f"'trialbook replicate {name}'"
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


def _test(source: ReportSource) -> Proof:
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
        f"use; those of {seen.text} were shown, and {went_on} (section Metrics of the selected "
        "trial)"
    )


def _artifacts(source: ReportSource) -> Proof:
    found = source.selected or source.front_first
    attempt = None if found is None else found.trial.attempt
    if found is None or attempt is None or not attempt.artifacts:
        return missing("the selected trial kept no file: keep its model with trial.log_artifact")
    kept = counted(len(attempt.artifacts), "file")
    return Proof(f"{kept} of trial {found.trial.number}, by SHA-256")
