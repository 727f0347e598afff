"""Showings of test metrics: who saw what, as the book keeps it with the study."""

from __future__ import annotations

from dataclasses import dataclass

SHOWING_KEY = "trialbook:shown:"
"""Begins the key of each of these among a study's system attributes."""


@dataclass(frozen=True, slots=True)
class Showing:
    """One time that test metrics of a study were shown.

    Args:
        by: What showed them: ``show``, ``report``, ``python`` and so on.
        trials: Numbers of the trials whose test metrics were shown, ascending.
        at_s: When, in seconds since the epoch.
    """

    by: str
    trials: tuple[int, ...]
    at_s: float
