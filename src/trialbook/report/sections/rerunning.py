"""How the selected trial is run again, and what came of it when somebody did."""

from __future__ import annotations

from trialbook.report.document import (
    Answer,
    Block,
    Checklist,
    ChecklistItem,
    Notice,
    Paragraph,
    Section,
)
from trialbook.report.source import ReportSource


def rerunning(source: ReportSource) -> Section:
    """The exact command, and the stored verdicts."""
    blocks: list[Block] = [Paragraph("A recorded trial can be executed again.")]
    if source.selected is None:
        blocks.append(Notice("No trial is selected."))
    else:
        name = source.trial_name(source.selected.trial.number)
        blocks.append(source.command(f"rerun {name}", "Runs the selected trial again."))
    blocks.append(
        Checklist((ChecklistItem("NeurIPS 4", "An item.", Answer.MISSING, ("not yet",)),))
    )
    return Section("rerun", "Running it again", tuple(blocks))
