"""The selected configuration in full: params, exact, and what was fixed."""

from __future__ import annotations

from trialbook.analysis.columns import Cell, Column, Holds, Table
from trialbook.records.study import ParamRecord
from trialbook.report.document import Block, Notice, Section
from trialbook.report.source import ReportSource


def configuration(source: ReportSource) -> Section:
    """Params of the selected trial, exact, and the resolved configuration."""
    blocks: list[Block] = []
    if source.selected is None:
        blocks.append(Notice("No trial is selected, so there is no configuration to show."))
    else:
        trial = source.selected.trial
        blocks.append(
            source.table(
                "best-params",
                f"Params of trial {trial.number}, with all their digits.",
                params_table(trial.params),
                trials=(trial.number,),
            )
        )
    return Section("configuration", "Best configuration", tuple(blocks))


def params_table(params: tuple[ParamRecord, ...]) -> Table:
    """Params, exact, in the order in which they were asked."""
    return Table(
        (Column("param"), Column("value", Holds.EXACT)),
        tuple((param.name, plain(param.value)) for param in params),
    )


def plain(value: object) -> Cell:
    """A value as a cell; what is no plain value as its text."""
    return value if value is None or isinstance(value, (str, int, float, bool)) else repr(value)
