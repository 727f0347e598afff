"""``trialbook verify``."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from trialbook.cli.failures import ExitCode
from trialbook.cli.options import common_options, format_option
from trialbook.cli.output import (
    Column,
    Format,
    write_csv,
    write_json,
    write_line,
    write_note,
    write_table,
)
from trialbook.cli.text import printable
from trialbook.cli.wording import counted

if TYPE_CHECKING:
    from trialbook.book.verification import Verification


@click.command()
@click.argument("study", required=False)
@click.option("--seal", metavar="DIGEST", help="Hold the book against this seal.")
@click.option(
    "--no-artifacts",
    is_flag=True,
    help="Leave out what lies at an artifact location (storage init --artifacts URL).",
)
@format_option
@common_options
def verify(
    study: str | None,
    seal: str | None,
    no_artifacts: bool,
    format: Format,  # noqa: A002
    storage: str | None,
) -> int:
    """Recompute digests and seals; name every mismatch.

    Every record, point, snapshot and blob of STUDY is computed again, or of the whole book.
    The exit code is 4 when something is not what the book, or the seal given, says.
    """
    from trialbook.analysis.opening import opened
    from trialbook.book.verification import verify as verified

    if seal is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", seal.strip()):
        raise click.UsageError("a seal is 64 hexadecimal digits.")
    with opened(storage) as reader:
        found = verified(
            reader.book, study, seal=seal, progress=_progress(), artifacts=not no_artifacts
        )
    match format:
        case Format.JSON:
            write_json(found)
        case Format.CSV:
            write_csv(
                ("kind", "where", "what"),
                [
                    *(("seal", s.study, s.seal) for s in found.seals),
                    *((f"mismatch {m.kind}", m.where, m.what) for m in found.mismatches),
                ],
            )
        case Format.TABLE:
            _write(found, seal)
    return ExitCode.DIFFERENT if found.mismatches else ExitCode.DONE


def _progress() -> Callable[[str], None] | None:
    """A line on a terminal that is written over; nothing elsewhere."""
    if not sys.stderr.isatty():
        return None

    def show(step: str) -> None:
        sys.stderr.write(f"\r\x1b[Kverifying {printable(step)[:60]}")
        sys.stderr.flush()

    return show


def _write(found: Verification, seal: str | None) -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
    if found.seals:
        write_table(
            (
                Column("STUDY", wide=True),
                Column("TRIALS", right=True),
                Column("UNFINISHED", right=True),
                Column("DELETED", right=True),
                Column("SEAL"),
            ),
            (
                (
                    f"{s.study} (deleted)" if s.study_deleted else s.study,
                    str(s.trials),
                    str(s.unfinished),
                    str(s.deleted),
                    s.seal,
                )
                for s in found.seals
            ),
        )
        write_line()
    for mismatch in found.mismatches:
        write_line(f"MISMATCH {mismatch.kind}: {mismatch.where}: {mismatch.what}")
    checked = (
        f"{counted(found.trials, 'record')}, {counted(found.series, 'metric')}, "
        f"{counted(found.snapshots, 'snapshot')}, {counted(found.blobs, 'blob')}"
    )
    if found.not_read:
        write_note(f"{counted(found.not_read, 'blob')} at an artifact location not read")
    if found.mismatches:
        count = len(found.mismatches)
        write_line(f"{count} {'mismatch' if count == 1 else 'mismatches'} in {checked}")
        return
    if seal is not None and found.seals:
        write_note("the seal holds")
    write_line(f"verified: {checked}")
