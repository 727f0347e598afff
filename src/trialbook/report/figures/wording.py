"""What axes and legends say of a study, the same in every kind of figure."""

from __future__ import annotations

from trialbook.analysis.search.search import Search


def objective_label(search: Search, objective: int = 0) -> str:
    """The axis of an objective: which one, and which way is better."""
    way = (
        "higher is better"
        if search.study.directions[objective] == "maximize"
        else "lower is better"
    )
    which = "objective" if search.objectives == 1 else f"objective {objective}"
    return f"{which} ({way})"
