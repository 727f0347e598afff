"""Fewer marks than there are values, chosen in a way that can be said in one sentence."""

from __future__ import annotations

import numpy as np

from trialbook.analysis.searches.search import Floats, Ints


def chosen(count: int, limit: int, *, keep: Ints | None = None, seed: int = 0) -> Ints:
    """Indices of those of so many that are drawn: all, or a random choice without replacement.

    Args:
        count: How many there are.
        limit: How many may be drawn.
        keep: Indices of those that are drawn in any case, however many.
        seed: The same seed makes the same choice.

    Returns:
        Growing indices.
    """
    if count <= limit:
        return np.arange(count)
    kept = np.unique(np.empty(0, np.int64) if keep is None else keep)
    rest = np.setdiff1d(np.arange(count), kept, assume_unique=True)
    room = max(0, limit - len(kept))
    drawn = np.random.default_rng(seed).choice(rest, min(room, len(rest)), replace=False)
    return np.sort(np.concatenate([kept, drawn]))


def corners(values: Floats) -> Ints:
    """Indices that are enough to draw values as steps: the first, the last and every change."""
    if len(values) < 3:
        return np.arange(len(values))
    before, after = values[:-1], values[1:]
    changed = ~((before == after) | (np.isnan(before) & np.isnan(after)))
    return np.unique(np.concatenate([[0], 1 + np.flatnonzero(changed), [len(values) - 1]]))


def infinite_note(*values: Floats) -> tuple[str, ...]:
    """The note that infinite values have no place in a figure; empty without any."""
    count = sum(int(np.isinf(array).sum()) for array in values)
    if not count:
        return ()
    return (
        f"{count} infinite {'value has' if count == 1 else 'values have'} no place on the axes",
    )
