"""What a proof is, and what all proofs say in the same words."""

from __future__ import annotations

from dataclasses import dataclass

from trialbook.report.source import ReportSource

TRACK = "decorate the objective with trialbook.tracked_objective and run the search with it"
"""What to do where trials were not tracked."""
NAMED = 4
"""How many of a list a proof names."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A piece of evidence.

    Args:
        text: What was found, or what to do when it is missing.
        found: Whether it is there.
        against: Whether what is there answers no.
    """

    text: str
    found: bool = True
    against: bool = False


def chosen_trial(source: ReportSource) -> str:
    """The trial that proofs are about, at the beginning of a sentence."""
    first = source.front_first
    if first is None:
        return "the selected trial"
    return f"trial {first.trial.number}, the first of the front,"


def missing(text: str) -> Proof:
    """A proof that is not there, with what to do."""
    return Proof(text, found=False)
