"""``trialbook gc``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from trialbook.cli.options import (
    common_options,
    confirmed,
    dry_run_option,
    format_option,
    yes_option,
)
from trialbook.cli.output import Format, size_text, write_csv, write_json, write_line, write_note
from trialbook.cli.wording import counted

if TYPE_CHECKING:
    from trialbook.book.removal import Garbage


@click.command()
@dry_run_option
@yes_option
@format_option
@common_options
def gc(dry_run: bool, yes: bool, format: Format, storage: str | None) -> int | None:  # noqa: A002
    """Remove contents that nothing refers to any more.

    Others may run trials meanwhile: what an attempt of theirs names stays.
    """
    from trialbook.book.book import Book
    from trialbook.book.removal import collect_garbage, find_garbage

    book = Book.open(storage, create=False, read_only=dry_run)
    try:
        found = find_garbage(book)
        for url in found.unreached:
            write_note(f"the artifact location {url} cannot be reached: what lies there is left")
        if dry_run or found.empty:
            _print(found, "would remove" if dry_run else "removed", format)
            return None
        write_note(f"remove {_text(found)}")
        if not confirmed("This cannot be undone. Remove?", yes=yes):
            write_note("nothing was removed")
            return 1
        _print(collect_garbage(book), "removed", format)
    finally:
        book.close()
    return None


def _text(found: Garbage) -> str:
    parts = [
        counted(found.snapshots, "snapshot"),
        f"{counted(found.blobs, 'blob')} ({size_text(found.size_bytes)})",
        f"what {counted(found.tombstones, 'tombstone')} still held",
        counted(found.files, "stray file"),
    ]
    return ", ".join(parts)


def _print(found: Garbage, verb: str, format: Format) -> None:  # noqa: A002
    match format:
        case Format.JSON:
            write_json(found)
        case Format.CSV:
            names = ("tombstones", "snapshots", "blobs", "size_bytes", "files")
            write_csv(names, [tuple(getattr(found, name) for name in names)])
        case Format.TABLE:
            write_line("nothing to remove" if found.empty else f"{verb} {_text(found)}")
