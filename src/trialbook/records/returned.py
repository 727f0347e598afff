"""What an objective returned that Optuna takes for no result, in words."""

from __future__ import annotations

import math
from typing import Any

from trialbook.records.execution import EndReason


def unusable_return(
    end: EndReason | None, outcome: EndReason | None, returned: Any, objectives: int
) -> str:
    """What the objective returned, where a trial failed for that and for nothing else.

    Args:
        end: Why the attempt ended, as it was judged.
        outcome: The same as the process saw it: an objective that returns has ended well.
        returned: What it returned, as ``AttemptRecord`` has it.
        objectives: How many values the study takes.

    Returns:
        ``returned NaN``, ``returned None``, ``returned 2 values``, ``returned no number``; empty
        where the attempt did not fail, or failed for another reason: whoever asked for the trial
        may have told that it failed.
    """
    if end is not EndReason.FAILED or outcome is not EndReason.COMPLETE:
        return ""
    if returned is None:
        return "returned None"
    if isinstance(returned, str):
        return "returned no number"
    values = returned if isinstance(returned, (list, tuple)) else [returned]
    if any(math.isnan(value) for value in values):
        return "returned NaN"
    if len(values) == objectives:
        return ""
    return f"returned {len(values)} value{'' if len(values) == 1 else 's'}"
