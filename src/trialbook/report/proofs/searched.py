"""Proofs of what was asked of the search and what it chose: space, method, selection, seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trialbook.analysis.searches.asked import ComponentUse
from trialbook.analysis.trial_numbers import numbers_text
from trialbook.records.config import ConfigState
from trialbook.records.coordinates import Kind
from trialbook.report.proofs.proof import NAMED, TRACK, Proof, missing
from trialbook.report.sections.configuration import configuration_title
from trialbook.report.source import ReportSource, snapshot_state
from trialbook.report.wording import counted

_NO_SEARCH = "these are replicates, nothing was searched: see the report of the study they are of"


def space(source: ReportSource) -> Proof:
    """Ranges and scales of every param."""
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


def method(source: ReportSource) -> Proof:
    """Sampler, pruner and seed of the study."""
    if source.holds_replicates:
        return missing(_NO_SEARCH)
    samplers, pruners = source.search.samplers, source.search.pruners
    if not samplers or not pruners:
        return missing("sampler and pruner are not recorded: use trialbook.create_study")
    untracked = source.account.gaps.untracked
    if untracked:
        return missing(f"by which sampler {counted(untracked, 'trial')} came is not known: {TRACK}")
    spec = source.study.spec
    seed = "no seed" if spec is None or spec.search.seed is None else f"seed {spec.search.seed}"
    if any(use.component.lacks_seed for use in samplers):
        seed += ", without the seed that put the sampler's grid in order"
    names = (_components(source, uses) for uses in (samplers, pruners))
    return Proof(f"{', '.join(names)}, {seed} (section Sampler, pruner, seeds and budget)")


def _components(source: ReportSource, uses: Sequence[ComponentUse]) -> str:
    """Names of samplers or pruners, each with its trials where there are several."""
    if len(uses) == 1:
        return source.class_name(uses[0].component.name)
    return ", ".join(
        f"{source.class_name(use.component.name)} in trials {numbers_text(use.trials, NAMED)}"
        for use in uses
    )


def selection(source: ReportSource) -> Proof:
    """The rule and what it selected."""
    if source.holds_replicates:
        return missing(_NO_SEARCH)
    if source.search.objectives > 1 and len(source.search.front):
        size = len(source.search.front)
        return Proof(f"the rule and a front of {counted(size, 'trial')} (section Selection)")
    if source.selected is None:
        return missing("no trial can be selected: let at least one complete")
    number = source.selected.trial.number
    return Proof(f"the rule, ties and the runner-up of trial {number} (section Selection)")


def configuration(source: ReportSource) -> Proof:
    """All params of the selected trial, and what was fixed."""
    found = source.selected or source.front_first
    if found is None or not found.trial.params:
        return missing("there is no selected configuration: let at least one trial complete")
    state = snapshot_state(found, Kind.CONFIG, ConfigState)
    if state is None:
        return missing(f"what was fixed beside the params is not recorded: {TRACK}")
    if not state.resolved:
        return missing(
            "what was fixed beside the params is in the code alone: give it to "
            "tracked_objective(config=...)"
        )
    return Proof(
        f"{counted(len(found.trial.params), 'param')} of trial {found.trial.number} in full and "
        f"{counted(len(state.resolved), 'key')} of its resolved configuration (section "
        f"{configuration_title(source)}); what the code fixes is in the code"
    )


def seeds(source: ReportSource) -> Proof:
    """Seeds of the trials."""
    different = source.account.different_seeds
    trials = sum(way.trials for way in source.account.seeds)
    begun = int(np.count_nonzero(source.search.states != "WAITING"))
    if not trials or trials < begun:
        return missing(f"seeds of {begun - trials} of {begun} trials are not recorded: {TRACK}")
    return Proof(f"{counted(different, 'different seed')} in {counted(trials, 'trial')}")
