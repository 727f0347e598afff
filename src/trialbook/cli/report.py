"""``trialbook report``."""

from __future__ import annotations

from pathlib import Path

import click

from trialbook.cli.failures import ExitCode
from trialbook.cli.options import comma_separated, common_options
from trialbook.cli.results import write_paths


@click.command()
@click.argument("study")
@click.option(
    "--format",
    "formats",
    default="html",
    show_default=True,
    metavar="FORMAT,...",
    help="Any of html, md, latex, pdf and csv, with commas.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where to; default: a directory here that is named for the study.",
)
@click.option(
    "--anonymous", is_flag=True, help="Leave out names, hosts, paths and remotes, for review."
)
@click.option(
    "--verify", is_flag=True, help="Compute every digest again; the report says what came out."
)
@common_options
def report(
    study: str,
    formats: str,
    output: Path | None,
    anonymous: bool,
    verify: bool,
    storage: str | None,
) -> int:
    """Write a study's report: what a paper needs, and what is missing.

    The path of each format is printed, and on stderr what is missing or doubtful. The same book
    gives the same files, byte for byte.
    """
    from trialbook.report.writing import write

    written = write(
        study, comma_separated(formats), output, anonymous=anonymous, verify=verify, storage=storage
    )
    write_paths(written)
    return ExitCode.DIFFERENT if written.document.verified is False else ExitCode.DONE
