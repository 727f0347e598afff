"""``trialbook storage copy`` and ``trialbook storage export``."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trialbook.cli.options import common_options, format_option
from trialbook.cli.output import (
    Format,
    size_text,
    write_csv,
    write_json_rows,
    write_line,
    write_note,
)
from trialbook.cli.text import printable
from trialbook.cli.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from trialbook.book.copying import StudyCopy


@click.command()
@click.argument("studies", metavar="STUDY...", nargs=-1, required=True)
@click.option("--to", "target", metavar="URL", required=True, help="The book to copy into.")
@click.option("--as", "name", metavar="NAME", help="The study's name there.")
@format_option
@common_options
def copy(
    studies: tuple[str, ...],
    target: str,
    name: str | None,
    format: Format,  # noqa: A002
    storage: str | None,
) -> None:
    """Copy studies into another book, which is made when it is not there.

    Every record, point, content and digest stays as it is. A study arrives whole or not at all;
    interrupted, the same command goes on with what is missing.
    """
    from trialbook.analysis.opening import opened
    from trialbook.book.book import Book
    from trialbook.book.copying import copy_study

    if name is not None and len(studies) > 1:
        raise click.UsageError("--as names one study, and several are given.")
    with opened(storage) as reader:
        for study in studies:  # before a book is made for nothing
            reader.study(study)
        book = Book.open(target)
        try:
            done = []
            for study in dict.fromkeys(studies):
                with _progress(f"copying {study}") as say:
                    done.append(copy_study(reader.book, book, study, name=name, progress=say))
                if format is Format.TABLE:
                    _write(done[-1])
        finally:
            book.close()
    if format is not Format.TABLE:
        _write_data(done, format)


@click.command()
@click.argument("study")
@click.option("--output", "-o", metavar="FILE", required=True, help="The file to write.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@format_option
@common_options
def export(
    study: str,
    output: str,
    force: bool,
    format: Format,  # noqa: A002
    storage: str | None,
) -> None:
    """Write a study into one file: an SQLite book with every content inside it.

    'trialbook verify --storage FILE' accepts it anywhere, and so does every other command.
    """
    from trialbook.analysis.opening import opened
    from trialbook.book.exporting import export_study

    with opened(storage) as reader, _progress(f"exporting {study}") as say:
        done = export_study(reader.book, study, Path(output), replace=force, progress=say)
    if format is Format.TABLE:
        _write(done)
    else:
        _write_data([done], format)


def _write(done: StudyCopy) -> None:
    if done.was_there:
        write_note(f"the study {done.study!r} is there already, with the same seal")
    else:
        write_note(
            f"copied the study {done.study!r}: {counted(done.trials, 'trial')}, "
            f"{counted(done.blobs, 'content')} ({size_text(done.size_bytes)}), seal {done.seal}"
        )
    write_line(done.url)


def _write_data(done: Sequence[StudyCopy], format: Format) -> None:  # noqa: A002
    if format is Format.JSON:
        write_json_rows(done)
    else:
        names = ("study", "uid", "url", "seal", "trials", "blobs", "size_bytes", "was_there")
        write_csv(names, [tuple(getattr(copy, name) for name in names) for copy in done])


@contextmanager
def _progress(doing: str) -> Iterator[Callable[[str], None] | None]:
    """A line on a terminal that is written over, and gone at the end; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return

    def show(step: str) -> None:
        sys.stderr.write(f"\r\x1b[K{printable(f'{doing}: {step}')[:78]}")
        sys.stderr.flush()

    try:
        yield show
    finally:
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()
