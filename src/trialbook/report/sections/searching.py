"""The search in pictures: how the best value came about."""

from __future__ import annotations

from trialbook.report.document import Section
from trialbook.report.source import ReportSource

_KINDS = ("history",)


def searching(source: ReportSource) -> Section:
    """How the search went."""
    return Section("search", "The search", tuple(source.figure(kind) for kind in _KINDS))
