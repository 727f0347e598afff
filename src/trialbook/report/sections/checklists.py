"""The checklist section: answers that rest on what the book holds."""

from __future__ import annotations

from collections import Counter

from trialbook.report.checklist import answers
from trialbook.report.document import Answer, Checklist, Paragraph, Section
from trialbook.report.evidence import evidence
from trialbook.report.source import ReportSource


def checklists(source: ReportSource) -> Section:
    """Items of the NeurIPS checklist and of the ML reproducibility checklist."""
    items = answers(evidence(source))
    counts = Counter(item.answer for item in items)
    summary = ", ".join(f"{counts[answer]} {answer}" for answer in Answer if counts[answer])
    return Section(
        "checklist",
        "Checklist",
        (
            Paragraph(
                "The experiment items of the NeurIPS paper checklist and of the machine learning "
                f"reproducibility checklist, version 2.0 (MLRC), in our words: {summary}. Yes is "
                "said only where all evidence for it is in the book. MISSING says what to do. "
                "Authors marks what no book can know."
            ),
            Checklist(items),
        ),
    )
