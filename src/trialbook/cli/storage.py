"""``trialbook storage``."""

from __future__ import annotations

import click

from trialbook.cli.options import common_options
from trialbook.cli.output import write_line, write_note


@click.group()
def storage() -> None:
    """Create a book."""


@storage.command()
@click.argument("url", required=False)
@common_options
def init(url: str | None, storage: str | None) -> None:
    """Create a book at URL, or where --storage and TRIALBOOK_STORAGE say.

    Without either it is .trialbook/book.db in this directory. A book that is there is left as it
    is. Its URL is printed.
    """
    from pathlib import Path

    from trialbook.book.book import Book
    from trialbook.book.location import DIRECTORY, FILE, STORAGE_VARIABLE
    from trialbook.errors import BookNotFoundError

    if url is not None and storage is not None:
        raise click.UsageError("the place is given twice: as URL and with --storage.")
    place = url or storage
    if place is None:
        import os

        # Not the book of a directory above: this one asked for its own.
        place = os.environ.get(STORAGE_VARIABLE) or str(Path.cwd() / DIRECTORY / FILE)
    try:
        Book.open(place, create=False, read_only=True).close()
    except BookNotFoundError:
        book = Book.open(place, create=True)
        write_note(f"made a book ({book.book_id})")
    else:
        book = Book.open(place, create=False, read_only=True)
        write_note(f"the book is there already ({book.book_id})")
    write_line(book.url)
    book.close()
