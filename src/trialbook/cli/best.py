"""``trialbook best``."""

from __future__ import annotations

import click

from trialbook.cli.options import common_options, format_option
from trialbook.cli.output import Format


@click.command()
@click.argument("study")
@click.option(
    "--count", "-n", type=click.IntRange(min=1), default=5, show_default=True, help="How many."
)
@format_option
@common_options
def best(study: str, count: int, format: Format, storage: str | None) -> None:  # noqa: A002
    """Show the best trials of a study.

    Of a study with several objectives no trial is the best: its front is listed, with exit code 2.
    Of replicates neither: the best of them had the luckiest seed.
    """
    from trialbook.analysis.opening import opened
    from trialbook.cli.study_page import write_ranking
    from trialbook.errors import BadReferenceError

    with opened(storage) as reader:
        record = reader.study(study)
        try:
            trials = reader.best(study, count)
        except BadReferenceError:
            if len(record.directions) > 1:
                write_ranking(reader, record, reader.front(study), format, ranked=False)
            raise
        write_ranking(reader, record, trials, format)
