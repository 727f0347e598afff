"""What the selected configuration reaches under fresh seeds: replicates, or that there are none."""

from __future__ import annotations

from collections.abc import Iterator

from trialbook.analysis.replication import Replication
from trialbook.analysis.replication_tables import (
    comparison_table,
    comparison_text,
    gap_text,
    metric_table,
    run_table,
    summary_table,
)
from trialbook.errors import InvalidInputError, NotFoundError
from trialbook.report.document import Block, Notice, Paragraph, Section, Tone
from trialbook.report.source import ReportSource
from trialbook.running.replicating.choosing import choice

_SHOWN = 20
_LIMITS = (
    "A fresh seed changes what the objective takes from its seed, and nothing else. The values are "
    "on the data that the search selected by: on data that nothing was selected by, the mean may "
    "be worse."
)


def replicating(source: ReportSource) -> Section:
    """Means, spread, intervals, the winner's curse, and comparisons with other configurations."""
    if not source.replications:
        return Section("replicates", "Replicates", tuple(_none(source)))
    blocks: list[Block] = []
    if source.untold:
        blocks.append(Notice(source.untold, Tone.WARNING))
    several = len(source.replications) > 1
    for index, found in enumerate(source.replications, start=1):
        end = f"-{index}" if several else ""
        if several:
            blocks.append(Paragraph(f"Replicates of the study {found.study}:"))
        blocks += _replication(source, found, end)
    blocks += source.figures("replicates")
    return Section("replicates", "Replicates", tuple(blocks))


def _none(source: ReportSource) -> Iterator[Block]:
    found = source.selected or source.front_first
    yield Notice(
        "The selected configuration was not replicated: its value was measured once, and what it "
        "reaches on average is not known."
        if found is not None
        else "No trial is selected, so none was replicated."
    )
    if found is None:
        return
    try:
        also = _comparable(source, found.trial.number)
    except InvalidInputError as error:
        yield Notice(f"{error.what[:1].upper()}{error.what[1:]}.")
        return
    others = f" --also {','.join(also)}" if also else ""
    yield source.command(
        f"replicate --seeds 10{others} {source.trial_name(found.trial.number)}",
        "Runs the configuration again under fresh seeds, as trials of a linked study.",
    )


def _comparable(source: ReportSource, number: int) -> list[str]:
    """What the configuration can be compared with, so that the printed command does run.

    Raises:
        InvalidInputError: The configuration itself cannot be replicated.
    """
    name = f"{source.study.name}/{number}"
    choice(source.reader, name)
    found = []
    for text in ("default", "best:2") if source.selected is not None else ("default",):
        try:
            others = choice(source.reader, name, [text]).others
        except (InvalidInputError, NotFoundError):
            continue
        found += [text] if others else []
    return found


def _replication(source: ReportSource, found: Replication, end: str) -> Iterator[Block]:
    selected = source.selected
    replicated = found.chosen.runs.configuration.trial
    other = selected is not None and replicated != selected.trial.number
    if selected is not None and other and not source.holds_replicates:
        yield Notice(
            f"The replicates are of {found.chosen.name}, which is not the selected trial "
            f"{selected.trial.number}.",
            Tone.WARNING,
        )
    for note in found.notes:
        yield Notice(note, Tone.WARNING)
    yield source.table(
        f"replicates-summary{end}",
        "Values under fresh seeds: mean, standard deviation and interval of the mean; by how much "
        "the search's value is better than the mean.",
        summary_table(found),
        also=_also(source, found),
    )
    for one in found.configurations[:1]:
        for objective, gap in enumerate(one.gaps):
            if gap is not None:
                yield Paragraph(gap_text(found, one, gap, objective))
    yield Paragraph(_LIMITS)
    if found.comparisons:
        yield source.table(
            f"replicates-compared{end}",
            f"{found.chosen.name} against the others{_unadjusted(found)}.",
            comparison_table(found),
            also=_also(source, found),
        )
        for comparison in found.comparisons:
            yield Paragraph(comparison_text(found, comparison))
    metrics = metric_table(found)
    if metrics.rows:
        yield source.table(
            f"replicates-metrics{end}",
            "Last value of each metric over the replicates; those that begin with test: are test "
            "metrics.",
            metrics,
            shown=_SHOWN,
            also=_also(source, found),
        )
    yield source.table(
        f"replicates-runs{end}",
        "Every replicate.",
        run_table(found),
        shown=_SHOWN,
        also=_also(source, found),
    )


def _also(source: ReportSource, found: Replication) -> tuple[str, ...]:
    """The study of the replicates, where the report is about the one that they belong to."""
    return () if found.study == source.study.name else (found.study,)


def _unadjusted(found: Replication) -> str:
    tested = sum(one.difference.p_value is not None for one in found.comparisons)
    return f"; p of each of {tested} tests by itself, not adjusted for their number" * (tested > 1)
