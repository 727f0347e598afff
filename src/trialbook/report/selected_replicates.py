"""Which replicates speak for what a report selects: those of another trial do not."""

from __future__ import annotations

from trialbook.analysis.replication import ReplicatedConfiguration
from trialbook.report.source import ReportSource


def selected_replicates(source: ReportSource) -> ReplicatedConfiguration | None:
    """The selected configuration under fresh seeds; ``None`` when it was not replicated.

    Of several studies of replicates the first by name that holds it; of a study of replicates the
    configuration that was chosen for it.
    """
    found = source.selected or source.front_first
    for one in source.replications:
        own = found is not None and one.chosen.runs.configuration.trial == found.trial.number
        if own or source.holds_replicates:
            return one.chosen
    return None
