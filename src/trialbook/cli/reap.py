"""``trialbook reap``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from trialbook.cli.options import common_options, format_option
from trialbook.cli.output import (
    Column,
    Format,
    write_csv,
    write_json_rows,
    write_note,
    write_table,
)

if TYPE_CHECKING:
    from trialbook.book.retrying import Reaped


@click.command()
@click.argument("study", metavar="[STUDY]", required=False)
@format_option
@common_options
def reap(study: str | None, format: Format, storage: str | None) -> None:  # noqa: A002
    """End what lost workers held, so that their trials are tried again.

    A worker is lost when its process on this machine has ended, or when it gave no sign of life
    for as long as its lease. Workers and 'trialbook run' do the same by themselves.
    """
    from trialbook.book.storage import BookStorage
    from trialbook.running import reaping

    book = BookStorage(storage, create=False)
    try:
        reaped = reaping.reap(book, study)
    finally:
        book.close()
    match format:
        case Format.JSON:
            write_json_rows(map(_json, reaped))
        case Format.CSV:
            write_csv(_CSV, map(_row, reaped))
        case Format.TABLE if reaped:
            write_table(_COLUMNS, map(_row, reaped))
        case Format.TABLE:
            write_note("no worker is lost")


_CSV = ("trial", "attempt", "worker", "fate")
_COLUMNS = (Column("TRIAL"), Column("ATTEMPT", right=True), Column("WORKER"), Column("FATE"))


def _row(reaped: Reaped) -> tuple[Any, ...]:
    trial = f"{reaped.study}/{reaped.number}"
    return trial, str(reaped.attempt), reaped.worker_id or "", str(reaped.fate)


def _json(reaped: Reaped) -> dict[str, Any]:
    return {
        "study": reaped.study,
        "number": reaped.number,
        "attempt": reaped.attempt,
        "worker": reaped.worker_id,
        "fate": str(reaped.fate),
    }
