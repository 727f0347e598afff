"""``trialbook show``: which of the two pages is meant."""

from __future__ import annotations

import click

from trialbook.cli.options import common_options, format_option
from trialbook.cli.output import Format


@click.command()
@click.argument("reference", metavar="STUDY|STUDY/N")
@click.option(
    "--study", "as_study", is_flag=True, help="Take the text as a study's name, whatever it is."
)
@click.option(
    "--limit",
    "-n",
    type=click.IntRange(min=0),
    help="Show the last so many trials of a study; 0 for all. Default: 30 on a terminal, else all.",
)
@click.option(
    "--lines",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="Show the last so many lines of a trial's console; JSON has all of them.",
)
@click.option(
    "--attempt",
    type=click.IntRange(min=1),
    metavar="N",
    help="Look at this attempt of a trial; default: the one that counts.",
)
@click.option(
    "--test", is_flag=True, help="Show the test metrics of a trial; the book counts that."
)
@format_option
@common_options
def show(
    reference: str,
    as_study: bool,
    limit: int | None,
    lines: int,
    attempt: int | None,
    test: bool,
    format: Format,  # noqa: A002
    storage: str | None,
) -> None:
    """Show what is recorded of a study or trial.

    A trial: its coordinates and how complete they are, params, values, metrics, artifacts, the end
    of its console, its attempts, and the verdicts of its reruns.
    """
    from trialbook.analysis.details import trial_detail
    from trialbook.analysis.opening import opened
    from trialbook.analysis.test_metrics import with_test_metrics
    from trialbook.cli.study_page import write_study
    from trialbook.cli.trial_page import write_trial
    from trialbook.records.study import StudyRecord

    with opened(storage) as reader:
        found = reader.study(reference) if as_study else reader.resolve(reference)
        if isinstance(found, StudyRecord):
            if attempt is not None:
                raise click.UsageError(f"--attempt goes with a trial; {found.name!r} is a study")
            if test:
                raise click.UsageError(f"--test goes with a trial; {found.name!r} is a study")
            write_study(reader, found, format, limit)
        else:
            detail = trial_detail(reader, found, attempt)
            if test:
                detail = with_test_metrics(reader, detail, by="show")
            write_trial(detail, format, lines)
