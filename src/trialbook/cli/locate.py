"""``trialbook locate``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trialbook.cli.failures import ExitCode, exit_code_of, reported
from trialbook.cli.options import common_options, format_option
from trialbook.cli.output import Format, write_note

if TYPE_CHECKING:
    from trialbook.report.located import Located
    from trialbook.report.locating import Locating


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@format_option
@common_options
def locate(files: tuple[str, ...], format: Format, storage: str | None) -> int:  # noqa: A002
    """Find the run behind a figure, a paper, an artifact or another file.

    A figure or report is known by the reference that it carries, a compiled paper by the figures
    that it includes, anything else by its content: artifacts, logs, code and data of trials. Shown
    are the study, the trials, their coordinates and the commands that run them again.
    `-` reads a file from stdin.

    The exit code is 3 when a file is unknown, or shows something that is not in the book.
    """
    from trialbook.analysis.opening import opened
    from trialbook.cli.locate_page import write_located
    from trialbook.errors import BookNotFoundError
    from trialbook.report.locating import Locating

    code = ExitCode.DONE
    found: list[Located] = []
    try:
        with opened(storage) as reader:
            locating = Locating(reader, named=storage is not None)
            for file in files:
                try:
                    found.append(_located(locating, file))
                except Exception as error:
                    reported(error, debug=click.get_current_context().find_root().obj.debug)
                    code = max(code, exit_code_of(error))
    except BookNotFoundError:
        _tell_carried(files)
        raise
    write_located(found, format)
    if code is ExitCode.DONE and not all(each.is_found for each in found):
        return ExitCode.NOT_FOUND
    return code


def _tell_carried(files: tuple[str, ...]) -> None:
    """What the files themselves say, when there is no book to ask."""
    from trialbook.report.locating import STREAM, references_in

    for file in files:
        try:
            carried = () if file == STREAM else references_in(file)
        except Exception as error:
            reported(error, debug=click.get_current_context().find_root().obj.debug)
            continue
        for reference in carried:
            write_note(f"{file} carries {reference}")


def _located(locating: Locating, file: str) -> Located:
    from trialbook.errors import InvalidInputError
    from trialbook.report.locating import STREAM

    if file != STREAM:
        return locating.of(Path(file))
    if sys.stdin is None:  # Python has none when the shell closed it
        raise InvalidInputError("stdin is closed", hint="pipe a file into the command, or name one")
    return locating.of(sys.stdin.buffer)
