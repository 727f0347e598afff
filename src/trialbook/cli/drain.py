"""``trialbook drain``."""

from __future__ import annotations

import click

from trialbook.cli.options import common_options
from trialbook.cli.output import write_note
from trialbook.cli.wording import counted


@click.command()
@click.argument("name", metavar="STUDY|LAUNCH|LAUNCH/INDEX")
@click.option("--undo", is_flag=True, help="Take it back, from those who have not left yet.")
@click.option("--wait", is_flag=True, help="Wait until they have left; Ctrl-C stops the waiting.")
@common_options
def drain(name: str, undo: bool, wait: bool, storage: str | None) -> None:
    """Ask workers to finish the trial they run, and leave.

    It goes through the book, so it reaches every worker that the book still hears of, on whatever
    machine. Workers of a drained launch that come later leave at once; of a study only those are
    asked that are there now.
    """
    from trialbook.book.storage import BookStorage
    from trialbook.running.launch import asking

    if undo and wait:
        raise click.UsageError("--undo and --wait do not go together")
    book = BookStorage(storage, create=False)
    try:
        count = asking.drain(book, name, undo=undo)
        if undo:
            write_note(f"{counted(count, 'worker')} may go on")
            return
        if count:
            write_note(f"{counted(count, 'worker')} asked to finish and leave")
        else:
            write_note(f"no worker of {name} is there; 'trialbook cancel' ends jobs that wait")
        for launch, waiting in asking.not_come(book, name).items():
            write_note(
                f"{counted(waiting, 'worker')} of launch {launch} never came so far, and may: "
                f"'trialbook drain {launch}' asks those too"
            )
        if wait:
            asking.wait_until_left(book, name, _told)
    finally:
        book.close()


def _told(count: int) -> None:
    write_note(f"{counted(count, 'worker')} still there" if count else "all have left")
