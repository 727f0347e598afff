"""How much each param matters: PED-ANOVA and fANOVA, with intervals from resampling the trials.

The numbers are Optuna's; what is added is which trials they rest on and how far they would move
with other trials. Both methods describe the trials that a sampler chose to run, not the objective.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from trialbook.analysis.columns import Column, Holds, Table
from trialbook.analysis.searches.axes import ParamAxis, param_axes
from trialbook.analysis.searches.evaluators import (
    Trial,
    evaluated,
    fanova,
    ped_anova,
    regime_trials,
    uniform_trials,
)
from trialbook.analysis.searches.judged import Judged, judged
from trialbook.analysis.searches.search import Floats, Ints, Search
from trialbook.errors import MissingPackageError, NotApplicableError

FEWEST = 20
"""Complete trials that are needed. With fewer, the top tenth of PED-ANOVA is a single trial."""
ADVISED = 50
"""Complete trials with which five are in the top tenth, as Optuna's documentation advises."""
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
LEVEL = 0.9


@dataclass(frozen=True, slots=True, eq=False)
class EvaluatedImportance:
    """What one evaluator says. Arrays have shape (params,), the most important param first.

    Args:
        evaluator: As it is called in papers.
        among: Which trials it is about: empty for all that count, else those that have the params
            of one branch of a conditional space.
        made_by: The class that computed it, with its module.
        settings: Name and value of each of its settings.
        names: The params.
        shares: Importance of each, normalized to the sum 1, as Optuna does.
        raw: Importance as the evaluator gave it.
        low: Lower end of the interval of the share; NaN when nothing was resampled.
        high: Upper end, likewise.
        resamples: How many bootstrap resamples of the trials the interval rests on.
        trials: How many trials were looked at.
        of: How many could have been; more than ``trials`` when they were sampled.
        left_out: Name of each param that is not in it, and why.
        notes: What else a reader must know, such as the evaluator's own warnings.
    """

    evaluator: str
    among: str
    made_by: str
    settings: tuple[tuple[str, str], ...]
    names: tuple[str, ...]
    shares: Floats
    raw: Floats
    low: Floats
    high: Floats
    resamples: int
    trials: int
    of: int
    left_out: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


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
                Column("resamples", Holds.INTEGER),
            ),
            tuple(
                (
                    part.evaluator,
                    part.among or "all complete trials",
                    name,
                    float(part.shares[at]),
                    float(part.low[at]) if part.resamples else None,
                    float(part.high[at]) if part.resamples else None,
                    float(part.raw[at]),
                    part.trials,
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
        NotApplicableError: Too few trials count, all have the same value, or no param varies.
        NotFoundError: No trial has a param of that name.
    """
    trials, axes = _enough(search, objective, params)
    parts, refused = [], []
    for name, evaluate in (("PED-ANOVA", _by_ped_anova), ("fANOVA", _by_fanova)):
        try:
            parts.append(evaluate(search, trials, axes, seed, resamples))
        except (NotApplicableError, MissingPackageError) as error:
            hint = f" ({error.hint})" if error.hint else ""
            refused.append((name, error.what + hint))
    if not parts:
        raise NotApplicableError("; ".join(f"{name}: {reason}" for name, reason in refused))
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
    names = [axis.name for axis in axes]
    chosen = _regimes(search, trials, axes, sample)
    evaluator = ped_anova(TARGET_QUANTILE)
    raw, warned = evaluated(evaluator, chosen, names)
    if raw.sum() == 0:
        raise NotApplicableError("the top tenth of the trials is spread like all of them")
    rng = np.random.default_rng(seed)
    shares = [
        _shares(evaluated(evaluator, [chosen[at] for at in again], names)[0])
        for again in _again(rng, len(chosen), resamples)
    ]
    notes = warned
    if len(sample) < ADVISED:
        notes += (
            f"only {max(1, round(len(sample) * TARGET_QUANTILE))} trials are in the top tenth; "
            "Optuna's documentation advises at least 5",
        )
    settings = (("target_quantile", f"{TARGET_QUANTILE}"), ("region_quantile", "1.0"))
    part = _part("PED-ANOVA", evaluator, settings, names, raw, shares)
    return replace(part, trials=len(sample), of=len(trials), notes=notes + part.notes)


def _by_fanova(
    search: Search, trials: Judged, axes: list[ParamAxis], seed: int, resamples: int
) -> EvaluatedImportance:
    everywhere = [axis for axis in axes if axis.given[trials.indices].all()]
    if not everywhere:
        raise NotApplicableError("no param is in all complete trials")
    members = np.arange(len(trials))
    part = _forest(search, trials, everywhere, members, seed, resamples // RESAMPLES_A_FOREST)
    left_out = tuple(
        (
            axis.name,
            f"asked in {int(axis.given[trials.indices].sum())} of {len(trials)} complete trials; "
            "fANOVA takes only params that all of them have",
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
    for at in np.argsort(-sizes, kind="stable")[:MOST_BRANCHES]:
        members = np.flatnonzero(group.ravel() == at)
        chosen = [axis for axis, has in zip(axes, patterns[:, at], strict=True) if has]
        losses = trials.losses[members]
        if len(members) < FEWEST or not chosen or np.all(losses == losses[0]):
            continue
        try:
            part = _forest(search, trials, chosen, members, seed, 0)
        except (NotApplicableError, MissingPackageError):
            return ()  # the reason is that of fANOVA over all trials
        names = ", ".join(axis.name for axis in chosen)
        found.append(replace(part, among=f"the {len(members)} trials with exactly {names}"))
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
            shares.append(_shares(evaluated(smaller, drawn, names, target=_loss)[0]))
    if shares:
        notes += (f"each resample grows {TREES_OF_A_RESAMPLE} trees, which widens the intervals",)
    if any(len(search.param(axis.name).distributions) > 1 for axis in axes):
        notes += ("of a param whose range changed, the union of its ranges is taken",)
    settings = (("n_trees", f"{TREES}"), ("max_depth", f"{DEPTH}"), ("seed", f"{seed}"))
    part = _part("fANOVA", evaluator, settings, names, raw, shares)
    return replace(part, trials=len(sample), of=len(members), notes=notes + part.notes)


def _part(
    name: str,
    evaluator: object,
    settings: tuple[tuple[str, str], ...],
    names: list[str],
    raw: Floats,
    resampled: list[Floats],
) -> EvaluatedImportance:
    """What an evaluator says, the most important first, without what it was computed from."""
    order = np.argsort(-raw, kind="stable")
    shares = _shares(raw)
    low, high = np.full((2, len(names)), np.nan)
    notes: tuple[str, ...] = ()
    if resampled:
        ends = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
        low, high = np.quantile(np.array(resampled), ends, axis=0)
        outside = [names[at] for at in order if not low[at] <= shares[at] <= high[at]]
        if outside:
            notes = (
                f"the interval does not hold the share of {', '.join(outside)}: resampling "
                "repeats trials, which lifts what matters little",
            )
    return EvaluatedImportance(
        evaluator=name,
        among="",
        made_by=f"optuna.importance.{type(evaluator).__name__}",
        settings=settings,
        names=tuple(names[at] for at in order),
        shares=shares[order],
        raw=raw[order],
        low=low[order],
        high=high[order],
        resamples=len(resampled),
        trials=0,
        of=0,
        left_out=(),
        notes=notes,
    )


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


def _shares(raw: Floats) -> Floats:
    """Normalized as in ``optuna.importance.get_param_importances``."""
    total = raw.sum()
    shares: Floats = raw / total if total else np.full(len(raw), 1 / len(raw))
    return shares


def _loss(trial: Trial) -> float:
    return trial.value


def _sklearn_version() -> str | None:
    try:
        return version("scikit-learn")
    except PackageNotFoundError:
        return None
