"""The rule of a study's pruner, from its recorded name and settings; nothing is executed."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from trialbook.analysis.searches.asked import uses_text
from trialbook.analysis.searches.halving_rule import HalvingRule
from trialbook.analysis.searches.metrics import MetricPoints
from trialbook.analysis.searches.pruning_rules import PercentileRule, Rule, ThresholdRule
from trialbook.analysis.searches.search import Ints, Search
from trialbook.records.config import ComponentSettings


def rule_of(search: Search, points: MetricPoints) -> Rule | str:
    """The rule of a study's pruner; a text when it cannot be computed again, which says why."""
    if not search.pruners:
        return "the pruner is not recorded"
    spec = search.study.spec
    changed = [change for change in spec.changes if "pruner" in change] if spec else []
    if len(search.pruners) > 1:
        changed.insert(0, uses_text(search.pruners))
    if changed:
        return f"the pruner was changed in mid-study ({changed[0]})"
    pruner = search.pruners[0].component
    lasts = points.last()[0][(search.states == "COMPLETE") & (points.lengths > 0)]
    rule = _rule(pruner, np.unique(lasts))
    if isinstance(rule, HalvingRule) and (seldom := _asked_seldom(search, points)):
        return (
            f"the rule of {pruner.name} cannot be computed again: {seldom} "
            f"{'trial' if seldom == 1 else 'trials'} asked should_prune less often "
            "than reported, and at which steps is not recorded"
        )
    return rule


def _asked_seldom(search: Search, points: MetricPoints) -> int:
    """How many tracked trials asked ``should_prune`` less often than they reported.

    A rung takes the value of the step at which a trial asked, which is then not known.
    """
    return sum(
        attempt.executed
        and attempt.number == search.counting[trial]
        and len(attempt.prune_answers) < points.lengths[trial]
        for attempt, trial in zip(search.attempts, search.attempt_trial.tolist(), strict=True)
    )


def _rule(pruner: ComponentSettings, lasts: Ints) -> Rule | str:
    """The rule of these settings.

    Args:
        pruner: Name and settings.
        lasts: The last steps of complete trials, each once: what ``auto`` was worked out from.
    """
    import optuna

    build = _RULES.get(pruner.name)
    if build is None:
        return f"the rule of {pruner.name} cannot be computed again from the record"
    known = inspect.signature(getattr(optuna.pruners, pruner.name)).parameters
    defaults = {key: p.default for key, p in known.items() if p.default is not p.empty}
    try:
        return build({**defaults, **pruner.settings, "name": pruner.name}, lasts)
    except (KeyError, TypeError, ValueError, OverflowError):
        return f"the settings of {pruner.name} are not all recorded"


def _percentile(given: Mapping[str, Any], lasts: Ints) -> Rule:
    return PercentileRule(
        float(50.0 if given["name"] == "MedianPruner" else given["percentile"]),
        int(given["n_startup_trials"]),
        int(given["n_warmup_steps"]),
        int(given["interval_steps"]),
        int(given["n_min_trials"]),
    )


def _threshold(given: Mapping[str, Any], lasts: Ints) -> Rule:
    lower, upper = given["lower"], given["upper"]
    return ThresholdRule(
        -math.inf if lower is None else float(lower),
        math.inf if upper is None else float(upper),
        int(given["n_warmup_steps"]),
        int(given["interval_steps"]),
    )


def _halving(given: Mapping[str, Any], lasts: Ints) -> Rule | str:
    name, factor, least = given["name"], int(given["reduction_factor"]), given["min_resource"]
    undecided = (
        f"the rule of {name} cannot be computed again: each worker worked out its resources "
        "('auto') from the trials that it saw"
    )
    if least in (None, "auto"):
        seen = np.unique(np.maximum(lasts // 100, 1))
        if len(seen) != 1:
            return undecided
        least = seen[0]
    least, bootstrap = int(least), int(given["bootstrap_count"])
    if name == "SuccessiveHalvingPruner":
        rates = (int(given["min_early_stopping_rate"]),)
        awaited = given["min_resource"] in (None, "auto")
        return HalvingRule(least, factor, bootstrap, rates, (1,), awaited)
    most = given["max_resource"]
    if most == "auto":
        if len(lasts) != 1:
            return undecided
        most = lasts[0] + 1
    brackets = math.floor(math.log(int(most) / least, factor)) + 1
    budgets = tuple(
        math.ceil(brackets * factor ** (brackets - 1 - at) / (brackets - at))
        for at in range(brackets)
    )
    awaited = given["max_resource"] == "auto"
    return HalvingRule(least, factor, bootstrap, tuple(range(brackets)), budgets, awaited)


_RULES: dict[str, Callable[[Mapping[str, Any], Ints], Rule | str]] = {
    "MedianPruner": _percentile,
    "PercentilePruner": _percentile,
    "ThresholdPruner": _threshold,
    "SuccessiveHalvingPruner": _halving,
    "HyperbandPruner": _halving,
}
