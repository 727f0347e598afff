"""How the best trial is selected, in words and numbers: the rule, ties and the runner-up.

The rule itself is Optuna's and lies in ``book/ranking.py``; here it is said what it did.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trialbook.analysis.searches.search import Search


@dataclass(frozen=True, slots=True)
class Selection:
    """What was selected from a study.

    Args:
        rule: The rule, one sentence each.
        candidates: Number of trials that could be selected.
        number: Number of the selected trial; ``None`` without one, or with several objectives.
        value: Its value, likewise.
        ties: Numbers of other trials with the same value, ascending.
        next_number: Number of the best trial with another value, ``None`` without one.
        next_value: Its value, likewise.
        front: Numbers of the trials that none dominates, with several objectives; else empty.
    """

    rule: tuple[str, ...]
    candidates: int
    number: int | None
    value: float | None
    ties: tuple[int, ...]
    next_number: int | None
    next_value: float | None
    front: tuple[int, ...]


def selection(search: Search) -> Selection:
    """How the best trial of a study was selected."""
    candidates = int(np.count_nonzero(search.eligible))
    if search.objectives > 1:
        front = tuple(search.numbers[search.front].tolist())
        return Selection(_front_rule(search), candidates, None, None, (), None, None, front)
    rule = _rule(search)
    # A NaN ranks last, but `best` of nothing else would be it: it is no value to defend.
    order = [int(index) for index in search.ranking if search.eligible[index]]
    if not order:
        return Selection(rule, candidates, None, None, (), None, None, ())
    values = search.values[order, 0]
    same = values == values[0]
    other = np.flatnonzero(~same)
    return Selection(
        rule=rule,
        candidates=candidates,
        number=int(search.numbers[order[0]]),
        value=float(values[0]),
        ties=tuple(sorted(int(search.numbers[order[i]]) for i in np.flatnonzero(same)[1:])),
        next_number=int(search.numbers[order[other[0]]]) if len(other) else None,
        next_value=float(values[other[0]]) if len(other) else None,
        front=(),
    )


def _rule(search: Search) -> tuple[str, ...]:
    named = search.study.metric_names
    what = "value of the objective" if named is None else named[0]
    way = "highest" if search.study.directions[0] == "maximize" else "lowest"
    return (
        f"The selected trial is the one with the {way} {what}.",
        "It is chosen from the complete trials that keep all their constraints and whose value is "
        "a number; pruned, failed, deleted and unfinished trials are never selected.",
        "Of trials with equal values the one with the lowest number is selected.",
        "The value is the one that the objective returned in that one execution. As the best of "
        "several it is optimistic: what the configuration reaches on average is told by "
        "replicates."
        if np.count_nonzero(search.eligible) > 1
        else "The value is the one that the objective returned in one execution: what the "
        "configuration reaches on average is told by replicates.",
    )


def _front_rule(search: Search) -> tuple[str, ...]:
    ways = ", ".join(
        f"{name} as {'high' if direction == 'maximize' else 'low'} as possible"
        for name, direction in zip(search.objective_names, search.study.directions, strict=True)
    )
    return (
        f"The study has several objectives ({ways}), so no trial is the best of all.",
        "Its Pareto front is shown: the trials that no other one equals or beats in every "
        "objective and beats in at least one.",
        "They are chosen from the complete trials that keep all their constraints and whose values "
        "are numbers; pruned, failed, deleted and unfinished trials are never selected.",
    )
