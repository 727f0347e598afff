"""Proofs of what was executed: how many runs, what became of them, and what they took."""

from __future__ import annotations

import numpy as np

from trialbook.analysis.searches.pruning_rules import executed_trials
from trialbook.report.proofs.proof import TRACK, Proof, missing
from trialbook.report.source import ReportSource
from trialbook.report.wording import counted, state_text


def runs(source: ReportSource) -> Proof:
    """How many trials there were in each state."""
    states = source.study.states
    total = sum(states.values())
    if not total:
        return missing("there is no trial yet: run the study")
    unfinished = states.get("RUNNING", 0) + states.get("WAITING", 0)
    if unfinished:
        return missing(f"{counted(unfinished, 'trial')} can still end: let the study finish")
    parts = ", ".join(f"{states[s]} {state_text(s)}" for s in states if states[s])
    attempts = sum(attempt.executed for attempt in source.search.attempts)
    # A trial that was added by hand and one of an objective without tracking look the same.
    untracked = source.account.gaps.untracked
    if untracked:
        return missing(
            f"{counted(total, 'trial')} ({parts}): {total - untracked} ran here under tracking"
            + (f", in {counted(attempts, 'attempt')}" if attempts else "")
            + f"; {untracked} {'was' if untracked == 1 else 'were'} added or ran without it, and "
            f"how many runs that took is not known: {TRACK}"
        )
    return Proof(f"{counted(total, 'trial')} ({parts}) in {counted(attempts, 'attempt')}")


def exclusions(source: ReportSource) -> Proof:
    """What became of those that cannot be selected."""
    if not len(source.search):
        return missing("there is no trial yet: run the study")
    found, failures = source.account.exclusions, source.account.failures
    if failures.unexplained:
        return missing(f"why {counted(failures.unexplained, 'attempt')} failed is unknown: {TRACK}")
    return Proof(
        f"{found.trials - found.eligible} of {found.trials} trials cannot be selected, each with "
        f"its reason; {len(found.deleted)} deleted (sections Trials by state and Exclusions)"
    )


def compute(source: ReportSource) -> Proof:
    """CPU and GPU time of all attempts."""
    use, gaps = source.account.compute, source.account.gaps
    if not use.attempts:
        return missing(f"no compute is recorded: {TRACK}")
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


def runtime(source: ReportSource) -> Proof:
    """Time of the selected trial, and the mean over attempts."""
    use = source.account.compute
    if not use.attempts:
        return missing(f"no attempt was timed: {TRACK}")
    mean_s = sum(host.wall_s for host in use.hosts) / use.attempts
    text = f"{mean_s:.4g} s an attempt on average (section Compute)"
    found = source.selected or source.front_first
    if found is None:
        return Proof(text)
    search = source.search
    index = int(np.searchsorted(search.numbers, found.trial.number))
    took_s = float(search.ended_s[index] - search.started_s[index])
    if not executed_trials(search)[index] or not took_s >= 0:
        return missing(f"how long the selected trial {found.trial.number} took: {TRACK}")
    return Proof(f"trial {found.trial.number} took {took_s:.4g} s; {text}")
