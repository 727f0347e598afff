"""``trialbook rm``."""

from __future__ import annotations

import click

from trialbook.cli.options import common_options, confirmed, dry_run_option, yes_option
from trialbook.cli.output import write_line, write_note
from trialbook.cli.wording import counted


@click.command()
@click.argument("references", metavar="STUDY|STUDY/N...", nargs=-1, required=True)
@click.option(
    "--study", "as_study", is_flag=True, help="Take each text as a study's name, whatever it is."
)
@click.option("--running", is_flag=True, help="Delete trials that are RUNNING, too.")
@dry_run_option
@yes_option
@common_options
def rm(
    references: tuple[str, ...],
    as_study: bool,
    running: bool,
    dry_run: bool,
    yes: bool,
    storage: str | None,
) -> int | None:
    """Delete studies or trials, leaving tombstones.

    What is left of a trial is its number, state, digest and the time of its deletion, so that the
    seal of its study stays the same. 'trialbook gc' then frees what no trial needs any more.
    """
    from trialbook.book.book import Book
    from trialbook.book.reading import Reader
    from trialbook.book.removal import remove_study, remove_trial
    from trialbook.records.study import StudyRecord

    book = Book.open(storage, create=False, read_only=dry_run)
    try:
        reader = Reader(book)
        found = {}
        for text in references:
            item = reader.study(text) if as_study else reader.resolve(text)
            name = item.name if isinstance(item, StudyRecord) else item.reference
            found[isinstance(item, StudyRecord), name] = item
        lines = []
        for (_, name), item in found.items():
            if isinstance(item, StudyRecord):
                lines.append(f"study {name}: {counted(sum(item.states.values()), 'trial')}")
            else:
                lines.append(f"trial {name}: {item.state}")
        if dry_run:
            for line in lines:
                write_line(f"would delete {line}")
            return None
        for line in lines:
            write_note(f"delete {line}")
        if not confirmed("This cannot be undone. Delete?", yes=yes):
            write_note("nothing was deleted")
            return 1
        for item in found.values():
            if isinstance(item, StudyRecord):
                remove_study(book, item, running=running)
            else:
                remove_trial(book, item, running=running)
        write_note(f"deleted {counted(len(found), 'item')}; 'trialbook gc' frees their contents")
    finally:
        book.close()
    return None
