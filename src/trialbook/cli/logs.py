"""``trialbook logs``: what the workers of a launch have printed, each line under its job's name."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING

import click

from trialbook.cli.failures import ExitCode
from trialbook.cli.options import common_options
from trialbook.cli.output import on_terminal, write_note
from trialbook.cli.text import printable

if TYPE_CHECKING:
    from trialbook.records.launches import JobId

Read = Callable[[bool], Iterator[bytes]]


@click.command()
@click.argument("name", metavar="LAUNCH|LAUNCH/INDEX|STUDY")
@click.option("-f", "--follow", is_flag=True, help="Go on until the jobs have ended; Ctrl-C stops.")
@common_options
def logs(name: str, follow: bool, storage: str | None) -> int:
    """Show what the workers of a launch have printed.

    What a trial prints is not among it: 'trialbook show STUDY/NUMBER' has that.
    """
    from trialbook.book.storage import BookStorage
    from trialbook.errors import TrialbookError
    from trialbook.running.launch import asking

    book = BookStorage(storage, create=False)
    try:
        found = asking.logs(book, name)
    finally:
        book.close()
    failed: list[tuple[JobId, TrialbookError]] = []
    out = sys.stdout.buffer
    turn = threading.Lock()

    def show(job: JobId, read: Read) -> None:
        try:
            _copy(read(follow), f"{job}: ".encode() if len(found) > 1 else b"", out, turn)
        except TrialbookError as error:
            failed.append((job, error))

    try:
        _show_all(found, show, follow=follow)
    except KeyboardInterrupt:
        turn.acquire()  # no thread is to be in the middle of a line when the interpreter ends
        return ExitCode.DONE  # the way to end it
    for job, error in failed:
        write_note(f"{job}: {error}")
    return ExitCode.FAILED if failed else ExitCode.DONE


def _show_all(
    found: dict[JobId, Read], show: Callable[[JobId, Read], None], *, follow: bool
) -> None:
    """One after the other; all at once when they are followed."""
    if not follow:
        for job, read in found.items():
            show(job, read)
        return
    threads = [threading.Thread(target=show, args=item, daemon=True) for item in found.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _copy(pieces: Iterator[bytes], prefix: bytes, out: IO[bytes], turn: threading.Lock) -> None:
    """Write whole lines, so that those of several jobs do not mix; bytes as they are elsewhere."""
    if not prefix and not on_terminal():
        for piece in pieces:
            _write(out, piece, turn)
        return
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        _write(out, b"".join(prefix + _shown(line) + b"\n" for line in lines), turn)
    if rest:
        _write(out, prefix + _shown(rest) + b"\n", turn)


def _shown(line: bytes) -> bytes:
    """A line that does nothing to a terminal but be read."""
    return printable(line.decode(errors="replace")).encode() if on_terminal() else line


def _write(out: IO[bytes], data: bytes, turn: threading.Lock) -> None:
    with turn:
        out.write(data)
        out.flush()
