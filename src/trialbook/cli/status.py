"""``trialbook status``: how a study is doing, once or again and again."""

from __future__ import annotations

import io
import math
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

import click

from trialbook.cli.options import common_options, format_option
from trialbook.cli.output import (
    Format,
    json_text,
    on_terminal,
    time_text,
    write_heading,
    write_line,
)
from trialbook.cli.text import coloured

if TYPE_CHECKING:
    from trialbook.analysis.status import StudyStatus

_WATCH_S = 2.0


class _Seconds(click.ParamType[float]):
    """A number of seconds from 0.1 up; the message says where the study goes."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number."""
        try:
            seconds = float(value)
        except ValueError:
            self.fail(
                f"{value!r} is no number of seconds; write the study before --watch", param, ctx
            )
        if not 0.1 <= seconds < math.inf:
            self.fail(f"{value} is no number of seconds from 0.1 up", param, ctx)
        return seconds


@click.command()
@click.argument("study", metavar="STUDY")
@click.option(
    "--watch",
    "watch_s",
    type=_Seconds(),
    is_flag=False,
    flag_value=_WATCH_S,
    metavar="[SECONDS]",
    help="Look again every so many seconds (2) until Ctrl-C.",
)
@click.option("--all", "everybody", is_flag=True, help="List the workers that are gone, too.")
@format_option
@common_options
def status(
    study: str,
    watch_s: float | None,
    everybody: bool,
    format: Format,  # noqa: A002
    storage: str | None,
) -> None:
    """Show how a study is doing: its workers, pace, budget and retries.

    Also what waits for you: trials in quarantine, trials without a lease, and leases that are over
    and that nobody has ended.
    """
    from trialbook.analysis.opening import opened
    from trialbook.analysis.status import study_status
    from trialbook.cli.status_page import write_status

    if watch_s is not None and format is Format.CSV:
        raise click.UsageError("--watch goes with --format table or json")
    with opened(storage) as reader:
        if watch_s is None:
            write_status(study_status(reader, study), format, everybody=everybody)
            return
        looks = _looks(lambda: study_status(reader, study), watch_s)
        try:
            _watch(looks, format, everybody=everybody)
        except KeyboardInterrupt:
            return  # the way to end it


def _looks(look: Any, interval_s: float) -> Iterator[StudyStatus]:
    """The status now, and again after each interval."""
    while True:
        began_s = time.monotonic()
        yield look()
        time.sleep(max(0.0, interval_s - (time.monotonic() - began_s)))


def _watch(looks: Iterator[StudyStatus], format: Format, *, everybody: bool) -> None:  # noqa: A002
    if format is Format.JSON:
        from trialbook.cli.status_page import status_json

        for found in looks:
            sys.stdout.write(json_text(status_json(found), indent=None) + "\n")
            sys.stdout.flush()
    elif on_terminal():
        _redraw(looks, everybody=everybody)
    else:
        from trialbook.cli.status_page import write_status

        for found in looks:
            write_heading(time_text(found.at_s))
            write_status(found, Format.TABLE, everybody=everybody)
            write_line()
            sys.stdout.flush()


def _redraw(looks: Iterator[StudyStatus], *, everybody: bool) -> None:
    """One page that changes in place; what does not fit is left out until the end."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from trialbook.cli.status_page import write_status

    console = Console(
        color_system="auto" if coloured(sys.stdout) else None,
        highlight=False,
        markup=False,
        emoji=False,
    )
    with Live(console=console, auto_refresh=False, vertical_overflow="ellipsis") as live:
        for found in looks:
            page = io.StringIO()
            with redirect_stdout(page):
                write_status(found, Format.TABLE, everybody=everybody)
                write_line()
                write_line(f"{time_text(found.at_s)}; Ctrl-C ends the watch")
            text = Text(page.getvalue().rstrip("\n"), no_wrap=True, overflow="ellipsis")
            text.highlight_regex(r"(?m)^\S[^;]*$", "bold")
            live.update(text, refresh=True)
