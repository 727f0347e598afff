"""How much each param matters: PED-ANOVA and fANOVA, with intervals from resampling the trials.

The numbers are Optuna's; what is added is which trials they rest on and how far they would move
with other trials. Both methods describe the trials that a sampler chose to run, not the objective.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from trialbook.analysis.columns import Column, Holds, Table
from trialbook.analysis.searches.axes import ParamAxis, param_axes
from trialbook.analysis.searches.evaluated_importance import (
    BY_CONSTRUCTION,
    LEVEL,
    EvaluatedImportance,
    evaluated_importance,
    shares_of,
)
from trialbook.analysis.searches.evaluators import (
    Trial,
    evaluated,
    fanova,
    ped_anova,
    regime_trials,
    top_trials,
    uniform_trials,
)
from trialbook.analysis.searches.judged import Judged, judged
from trialbook.analysis.searches.search import Ints, Search
from trialbook.errors import MissingPackageError, NotApplicableError

FEWEST = 20
"""Complete trials that are needed. With fewer, the top tenth of PED-ANOVA is a single trial."""
ADVISED_TOP = 5
"""Trials in the top tenth, as Optuna's documentation advises."""
TARGET_QUANTILE = 0.1
MOST_FOR_PED_ANOVA = 2000
MOST_FOR_FANOVA = 120
"""Trials that are looked at, at the most: time grows faster than their number."""
MOST_BRANCHES = 2
"""Branches of a conditional space of which fANOVA is computed."""
TREES, DEPTH = 64, 64
RESAMPLES = 100
RESAMPLES_A_FOREST = 5
"""For so many resamples of PED-ANOVA one forest is grown, which takes far longer."""
TREES_OF_A_RESAMPLE = 8


@dataclass(frozen=True, slots=True, eq=False)
class Importances:
    """How much each param matters, by each evaluator.

    Args:
        objective: Index of the objective.
        parts: What each evaluator says of all trials that count.
        branches: What fANOVA says of the trials of one branch of a conditional space, without
            intervals; the largest branches.
        refused: Name of each evaluator that says nothing, and why.
        optuna_version: Of the package that computed it.
        sklearn_version: Of scikit-learn, on which fANOVA rests; ``None`` when it is not installed.
        seed: Of sampling, resampling and forests.
        level: Share of the resamples that lie in an interval, from the percentiles at both ends.
    """

    objective: int
    parts: tuple[EvaluatedImportance, ...]
    branches: tuple[EvaluatedImportance, ...]
    refused: tuple[tuple[str, str], ...]
    optuna_version: str
    sklearn_version: str | None
    seed: int
    level: float = LEVEL

    def table(self) -> Table:
        """One row an evaluator and param."""
        percent = f"{100 * self.level:g} %"
        return Table(
            (
                Column("evaluator"),
                Column("among"),
                Column("param", Holds.CODE),
                Column("share", Holds.NUMBER),
                Column(f"{percent} interval from", Holds.NUMBER),
                Column("to", Holds.NUMBER),
                Column("importance", Holds.NUMBER),
                Column("trials", Holds.INTEGER),
                Column("with the param", Holds.INTEGER),
                Column("resamples", Holds.INTEGER),
            ),
            tuple(
                (
                    part.evaluator,
                    part.among or "all complete trials",
                    name,
                    float(part.shares[at]),
                    None if np.isnan(part.low[at]) else float(part.low[at]),
                    None if np.isnan(part.high[at]) else float(part.high[at]),
                    float(part.raw[at]),
                    part.trials,
                    int(part.having[at]),
                    part.resamples,
                )
                for part in self.parts + self.branches
                for at, name in enumerate(part.names)
            ),
        )


def importances(
    search: Search,
    objective: int = 0,
    params: Sequence[str] = (),
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Importances:
    """How much each param matters.

    Trials are resampled with replacement (Efron, "Bootstrap methods", 1979), and the interval goes
    from percentile to percentile of the resampled shares. It shows how far the importance hangs on
    which trials there are; it knows nothing of trials that no sampler would have run.

    Args:
        search: The study's search.
        objective: Index of the objective, when there are several.
        params: Names of params to look at; empty for all.
        seed: Of sampling, resampling and forests.
        resamples: How many bootstrap resamples PED-ANOVA's intervals rest on, fANOVA's on a fifth
            of them; 0 for no intervals.

    Raises:
        NotApplicableError: Too few trials count, all have the same value, or no two params vary.
        NotFoundError: No trial has a param of that name.
    """
    trials, axes = _enough(search, objective, params)
    if len(axes) == 1:
        others = "no other was named" if params else "no other has more than one value"
        raise NotApplicableError(
            f"{axes[0].name} is looked at alone ({others}), and {BY_CONSTRUCTION}",
            hint="see 'slice' for the value against it",
        )
    parts, refused = [], []
    for name, evaluate in (("PED-ANOVA", _by_ped_anova), ("fANOVA", _by_fanova)):
        try:
            parts.append(evaluate(search, trials, axes, seed, resamples))
        except (NotApplicableError, MissingPackageError) as error:
            hint = f" ({error.hint})" if error.hint else ""
            refused.append((name, error.what + hint))
    if not parts:
        raise NotApplicableError(
            "; ".join(f"{name}: {reason}" for name, reason in refused),
            hint="see 'slice' for the value against each param",
        )
    return Importances(
        objective=objective,
        parts=tuple(parts),
        branches=_branches(search, trials, axes, seed),
        refused=tuple(refused),
        optuna_version=version("optuna"),
        sklearn_version=_sklearn_version(),
        seed=seed,
    )


def leading(search: Search, objective: int, most: int) -> tuple[tuple[str, ...], str]:
    """The names of so many params to show, in the order in which they were asked, and how chosen.

    Returns:
        Names; and either ``the most important by PED-ANOVA`` or ``the first that were asked``,
        where importance cannot be told.
    """
    trials = judged(search, objective)
    axes = [axis for axis in param_axes(search) if axis.given[trials.indices].any()]
    try:
        _, varying = _enough(search, objective, ())
        sample = _sample(len(trials), MOST_FOR_PED_ANOVA, 0)
        chosen = _regimes(search, trials, varying, sample)
        raw, _ = evaluated(ped_anova(TARGET_QUANTILE), chosen, [axis.name for axis in varying])
    except NotApplicableError:
        return tuple(axis.name for axis in axes[:most]), "the first that were asked"
    best = {varying[at].name for at in np.argsort(-raw, kind="stable")[:most]}
    return tuple(axis.name for axis in axes if axis.name in best), "the most important by PED-ANOVA"


def _enough(
    search: Search, objective: int, params: Sequence[str]
) -> tuple[Judged, list[ParamAxis]]:
    trials = judged(search, objective)
    if len(trials) < FEWEST:
        raise NotApplicableError(
            f"importances need at least {FEWEST} complete, feasible trials with a finite value, "
            f"and there are {len(trials)}",
            hint="run more trials; see 'slice' for the value against each param",
        )
    if np.all(trials.losses == trials.losses[0]):
        raise NotApplicableError("all trials have the same value")
    axes = [
        axis
        for axis in param_axes(search, params)
        if not axis.single and axis.given[trials.indices].any()
    ]
    if not axes:
        raise NotApplicableError("no param has more than one value")
    return trials, axes


def _by_ped_anova(
    search: Search, trials: Judged, axes: list[ParamAxis], seed: int, resamples: int
) -> EvaluatedImportance:
    sample = _sample(len(trials), MOST_FOR_PED_ANOVA, seed)
    chosen = _regimes(search, trials, axes, sample)
    evaluator = ped_anova(TARGET_QUANTILE)
    asked = [axis.name for axis in axes]
    raw, notes = evaluated(evaluator, chosen, asked)
    if raw.sum() == 0:
        raise NotApplicableError("the top tenth of the trials is spread like all of them")
    top = top_trials(evaluator, chosen, TARGET_QUANTILE)
    in_top = {name: sum(name in trial.distributions for trial in top) for name in asked}
    # It is 0, in every resample too, where there is nothing that it could compare.
    names = [name for name, one in zip(asked, raw, strict=True) if one > 0]
    left_out = tuple(
        (name, _nothing_to_compare(name, chosen, top)) for name in asked if name not in names
    )
    rng = np.random.default_rng(seed)
    resampled = [
        evaluated(evaluator, [chosen[at] for at in again], names)[0]
        for again in _again(rng, len(chosen), resamples)
    ]
    if len(top) < ADVISED_TOP:
        notes += (
            f"only {len(top)} trials are in the top tenth; Optuna's documentation advises "
            f"at least {ADVISED_TOP}",
        )
    elif few := [f"{name} in {in_top[name]}" for name in names if in_top[name] < ADVISED_TOP]:
        notes += (
            f"of the {len(top)} trials in the top tenth few have these params: {', '.join(few)}; "
            f"Optuna's documentation advises at least {ADVISED_TOP}",
        )
    settings = (("target_quantile", f"{TARGET_QUANTILE}"), ("region_quantile", "1.0"))
    shares = [shares_of(one) for one in resampled if one.sum() > 0]
    part = evaluated_importance(
        "PED-ANOVA", evaluator, settings, names, raw[raw > 0], shares, chosen
    )
    return replace(part, of=len(trials), left_out=left_out, notes=notes + part.notes)


def _nothing_to_compare(name: str, trials: list[Trial], top: list[Trial]) -> str:
    having = sum(name in trial.distributions for trial in trials)
    asked = f"asked in {having} of {len(trials)} complete trials"
    if any(name in trial.distributions for trial in top):
        return f"{asked}, of which too few have one range"
    ties = " (with ties)" if len(top) > math.ceil(TARGET_QUANTILE * len(trials)) else ""
    return (
        f"{asked}, and in none of the {len(top)} in the top tenth{ties}, so there is nothing to "
        "compare"
    )


def _by_fanova(
    search: Search, trials: Judged, axes: list[ParamAxis], seed: int, resamples: int
) -> EvaluatedImportance:
    everywhere = [axis for axis in axes if axis.given[trials.indices].all()]
    if not everywhere:
        raise NotApplicableError("no param is in all complete trials")
    fanova(TREES, DEPTH, seed)  # without its package nothing is said of branches either
    if len(everywhere) == 1:
        raise NotApplicableError(
            f"of {len(axes)} params only {everywhere[0].name} is in all complete trials, and "
            f"{BY_CONSTRUCTION}"
        )
    members = np.arange(len(trials))
    part = _forest(search, trials, everywhere, members, seed, resamples // RESAMPLES_A_FOREST)
    left_out = tuple(
        (
            axis.name,
            f"asked in {int(axis.given[trials.indices].sum())} of {len(trials)} complete trials; "
            "it takes only params that all of them have",
        )
        for axis in axes
        if axis not in everywhere
    )
    return replace(part, left_out=left_out)


def _branches(
    search: Search, trials: Judged, axes: list[ParamAxis], seed: int
) -> tuple[EvaluatedImportance, ...]:
    """Of the largest groups of trials with the same params, when there are several: fANOVA."""
    given = np.array([axis.given[trials.indices] for axis in axes])
    patterns, group, sizes = np.unique(given, axis=1, return_inverse=True, return_counts=True)
    if len(sizes) == 1:
        return ()
    found = []
    for at in np.argsort(-sizes, kind="stable"):
        members = np.flatnonzero(group.ravel() == at)
        chosen = [
            axis
            for axis, has in zip(axes, patterns[:, at], strict=True)
            if has and np.ptp(axis.positions[trials.indices[members]]) > 0
        ]
        losses = trials.losses[members]
        if len(members) < FEWEST or len(chosen) < 2 or np.all(losses == losses[0]):
            continue
        try:
            part = _forest(search, trials, chosen, members, seed, 0)
        except MissingPackageError:
            return ()  # the reason is told of fANOVA over all trials
        except NotApplicableError:
            continue  # branches are an extra; another one may have what this one lacks
        had = zip(axes, patterns[:, at], strict=True)
        names = ", ".join(axis.name for axis, has in had if has)
        found.append(replace(part, among=f"the {len(members)} trials with exactly {names}"))
        if len(found) == MOST_BRANCHES:
            break
    return tuple(found)


def _forest(
    search: Search,
    trials: Judged,
    axes: list[ParamAxis],
    members: Ints,
    seed: int,
    resamples: int,
) -> EvaluatedImportance:
    sample = members[_sample(len(members), MOST_FOR_FANOVA, seed)]
    names = [axis.name for axis in axes]
    chosen = uniform_trials(axes, trials.indices[sample], trials.losses[sample])
    evaluator = fanova(TREES, DEPTH, seed)
    try:
        raw, notes = evaluated(evaluator, chosen, names, target=_loss)
    except RuntimeError as error:  # no tree could split: all values of the sample are equal
        raise NotApplicableError(f"no forest could be grown: {error}") from error
    rng = np.random.default_rng(seed)
    smaller = fanova(TREES_OF_A_RESAMPLE, DEPTH, seed)
    shares = []
    for again in _again(rng, len(chosen), resamples):
        drawn = [chosen[at] for at in again]
        if len({trial.value for trial in drawn}) > 1:
            shares.append(shares_of(evaluated(smaller, drawn, names, target=_loss)[0]))
    if shares:
        notes += (f"each resample grows {TREES_OF_A_RESAMPLE} trees, which widens the intervals",)
    if any(len(search.param(axis.name).distributions) > 1 for axis in axes):
        notes += ("of a param whose range changed, the union of its ranges is taken",)
    settings = (("n_trees", f"{TREES}"), ("max_depth", f"{DEPTH}"), ("seed", f"{seed}"))
    part = evaluated_importance("fANOVA", evaluator, settings, names, raw, shares, chosen)
    return replace(part, of=len(members), notes=notes + part.notes)


def _regimes(search: Search, trials: Judged, axes: list[ParamAxis], sample: Ints) -> list[Trial]:
    columns = [search.param(axis.name) for axis in axes]
    return regime_trials(search, columns, trials.indices[sample], trials.losses[sample])


def _sample(count: int, most: int, seed: int) -> Ints:
    """Positions of those that are looked at, growing: all, or so many drawn at random."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))


def _again(rng: np.random.Generator, count: int, resamples: int) -> list[list[int]]:
    return [rng.integers(0, count, count).tolist() for _ in range(resamples)]


def _loss(trial: Trial) -> float:
    return trial.value


def _sklearn_version() -> str | None:
    try:
        return version("scikit-learn")
    except PackageNotFoundError:
        return None
