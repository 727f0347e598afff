"""What was not recorded: coverage of the coordinates over all trials, with the reasons."""

from __future__ import annotations

from trialbook.report.document import Block, Notice, Paragraph, Section, Tone
from trialbook.report.source import ReportSource
from trialbook.report.wording import counted

_SHOWN = 30


def coverage(source: ReportSource) -> Section:
    """How complete the records are, and why not where they are not."""
    found = source.account.gaps
    blocks: list[Block] = []
    if found.untracked > 0:
        blocks.append(
            Notice(
                f"{counted(found.untracked, 'trial')} of {found.trials} ran without being tracked: "
                "code, data, configuration, environment and execution are not recorded of "
                f"{'it' if found.untracked == 1 else 'them'}.",
                Tone.WARNING,
            )
        )
    if found.tracked:
        blocks.append(
            source.table("coverage", "How many tracked trials have each coordinate.", found.table())
        )
        reasons = found.reasons()
        if reasons.rows:
            blocks.append(
                source.table(
                    "gaps", "What is missing, or remarked, and why.", reasons, shown=_SHOWN
                )
            )
        else:
            blocks.append(Paragraph("Of the tracked trials nothing is missing."))
    elif not found.untracked:
        blocks.append(Notice("No trial has begun, so nothing is recorded yet."))
    return Section("coverage", "What was not recorded", tuple(blocks))
