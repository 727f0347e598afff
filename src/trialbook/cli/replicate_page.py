"""The page of a study's replicates: means, spread, intervals, the winner's curse, comparisons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trialbook.cli.output import (
    Column,
    Format,
    number_text,
    write_csv,
    write_heading,
    write_json,
    write_line,
    write_note,
    write_table,
)

if TYPE_CHECKING:
    from trialbook.analysis.estimates import Interval, Method
    from trialbook.analysis.replication import Replication
    from trialbook.running.replicating.replicate import ReplicationRun


def write_replication(
    done: ReplicationRun,
    storage: str | None,
    format: Format,  # noqa: A002
    *,
    method: Method,
    level: float,
) -> None:
    """Print what the replicates came to so far."""
    from trialbook.analysis.replication import replication
    from trialbook.analysis.replication_tables import (
        comparison_table,
        comparison_text,
        gap_text,
        run_table,
        summary_table,
    )

    found = replication(done.study, storage=storage, method=method, level=level)
    if format is Format.CSV:
        table = summary_table(found)
        write_csv([column.name for column in table.columns], table.rows)
        return
    if format is Format.JSON:
        tables = {
            "configurations": summary_table(found),
            "comparisons": comparison_table(found),
            "replicates": run_table(found),
        }
        write_json(
            {
                "study": found.study,
                "source": done.source,
                "link": found.link,
                **{
                    name: [
                        {column.name: cell for column, cell in zip(table.columns, row, strict=True)}
                        for row in table.rows
                    ]
                    for name, table in tables.items()
                },
                "notes": found.notes,
            }
        )
        return
    _write_summary(found)
    for one in found.configurations:
        for objective, gap in enumerate(one.gaps):
            if gap is not None:
                write_line(gap_text(found, one, gap, objective))
    for comparison in found.comparisons:
        write_line(comparison_text(found, comparison))
    for note in found.notes:
        write_note(note)


def _write_summary(found: Replication) -> None:
    write_heading(f"{found.study}: replicates of {found.source.text}")
    several = len(found.objectives) > 1
    columns = [
        Column("CONFIGURATION", wide=True),
        *([Column("OBJECTIVE")] if several else []),
        Column("N", right=True),
        Column("MEAN", right=True),
        Column("SD", right=True),
        Column("RANGE", right=True),
        Column("INTERVAL", right=True),
        Column("METHOD", wide=True),
        Column("SEARCH", right=True),
        Column("GAP", right=True),
    ]
    rows = []
    for one in found.configurations:
        for objective, estimate in enumerate(one.estimates):
            gap = one.gaps[objective]
            missing = one.runs.failed + one.runs.unfinished
            rows.append(
                (
                    one.name,
                    *([found.objectives[objective]] if several else []),
                    f"{estimate.count} of {len(one.runs)}" if missing else str(estimate.count),
                    number_text(estimate.mean, brief=True),
                    number_text(estimate.deviation, brief=True) if estimate.count > 1 else "",
                    _ends(estimate.lowest, estimate.highest) if estimate.count > 1 else "",
                    _of(estimate.interval),
                    estimate.lacking
                    if estimate.interval is None
                    else f"{100 * estimate.interval.level:g} %, {estimate.interval.method}",
                    "" if gap is None else number_text(gap.search, brief=True),
                    "" if gap is None else number_text(gap.gap, brief=True),
                )
            )
    write_table(columns, rows)


def _of(interval: Interval | None) -> str:
    return "" if interval is None else _ends(interval.low, interval.high)


def _ends(low: float, high: float) -> str:
    return f"{number_text(low, brief=True)} .. {number_text(high, brief=True)}"
