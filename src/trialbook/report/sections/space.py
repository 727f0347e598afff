"""The search space: what each param was asked with, under which condition, and what changed."""

from __future__ import annotations

from trialbook.analysis.columns import Cell, Column, Holds, Table
from trialbook.analysis.searches.space import Space
from trialbook.report.document import Block, Notice, Paragraph, Section, Tone
from trialbook.report.source import ReportSource
from trialbook.report.wording import counted


def search_space(source: ReportSource) -> Section:
    """Ranges, scales and conditions of the params, with changes in mid-study."""
    found = source.account.space
    if found is None:
        return _section((Notice("There is no search space to show: no trial asked for a param."),))
    return _section(
        (
            Paragraph(
                "A space in Optuna is not declared but met: these are the ranges with which the "
                "trials asked for each param, bounds included. Conditions are observed: what "
                "all finished trials agree on, or all complete ones where it says so."
            ),
            source.table("space", "The search space.", space_table(found)),
            *_changes(found),
        )
    )


def space_table(found: Space) -> Table:
    """One row a param and range; from which trial on only when one was changed."""
    changed = any(param.changed for param in found.params)
    rows: list[tuple[Cell, ...]] = [
        (
            param.name,
            one.kind,
            one.text,
            param.asked,
            one.trials,
            *((one.first_trial,) if changed else ()),
        )
        for param in found.params
        for one in param.ranges
    ]
    columns = (
        Column("param", Holds.CODE),
        Column("kind"),
        Column("range"),
        Column("asked"),
        Column("trials", Holds.INTEGER),
        *((Column("from trial", Holds.INTEGER),) if changed else ()),
    )
    return Table(columns, tuple(rows))


def _section(blocks: tuple[Block, ...]) -> Section:
    return Section("space", "Search space", blocks)


def _changes(found: Space) -> list[Block]:
    changed = [param for param in found.params if param.changed]
    if not changed:
        return [Paragraph("No range was changed while the study ran.")]
    blocks: list[Block] = [
        Notice(
            f"The range of {counted(len(changed), 'param')} was changed while the study ran.",
            Tone.WARNING,
        )
    ]
    blocks += [Paragraph(f"{p.name}: {'; '.join(p.changes)}.") for p in changed]
    return blocks
