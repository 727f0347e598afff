"""``trialbook diff``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from trialbook.cli.options import common_options, format_option
from trialbook.cli.output import (
    Cell,
    Column,
    Format,
    json_text,
    number_text,
    write_csv,
    write_heading,
    write_json,
    write_line,
    write_note,
    write_table,
)
from trialbook.cli.text import printable, styled
from trialbook.cli.wording import scalar_text

if TYPE_CHECKING:
    from trialbook.analysis.differences import MetricDifference, TrialDifferences
    from trialbook.analysis.patches import FileDifference
    from trialbook.records.study import SeriesSummary
    from trialbook.records.verdict import CoordinateDifference


@click.command()
@click.argument("first", metavar="STUDY/N")
@click.argument("second", metavar="STUDY/M")
@format_option
@common_options
def diff(first: str, second: str, format: Format, storage: str | None) -> None:  # noqa: A002
    """Show how two trials differ, and in what.

    Params, results and metrics; then the coordinates: config by key, code as a unified diff, data
    by file, environment by package.
    """
    from trialbook import analysis

    found = analysis.diff(first, second, storage=storage)
    match format:
        case Format.JSON:
            write_json(found)
        case Format.CSV:
            write_csv(("section", "what", "first", "second", "detail"), _csv(found))
        case Format.TABLE:
            _write(found)


def _write(found: TrialDifferences) -> None:
    write_heading(f"{found.first}  ->  {found.second}")
    _section(
        "PARAMS",
        [(p.name, _value(p.first), _value(p.second)) for p in found.params],
    )
    _section("RESULTS", [(r.what, _text(r.first), _text(r.second)) for r in found.results])
    _section(
        "METRICS (last; first point that differs)",
        [(f"{m.metric}{_where(m)}", _last(m.first), _last(m.second)) for m in found.metrics],
    )
    _coordinate("CONFIG", found.config)
    _coordinate("DATA", found.data)
    _coordinate("ENVIRONMENT", found.environment)
    _coordinate("EXECUTION", found.execution)
    _section("RAN ON", [(p.what, _text(p.first), _text(p.second)) for p in found.places])
    if found.code:
        write_line()
        write_heading("CODE")
        for file in found.code:
            _write_file(file)
    for reason in found.unknown:
        write_note(f"not compared: {reason}")
    if found.same:
        write_note("nothing differs that could be compared")


def _section(title: str, rows: Sequence[tuple[str, str, str]]) -> None:
    if rows:
        write_line()
        write_heading(title)
        columns = (Column("", wide=True), Column("FIRST"), Column("SECOND"))
        write_table(columns, rows, indent=2)


def _coordinate(title: str, differences: Sequence[CoordinateDifference]) -> None:
    _section(title, [(d.what, d.recorded or "-", d.here or "-") for d in differences])


def _value(param: Any) -> str:
    if param is None:
        return "-"
    return scalar_text(param.value)


def _text(value: Any) -> str:
    return "-" if value is None else scalar_text(value)


def _last(summary: SeriesSummary | None) -> str:
    return "-" if summary is None else f"{number_text(summary.last)} ({summary.count:,})"


def _where(metric: MetricDifference) -> str:
    return "" if metric.step is None else f" from step {metric.step}"


def _write_file(file: FileDifference) -> None:
    note = "loaded" if file.loaded else "not loaded"
    write_line(f"  {file.change}: {file.label} ({note})")
    if file.change == "mode":
        write_line(f"    mode {file.modes[0]} -> {file.modes[1]}")
    if file.reason is not None:
        write_line(f"    no diff: {file.reason}; {file.first or '-'} -> {file.second or '-'}")
    for line in () if file.patch is None else file.patch.split("\n"):
        sys.stdout.write(_coloured(line) + "\n")


def _coloured(line: str) -> str:
    safe = printable(line)
    if line.startswith(("+++", "---")):
        return styled(safe, "bold", sys.stdout)
    style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
    return safe if style is None else styled(safe, style, sys.stdout)


def _csv(found: TrialDifferences) -> Iterator[tuple[Cell, ...]]:
    for param in found.params:
        distributions = [p.distribution for p in (param.first, param.second) if p is not None]
        changed = len(distributions) == 2 and distributions[0] != distributions[1]
        yield (
            "param",
            param.name,
            None if param.first is None else _cell(param.first.value),
            None if param.second is None else _cell(param.second.value),
            "distribution" if changed else None,
        )
    for result in found.results:
        yield "result", result.what, _cell(result.first), _cell(result.second), None
    for metric in found.metrics:
        step = None if metric.step is None else f"from step {metric.step}"
        sides = [None if s is None else s.last for s in (metric.first, metric.second)]
        yield "metric", metric.metric, sides[0], sides[1], step
    for part in ("config", "data", "environment", "execution"):
        for item in getattr(found, part):
            yield part, item.what, item.recorded, item.here, None
    for place in found.places:
        yield "place", place.what, _cell(place.first), _cell(place.second), None
    for file in found.code:
        loaded = "loaded" if file.loaded else "not loaded"
        yield "code", file.label, file.first, file.second, f"{file.change}, {loaded}"
    for reason in found.unknown:
        yield "unknown", reason, None, None, None


def _cell(value: Any) -> Cell:
    if value is None or isinstance(value, (str, int, float)):
        return value
    return json_text(value, indent=None)
