"""``trialbook cancel``."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from trialbook.cli.failures import ExitCode
from trialbook.cli.options import common_options, confirmed, dry_run_option, yes_option
from trialbook.cli.output import Column, write_note, write_table
from trialbook.cli.wording import counted

if TYPE_CHECKING:
    from trialbook.running.launch.jobs import JobRow

_COLUMNS = (
    Column("JOB"),
    Column("ENGINE"),
    Column("ENGINE'S ID"),
    Column("STATE"),
    Column("RUNS", right=True),
)


@click.command()
@click.argument("name", metavar="LAUNCH|LAUNCH/INDEX|STUDY")
@yes_option
@dry_run_option
@common_options
def cancel(name: str, yes: bool, dry_run: bool, storage: str | None) -> int:
    """End the jobs of a launch; trials are given back.

    It goes through their engine. A worker lets its trial save a checkpoint and gives it back; a
    job that waits never starts. 'trialbook drain' lets trials finish instead.
    """
    from trialbook.book.storage import BookStorage
    from trialbook.running.launch import asking

    book = BookStorage(storage, create=False)
    try:
        rows = asking.to_cancel(book, name)
        if not rows:
            write_note(f"every job of {name} is over")
            return ExitCode.DONE
        write_table(_COLUMNS, map(_row, rows))
        if dry_run:
            write_note(f"{counted(len(rows), 'job')} would be ended")
            return ExitCode.DONE
        if not confirmed(f"End {counted(len(rows), 'job')}?", yes=yes):
            return ExitCode.DONE
        results = asking.cancel(book, rows)
    finally:
        book.close()
    failed = [result for result in results if result.failure is not None]
    if len(failed) < len(results):
        write_note(f"{counted(len(results) - len(failed), 'job')} asked to end")
    for result in failed:
        write_note(f"{result.job}: {result.failure}")
    if failed:
        write_note(
            f"'trialbook drain {shlex.quote(name)}' reaches workers that their engine does not"
        )
    return ExitCode.FAILED if failed else ExitCode.DONE


def _row(row: JobRow) -> tuple[str, ...]:
    held = ", ".join(str(trial.number) for trial in row.worker.holds) if row.worker else ""
    return (
        str(row.job),
        row.engine,
        "" if row.placed is None else row.placed.engine_id,
        "not known" if row.status is None else str(row.status.state),
        held,
    )
