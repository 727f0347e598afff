"""``trialbook compare``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trialbook.cli.options import comma_separated, common_options, format_option
from trialbook.cli.output import (
    Cell,
    Format,
    write_csv,
    write_heading,
    write_json,
    write_line,
    write_note,
)
from trialbook.cli.results import write_paths, write_result

if TYPE_CHECKING:
    from trialbook.analysis.comparison.comparison import StudyComparison
    from trialbook.analysis.comparison.curves import BudgetCurves


@click.command()
@click.argument("studies", metavar="STUDY STUDY...", nargs=-1, required=True)
@click.option("--all", "whole", is_flag=True, help="Show settings in which nothing differs too.")
@click.option(
    "--write",
    "formats",
    metavar="FORMAT,...",
    help="Write a document instead: any of html, md, latex, pdf and csv, with commas.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where documents go; default: the directory comparison here.",
)
@click.option("--anonymous", is_flag=True, help="Call studies by numbers in documents, for review.")
@format_option
@common_options
def compare(
    studies: tuple[str, ...],
    whole: bool,
    formats: str | None,
    output: Path | None,
    anonymous: bool,
    format: Format,  # noqa: A002
    storage: str | None,
) -> None:
    """Compare studies: settings, best values over budget, tests.

    Studies that asked the same of the same code and data, each under its own seed, are repetitions:
    they are one group, and groups of three or more are tested against each other.
    """
    if formats is not None:
        _write_documents(studies, formats, output, anonymous=anonymous, storage=storage)
        return
    if output is not None or anonymous:
        raise click.UsageError("--output and --anonymous go with --write")
    from trialbook.analysis.comparison.comparison import compare as compared

    found = compared(studies, storage=storage)
    match format:
        case Format.JSON:
            write_json(_json(found))
        case Format.CSV:
            write_csv(("section", "what", "of", "value"), _csv(found))
        case Format.TABLE:
            _write(found, whole=whole)


def _write_documents(
    studies: tuple[str, ...],
    formats: str,
    output: Path | None,
    *,
    anonymous: bool,
    storage: str | None,
) -> None:
    """Write the comparison's documents and print their paths."""
    from trialbook.report.writing import compare as written_comparison

    wanted = comma_separated(formats)
    written = written_comparison(studies, wanted, output, anonymous=anonymous, storage=storage)
    write_paths(written)


def _write(found: StudyComparison, *, whole: bool) -> None:
    from trialbook.analysis.comparison.settings import best_table, settings_table

    write_heading("SETTINGS")
    rows = [row for row in found.settings if whole or row.differs]
    write_result(settings_table(rows, found.groups))
    same = len(found.settings) - len(rows)
    if same:
        write_note(f"{same} settings are the same everywhere; --all shows them")
    if found.significance is not None:
        if found.significance.budget:
            write_line()
            write_heading(f"BEST VALUES AFTER {found.significance.budget} FINISHED TRIALS")
            write_result(found.significance.groups_table())
        if found.significance.pairs:
            write_line()
            write_heading("TESTS")
            write_result(found.significance.pairs_table())
        write_line()
        write_heading("BEST CONFIGURATIONS")
        write_result(best_table(found.studies))
        for reason in found.significance.untested:
            write_note(f"not tested: {reason}")
    if found.replicated is not None and found.replicated.choices:
        write_line()
        write_heading("CHOSEN CONFIGURATIONS UNDER FRESH SEEDS")
        write_result(found.replicated.choices_table())
        if found.replicated.pairs:
            write_line()
            write_result(found.replicated.pairs_table())
    for note in (*found.notes, *(found.replicated.notes if found.replicated else ())):
        write_note(note)


def _json(found: StudyComparison) -> dict[str, object]:
    return {
        "studies": [study.search.study for study in found.studies],
        "groups": [
            {"label": group.label, "studies": [found.studies[i].name for i in group.studies]}
            for group in found.groups
        ],
        "settings": [
            {"what": row.what, "values": row.values, "differs": row.differs}
            for row in found.settings
        ],
        "significance": found.significance,
        "replicated": found.replicated,
        "curves": {
            name: _curves_json(curves)
            for name, curves in (("trials", found.trials), ("compute", found.compute))
        },
        "notes": found.notes,
    }


def _curves_json(curves: BudgetCurves | None) -> list[dict[str, object]] | None:
    if curves is None:
        return None
    return [
        {
            "group": curve.label,
            curves.budget: curve.budgets.tolist(),
            "mean": curve.mean.tolist(),
            "low": curve.low.tolist(),
            "high": curve.high.tolist(),
            "each": curve.each.tolist(),
            "method": curve.method,
        }
        for curve in curves.groups
    ]


def _csv(found: StudyComparison) -> Iterator[tuple[Cell, ...]]:
    for row in found.settings:
        for study, value in zip(found.studies, row.values, strict=True):
            yield "setting", row.what, study.name, value
    for group in found.groups:
        for index in group.studies:
            yield "group", group.label, found.studies[index].name, None
    significance = found.significance
    if significance is not None:
        for result in significance.groups:
            yield "best", "mean", result.label, result.mean
            yield "best", "standard deviation", result.label, result.deviation
        for pair in significance.pairs:
            of = f"{pair.first} against {pair.second}"
            yield "test", "difference of means", of, pair.difference
            yield "test", "lower", of, pair.low
            yield "test", "upper", of, pair.high
            yield "test", "Welch p (Holm)", of, pair.welch_p
            yield "test", "Mann-Whitney p (Holm)", of, pair.rank_p
            yield "test", "A (first better)", of, pair.superiority
        for reason in significance.untested:
            yield "note", "not tested", None, reason
    for note in found.notes:
        yield "note", None, None, note
