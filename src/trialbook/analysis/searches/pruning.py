"""The pruning audit: what each pruned trial had reached, held against the rule that stopped it.

What a pruned trial would have reached is not known, and nothing here guesses it. What can be said:
whether the rule, computed again from the record, stops the trial there; by what margin; how its
last value ranks among the complete trials' at the same step; and whether it was better there than
the trial that became the best.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trialbook.analysis.columns import Cell, Column, Holds, Table
from trialbook.analysis.searches.curves import StepQuantiles, step_quantiles
from trialbook.analysis.searches.history import cells
from trialbook.analysis.searches.metrics import reported_points
from trialbook.analysis.searches.pruning_rules import Cases, Judgement
from trialbook.analysis.searches.recorded_rule import rule_of
from trialbook.analysis.searches.search import Flags, Floats, Ints, Search
from trialbook.errors import NotApplicableError


@dataclass(frozen=True, slots=True, eq=False)
class PruningAudit:
    """What pruned trials had reached.

    Arrays have one entry a pruned trial that reported something, in the order in which they
    finished.

    Args:
        pruner: Name of the pruner, ``None`` when it is not recorded.
        rule: What the rule says, in one sentence; or why it cannot be computed again.
        recomputed: Whether ``threshold``, ``margin`` and ``prunes`` are the rule's. Otherwise
            trials are compared with the median of all complete trials at the same step.
        numbers: Shape (n,).
        finished: Shape (n,): how many trials had finished with this one.
        steps: Shape (n,): the last step that was reported.
        reached: Shape (n,): the value at that step.
        judged: Shape (n,): the value that is compared; of some rules the best value so far.
        threshold: Shape (n,): with what; NaN when there was nothing to compare with.
        margin: Shape (n,): by how much it was worse than that; negative when it was better.
        prunes: Shape (n,): whether the rule stops the trial there; all ``False`` without a rule.
        answered: Shape (n,): the last answer of ``should_prune``: 1 stop, 0 go on, -1 not recorded.
        rank: Shape (n,): rank of ``reached`` among the values of complete trials at that step: 1
            when none is better; 0 when it is NaN.
        among: Shape (n,): how many such values there are.
        ahead: Shape (n,): whether it was better there than the best trial at the same step.
        comparable: Shape (n,): whether the best trial has a value at that step.
        silent: Number of pruned trials that reported nothing; they are not in the arrays.
        best_number: Number of the best trial, ``None`` without one.
        best_steps: Shape (m,): the steps of its own curve.
        best_values: Shape (m,): its values there.
        median: The median of all complete trials at each step.
    """

    pruner: str | None
    rule: str
    recomputed: bool
    numbers: Ints
    finished: Ints
    steps: Ints
    reached: Floats
    judged: Floats
    threshold: Floats
    margin: Floats
    prunes: Flags
    answered: Ints
    rank: Ints
    among: Ints
    ahead: Flags
    comparable: Flags
    silent: int
    best_number: int | None
    best_steps: Ints
    best_values: Floats
    median: StepQuantiles

    def __len__(self) -> int:
        return len(self.numbers)

    def table(self) -> Table:
        """One row a pruned trial."""
        answers: dict[int, Cell] = {1: True, 0: False, -1: None}
        rule: list[Cell] = self.prunes.tolist() if self.recomputed else [None] * len(self)
        ahead: list[Cell] = [
            flag if there else None
            for flag, there in zip(self.ahead.tolist(), self.comparable.tolist(), strict=True)
        ]
        return Table(
            (
                Column("trial", Holds.INTEGER),
                Column("step", Holds.INTEGER),
                Column("value reached", Holds.NUMBER),
                Column("value compared", Holds.NUMBER),
                Column("threshold" if self.recomputed else "median", Holds.NUMBER),
                Column("worse by", Holds.NUMBER),
                Column("stopped by the rule"),
                Column("stopped by should_prune"),
                Column("rank among complete", Holds.INTEGER),
                Column("complete at that step", Holds.INTEGER),
                Column("ahead of the best trial"),
            ),
            tuple(
                zip(
                    self.numbers.tolist(),
                    self.steps.tolist(),
                    *map(cells, (self.reached, self.judged, self.threshold, self.margin)),
                    rule,
                    [answers[answer] for answer in self.answered.tolist()],
                    [rank or None for rank in self.rank.tolist()],
                    self.among.tolist(),
                    ahead,
                    strict=True,
                )
            ),
        )


def pruning_audit(search: Search) -> PruningAudit:
    """What each pruned trial had reached, against the rule.

    Args:
        search: The study's search.

    Raises:
        NotApplicableError: The study has several objectives, no trial was pruned, or the pruned
            ones reported nothing.
    """
    if search.objectives > 1:
        raise NotApplicableError("Optuna prunes trials of studies with one objective only")
    points = reported_points(search)
    order = search.finished
    pruned = order[search.states[order] == "PRUNED"]
    cases = Cases(search, points, pruned[points.lengths[pruned] > 0])
    silent = len(pruned) - len(cases.pruned)
    if not len(pruned):
        hint = "see 'curves' for what trials reported on the way" if points.lengths.any() else None
        raise NotApplicableError("no trial was pruned", hint=hint)
    if not len(cases.pruned):
        raise NotApplicableError(
            f"the {silent} pruned trials reported nothing: what they had reached is not known",
            hint="report values in the objective with trial.report",
        )
    median = step_quantiles(points, search.states == "COMPLETE", (0.5,))
    rule = rule_of(search, points)
    recomputed = not isinstance(rule, str)
    found = _against_median(cases, median) if isinstance(rule, str) else rule.judge(cases)
    steps, reached = cases.steps, cases.reached
    rank, among = _ranks(cases)
    best_steps, best_values = (
        (np.empty(0, np.int64), np.empty(0)) if search.best is None else points.of(search.best)
    )
    rival = _at(best_steps, best_values, steps)
    pruners = dict.fromkeys(use.component.name for use in search.pruners)
    return PruningAudit(
        pruner=", ".join(pruners) or None,
        rule=rule if isinstance(rule, str) else rule.says(),
        recomputed=recomputed,
        numbers=search.numbers[cases.pruned],
        finished=1 + np.flatnonzero(np.isin(order, cases.pruned)),
        steps=steps,
        reached=reached,
        judged=found.judged,
        threshold=found.threshold,
        margin=found.margin,
        prunes=found.prunes,
        answered=_answers(search)[cases.pruned],
        rank=rank,
        among=among,
        ahead=cases.sign * reached < cases.sign * rival,
        comparable=~np.isnan(rival),
        silent=silent,
        best_number=None if search.best is None else int(search.numbers[search.best]),
        best_steps=best_steps,
        best_values=best_values,
        median=median,
    )


def _against_median(cases: Cases, median: StepQuantiles) -> Judgement:
    """The last value beside the median of all complete trials; no rule."""
    threshold = _at(median.steps, median.quantiles[0], cases.steps)
    margin = cases.sign * (cases.reached - threshold)
    return Judgement(cases.reached, threshold, margin, np.zeros(len(threshold), np.bool_))


def _at(steps: Ints, values: Floats, wanted: Ints) -> Floats:
    """The values at the wanted steps, the first of each; NaN where there is none."""
    place = np.searchsorted(steps, wanted)
    found = np.full(len(wanted), np.nan)
    inside = np.flatnonzero(place < len(steps))
    hits = inside[steps[place[inside]] == wanted[inside]]
    found[hits] = values[place[hits]]
    return found


def _ranks(cases: Cases) -> tuple[Ints, Ints]:
    """Rank of each value among those of complete trials at its step, and how many those are."""
    steps, reached = cases.steps, cases.reached
    complete = cases.search.states == "COMPLETE"
    rank = np.zeros(len(steps), np.int64)
    among = np.zeros(len(steps), np.int64)
    for step in np.unique(steps).tolist():
        here = np.flatnonzero(steps == step)
        values = cases.points.at(step)[complete]
        losses = np.sort(cases.sign * values[~np.isnan(values)])
        among[here] = len(losses)
        rank[here] = 1 + np.searchsorted(losses, cases.sign * reached[here], side="left")
    rank[np.isnan(reached)] = 0
    return rank, among


def _answers(search: Search) -> Ints:
    """Shape (trials,): the last answer of ``should_prune``: 1, 0, or -1 where none is recorded."""
    answers = np.full(len(search), -1, np.int64)
    for attempt, trial in zip(search.attempts, search.attempt_trial.tolist(), strict=True):
        if attempt.number == search.counting[trial] and attempt.prune_answers:
            answers[trial] = attempt.prune_answers[-1]
    return answers
