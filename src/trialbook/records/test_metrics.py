"""Test metrics: series that say how good a model is on data that the search must not look at.

They are told by their names alone. No NumPy here: pages that list metrics ask too.
"""

from __future__ import annotations

TEST_PREFIX = "test:"
"""Begins the name of every series that ``trial.log_test`` writes, and of no other."""

WITHHELD = "withheld"
"""Stands where the value of a test metric would be told."""


def is_test(metric: str) -> bool:
    """Whether a series holds test metrics, whose values are shown only where that is counted."""
    return metric.startswith(TEST_PREFIX)


def series_name(name: str) -> str:
    """The name of the series of a test metric."""
    return TEST_PREFIX + name
