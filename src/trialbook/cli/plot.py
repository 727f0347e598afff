"""``trialbook plot``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from trialbook.cli.failures import ExitCode
from trialbook.cli.options import common_options, format_option
from trialbook.cli.output import (
    Column,
    Format,
    write_csv,
    write_json,
    write_line,
    write_note,
    write_table,
)

if TYPE_CHECKING:
    from trialbook.report.plotting import PlotOptions, PlottedFigure


@click.command()
@click.argument("study", required=False)
@click.argument("kind", required=False)
@click.option("--list", "listed", is_flag=True, help="List the kinds of figure.")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where to; ends in .html, .png, .svg or .pdf. Default: STUDY-KIND.html here.",
)
@click.option(
    "--all",
    "directory",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Draw every kind that the study has, into this directory.",
)
@click.option(
    "--type",
    "ending",
    type=click.Choice(["png", "pdf", "svg", "html"]),
    default="png",
    show_default=True,
    help="Of the files that --all writes.",
)
@click.option("--param", "params", multiple=True, metavar="NAME", help="Only these params.")
@click.option(
    "--objective",
    type=click.IntRange(min=0),
    help="Index of the objective, from 0. Default: the first; with --all each of them.",
)
@click.option("--metric", default="objective", help="Of learning curves: a metric that was logged.")
@click.option(
    "--reference-point",
    type=float,
    multiple=True,
    metavar="VALUE",
    help="Of the hypervolume: one value for each objective, in their order.",
)
@click.option(
    "--width", metavar="VENUE", help="Width on paper, such as neurips, ieee or ieee-full."
)
@click.option(
    "--marks",
    type=click.IntRange(min=10),
    default=5000,
    show_default=True,
    help="Points or curves at the most; more are sampled, and a note says so.",
)
@click.option("--seed", type=int, default=0, help="Of sampling and resampling.")
@click.option("--anonymous", is_flag=True, help="Leave out names, hosts and paths, for review.")
@format_option
@common_options
def plot(
    study: str | None,
    kind: str | None,
    listed: bool,
    output: Path | None,
    directory: Path | None,
    ending: str,
    format: Format,  # noqa: A002
    storage: str | None,
    width: str | None,
    anonymous: bool,
    **figure: object,
) -> int:
    """Draw a figure of a study: a page to explore, or a picture for a paper.

    The path is printed; the caption, and what was left out to draw it, are told on stderr. Every
    file carries the reference of what it shows ('trialbook locate FILE').
    """
    if listed:
        _list(format)
        return ExitCode.DONE
    if study is None:
        raise click.UsageError("Missing argument 'STUDY'; or list the kinds with --list.")
    if (kind is None) == (directory is None):
        raise click.UsageError("Name a KIND (see --list), or all of them with --all DIR.")
    if directory is not None and output is not None:
        raise click.UsageError("--all DIR says where to; leave out --output.")
    from trialbook.report.figures.kinds import FigureOptions
    from trialbook.report.plotting import PlotOptions, plotted

    options = PlotOptions(FigureOptions(**figure), width, anonymous)  # type: ignore[arg-type]
    if directory is not None:
        _all(study, directory, ending, options, storage)
    else:
        assert kind is not None
        _tell(plotted(study, kind, output, options, storage=storage))
    if anonymous:
        from trialbook.report.anonymous import LOOK_THROUGH

        write_note(LOOK_THROUGH)
    return ExitCode.DONE


def _all(
    study: str, directory: Path, ending: str, options: PlotOptions, storage: str | None
) -> None:
    from trialbook.errors import NotApplicableError
    from trialbook.report.plotting import PlottedFigure, plot_all

    written = 0
    for found in plot_all(study, directory, ending, options, storage=storage):
        if isinstance(found, PlottedFigure):
            written += 1
            _tell(found)
        else:
            of = "" if found.objective is None else f" of objective {found.objective}"
            write_note(f"no {found.kind}{of}: {found.reason}")
    if not written:
        raise NotApplicableError(
            "the study has nothing that any kind of figure could show",
            hint="what each lacks is said above",
        )


def _tell(found: PlottedFigure) -> None:
    if found.caption:
        write_note(f"{found.kind}: {found.caption}")
    for note in found.notes:
        write_note(f"note: {note}")
    write_line(str(found.path))


def _list(format: Format) -> None:  # noqa: A002
    from trialbook.report.figures.kinds import KINDS

    rows = [(kind.name, kind.title) for kind in KINDS]
    match format:
        case Format.JSON:
            write_json([{"kind": name, "title": title} for name, title in rows])
        case Format.CSV:
            write_csv(("kind", "title"), rows)
        case Format.TABLE:
            write_table((Column("KIND"), Column("SHOWS", wide=True)), rows)
