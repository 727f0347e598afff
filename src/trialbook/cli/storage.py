"""``trialbook storage``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from trialbook.cli.options import common_options, dry_run_option
from trialbook.cli.output import size_text, write_line, write_note
from trialbook.cli.storage_moving import copy, export

if TYPE_CHECKING:
    from trialbook.book.book import Book


@click.group()
def storage() -> None:
    """Create a book, bring an older one up to date, or move studies between books."""


storage.add_command(copy)
storage.add_command(export)


@storage.command()
@click.argument("url", required=False)
@click.option(
    "--artifacts",
    metavar="WHERE",
    help="Where contents over 64 KiB go: 'beside' the SQLite file, 'database[:LIMIT]', a directory "
    "that all machines see, or a URL such as s3://BUCKET/PREFIX.",
)
@common_options
def init(url: str | None, artifacts: str | None, storage: str | None) -> None:
    """Create a book at URL, or where --storage and TRIALBOOK_STORAGE say.

    Without either it is .trialbook/book.db in this directory. A book that is there is left as it
    is, but for what --artifacts changes: new contents go there from now on, and older ones stay
    where they are and can be read. The place is tried out first; credentials come from the
    environment and are never kept. The book's URL is printed.
    """
    from pathlib import Path

    from trialbook.book.book import Book
    from trialbook.book.location import DIRECTORY, FILE, STORAGE_VARIABLE
    from trialbook.errors import BookForeignError, BookNotFoundError

    place = _one_place(url, storage)
    if place is None:
        import os

        # Not the book of a directory above: this one asked for its own.
        place = os.environ.get(STORAGE_VARIABLE) or str(Path.cwd() / DIRECTORY / FILE)
    try:
        Book.open(place, create=False, read_only=True).close()
    except (BookNotFoundError, BookForeignError):  # an empty database, or one that is refused again
        _refuse_bad(artifacts, place)
        book = Book.open(place, create=True)
        write_note(f"made a book ({book.book_id})")
    else:
        book = Book.open(place, create=False, read_only=artifacts is None)
        write_note(f"the book is there already ({book.book_id})")
    try:
        _say_where(book, artifacts)
        write_line(book.url)
    finally:
        book.close()


def _refuse_bad(artifacts: str | None, place: str) -> None:
    """Refuse what --artifacts cannot mean before a book is made."""
    from trialbook.book.artifact_setting import setting_of
    from trialbook.book.location import book_url, sqlite_path

    if artifacts is not None:
        setting_of(artifacts, on_sqlite=sqlite_path(book_url(place)) is not None)


def _say_where(book: Book, artifacts: str | None) -> None:
    from trialbook.book.artifact_location import artifact_location, set_artifact_location
    from trialbook.book.artifact_setting import described

    if artifacts is None:
        write_note(f"contents over 64 KiB lie {described(artifact_location(book))}")
        return
    before = artifact_location(book)
    setting = set_artifact_location(book, artifacts)
    write_note(f"new contents over 64 KiB lie {described(setting)}")
    if setting != before:
        write_note(f"older ones stay where they are ({described(before)})")


@storage.command()
@click.argument("url", required=False)
@dry_run_option
@common_options
def upgrade(url: str | None, dry_run: bool, storage: str | None) -> None:
    """Bring the tables of an older book to what this version of trialbook needs.

    Stop its workers first. An SQLite book is backed up beside its file before anything is changed;
    of a book on a server make a backup with pg_dump. Everything is changed or nothing. The book's
    URL is printed.
    """
    from trialbook.book.upgrading import upgrade_book, upgrade_plan

    place = _one_place(url, storage)
    done = upgrade_plan(place) if dry_run else upgrade_book(place)
    if not done.steps:
        write_note(f"the book is up to date (revision {done.found})")
    else:
        write_note(
            f"{'would upgrade' if dry_run else 'upgraded'} the book from revision {done.found} "
            f"to {done.target}"
        )
        for revision, brings in done.steps:
            write_note(f"  {revision}  {brings}")
        if done.backup is None:
            write_note("  no backup is made on a server: pg_dump makes one")
        elif dry_run:
            write_note(
                f"  would back it up to {done.backup} ({size_text(done.needed_bytes)} needed, "
                f"{size_text(done.free_bytes)} free)"
            )
        else:
            size_bytes = done.backup.stat().st_size
            write_note(f"  backed up before, and verified: {done.backup} ({size_text(size_bytes)})")
    write_line(done.url)


def _one_place(url: str | None, storage: str | None) -> str | None:
    if url is not None and storage is not None:
        raise click.UsageError("the place is given twice: as URL and with --storage.")
    return url or storage
