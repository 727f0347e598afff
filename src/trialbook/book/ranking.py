"""Which finished trials are the best, as Optuna sees it: constraints, ties and several objectives.

Pure functions on values that were read; ``tests/book/test_ranking.py`` holds them against Optuna.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trialbook.records.study import Direction

_CONSTRAINTS = "constraints"


@dataclass(frozen=True, slots=True)
class Contender:
    """A COMPLETE trial.

    Args:
        number: Its number.
        values: One for each objective.
        feasible: Whether it keeps all its constraints (it has none, or all are <= 0).
    """

    number: int
    values: tuple[float, ...]
    feasible: bool = True


def is_feasible(system_attrs: Mapping[str, Any]) -> bool:
    """Whether every constraint among a trial's system attributes is at most 0.

    Optuna keeps them as a list under ``constraints`` or one by one under ``constraints:NAME``.
    """
    constraints = list(system_attrs.get(_CONSTRAINTS) or ())
    prefix = _CONSTRAINTS + ":"
    constraints += [value for key, value in system_attrs.items() if key.startswith(prefix)]
    return all(value <= 0.0 for value in constraints)


def ranked(contenders: Sequence[Contender], direction: Direction) -> list[Contender]:
    """Feasible contenders, the best first; of equal ones the earlier; NaN last."""
    sign = -1.0 if direction == "maximize" else 1.0

    def key(contender: Contender) -> tuple[bool, float, int]:
        value = sign * contender.values[0]
        missing = math.isnan(value)
        return missing, 0.0 if missing else value, contender.number

    return sorted((c for c in contenders if c.feasible), key=key)


def front(contenders: Sequence[Contender], directions: Sequence[Direction]) -> list[Contender]:
    """Feasible contenders that no other one dominates, by number.

    One dominates another when it is at least as good in every objective and better in one.
    Contenders with a NaN are left out: they compare with nothing.
    """
    candidates = [c for c in contenders if c.feasible and not any(math.isnan(v) for v in c.values)]
    if not candidates:
        return []
    import numpy as np  # 0.2 s that studies with one objective can save

    signs = np.array([-1.0 if d == "maximize" else 1.0 for d in directions])
    losses = np.array([c.values for c in candidates], dtype=float) * signs
    order = np.lexsort(losses.T[::-1])
    remaining = losses[order]
    indices = order
    kept: list[int] = []
    while len(indices):
        # In lexicographic order nothing that follows dominates the first; equal ones stay with it.
        lead = remaining[0]
        equal = (remaining == lead).all(axis=1)
        kept.extend(indices[equal].tolist())
        better_somewhere = (remaining < lead).any(axis=1)
        remaining, indices = remaining[better_somewhere], indices[better_somewhere]
    return sorted((candidates[i] for i in kept), key=lambda c: c.number)
