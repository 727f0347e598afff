"""How ``trialbook rerun`` prints a report; its last line is the verdict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from trialbook.cli.output import (
    Cell,
    Column,
    Format,
    number_text,
    write_csv,
    write_heading,
    write_json,
    write_line,
    write_table,
)
from trialbook.cli.wording import counted, scalar_text
from trialbook.records.verdict import CoordinateDifference, RerunReport, ResultDifference
from trialbook.rerun.judgement import difference_text
from trialbook.rerun.repeated import RepeatedReport, Spread

_COORDINATES_SHOWN = 40


def write_report(report: RerunReport | RepeatedReport, format: Format) -> None:  # noqa: A002
    """Print what one rerun or several said."""
    match format:
        case Format.JSON:
            write_json(_json(report))
        case Format.CSV:
            write_csv(("section", "name", "field", "value"), _csv(report))
        case Format.TABLE:
            _write_page(report)


def _reports(report: RerunReport | RepeatedReport) -> tuple[RerunReport, ...]:
    return report.reports if isinstance(report, RepeatedReport) else (report,)


def _json(report: RerunReport | RepeatedReport) -> object:
    if isinstance(report, RerunReport):
        return report
    whole = {field.name: getattr(report, field.name) for field in fields(report)}
    return {"verdict": report.verdict, "reason": report.reason, **whole}


def _csv(report: RerunReport | RepeatedReport) -> Iterator[tuple[Cell, ...]]:
    for number, one in enumerate(_reports(report), start=1):
        name = str(number)
        yield "rerun", name, "verdict", str(one.verdict)
        yield "rerun", name, "reason", one.reason
        yield "rerun", name, "points", one.points
        yield "rerun", name, "params", one.params
        yield "rerun", name, "artifacts", one.artifacts
        yield "rerun", name, "elapsed_s", one.elapsed_s
        for difference in one.differences:
            place = f"{difference.what} {difference.name}"
            if difference.step is not None:
                place += f" at step {difference.step}"
            yield "difference", place, "recorded", scalar_text(difference.recorded)
            yield "difference", place, "rerun", scalar_text(difference.rerun)
        for item in one.coordinates:
            yield "coordinate", f"{item.kind} {item.what}", "recorded", item.recorded
            yield "coordinate", f"{item.kind} {item.what}", "here", item.here
    if isinstance(report, RepeatedReport):
        for spread in report.spreads:
            for field in fields(spread)[1:]:
                yield "spread", spread.name, field.name, getattr(spread, field.name)


def _write_page(report: RerunReport | RepeatedReport) -> None:
    reports = _reports(report)
    shown = next(one for one in reports if one.verdict is report.verdict)
    _write_coordinates(shown.coordinates)
    _write_differences(shown.differences)
    if isinstance(report, RepeatedReport):
        _write_spreads(report.spreads)
        for number, one in enumerate(reports, start=1):
            write_line(f"{number}: {one.verdict}" + (f" ({one.reason})" if one.reason else ""))
    first = next((item for item in shown.differences if not item.tolerated), None)
    if first is not None:
        write_line(f"the first difference is {difference_text(first)}")
    if report.reason:
        write_line(report.reason)
    compared = (
        f"{counted(shown.points, 'point')}, {counted(shown.params, 'param')} and "
        f"{counted(shown.artifacts, 'artifact')} compared"
    )
    times = "" if len(reports) == 1 else f" over {len(reports)} reruns"
    write_line(f"{report.reference}: {report.verdict} ({compared}{times})")


def _write_coordinates(differences: tuple[CoordinateDifference, ...]) -> None:
    if not differences:
        return
    write_heading("COORDINATES THAT DIFFER")
    write_table(
        (Column("KIND"), Column("WHAT"), Column("RECORDED", wide=True), Column("HERE", wide=True)),
        (
            (item.kind, item.what, _shortened(item.recorded), _shortened(item.here))
            for item in differences[:_COORDINATES_SHOWN]
        ),
        indent=2,
    )
    rest = len(differences) - _COORDINATES_SHOWN
    if rest > 0:
        write_line(f"  and {rest} more; --format json lists them all")
    write_line()


def _shortened(value: str | None) -> str:
    if value is None:
        return "nothing"
    return value if len(value) <= 100 else value[:97] + "..."


def _write_differences(differences: tuple[ResultDifference, ...]) -> None:
    if not differences:
        return
    write_heading("RESULTS THAT DIFFER")
    columns = (
        Column("WHAT"),
        Column("NAME"),
        Column("STEP", right=True),
        Column("RECORDED", wide=True),
        Column("RERUN", wide=True),
        Column("TOLERATED"),
    )
    write_table(
        columns,
        (
            (
                item.what,
                item.name,
                "" if item.step is None else str(item.step),
                _shortened(scalar_text(item.recorded)),
                _shortened(scalar_text(item.rerun)),
                "yes" if item.tolerated else "no",
            )
            for item in differences
        ),
        indent=2,
    )
    write_line()


def _write_spreads(spreads: tuple[Spread, ...]) -> None:
    if not spreads:
        return
    write_heading("SPREAD")
    columns = tuple(
        Column(title, right=title != "NAME")
        for title in ("NAME", "RECORDED", "MEAN", "DEVIATION", "MIN", "MAX", "WIDEST", "AT STEP")
    )
    write_table(
        columns,
        (
            (
                spread.name,
                number_text(spread.recorded),
                number_text(spread.mean),
                number_text(spread.deviation),
                number_text(spread.minimum),
                number_text(spread.maximum),
                number_text(spread.widest),
                "" if spread.widest_step is None else str(spread.widest_step),
            )
            for spread in spreads
        ),
        indent=2,
    )
    write_line()
