"""``trialbook jobs``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from trialbook.cli.options import common_options, format_option
from trialbook.cli.output import (
    Column,
    Format,
    duration_text,
    write_csv,
    write_json_rows,
    write_note,
    write_table,
)
from trialbook.cli.wording import counted

if TYPE_CHECKING:
    from trialbook.running.launch.jobs import JobRow

_COLUMNS = (
    Column("JOB"),
    Column("STUDY"),
    Column("ENGINE"),
    Column("ENGINE'S ID"),
    Column("PLACE"),
    Column("STATE"),
    Column("WORKER"),
    Column("DONE", right=True),
    Column("RUNS", right=True),
    Column("REMARK", wide=True),
)
_CSV = (
    *("job", "study", "engine", "engine_id", "place", "state", "says", "worker", "host", "pid"),
    *("seen_s", "finished", "running", "remark", "text"),
)


@click.command()
@click.argument("name", metavar="[STUDY|LAUNCH|LAUNCH/INDEX]", required=False)
@click.option("--all", "everything", is_flag=True, help="List all that are over, too.")
@format_option
@common_options
def jobs(name: str | None, everything: bool, format: Format, storage: str | None) -> None:  # noqa: A002
    """List placed workers: what engine and book say of them.

    Where the two disagree the last column says so. The leases in the book decide who holds a
    trial, never the engine.
    """
    from trialbook.book.storage import BookStorage
    from trialbook.running.launch import jobs as launched

    book = BookStorage(storage, create=False)
    try:
        found = launched.jobs(book, name)
    finally:
        book.close()
    newest = {row.study: row.job.launch for row in found}
    shown = [
        row
        for row in found
        if everything or name is not None or not row.is_over or row.job.launch in newest.values()
    ]
    match format:
        case Format.JSON:
            write_json_rows(map(_json, shown))
        case Format.CSV:
            write_csv(_CSV, map(_cells, shown))
        case Format.TABLE if shown:
            write_table(_COLUMNS, map(_row, shown))
    if not found:
        write_note("nothing was launched; 'trialbook launch' places workers")
    elif len(shown) < len(found):
        write_note(f"{counted(len(found) - len(shown), 'job')} over; --all lists them too")


def _row(row: JobRow) -> tuple[str, ...]:
    return (
        str(row.job),
        row.study,
        row.engine,
        "" if row.placed is None else row.placed.engine_id,
        _place(row) or "",
        _state(row),
        _worker(row),
        str(row.finished),
        _running(row),
        row.text or "",
    )


def _place(row: JobRow) -> str | None:
    """Where it runs: as the engine says, else as the worker says of itself."""
    if row.status is not None and row.status.place is not None:
        return row.status.place
    if row.worker is not None:
        return row.worker.record.identity.host
    return None if row.placed is None else row.placed.place


def _state(row: JobRow) -> str:
    if row.placed is None:
        return "not placed"
    if row.status is None:
        return "not known"
    word = str(row.status.state)
    return word if row.status.says is None else f"{word}: {row.status.says}"


def _worker(row: JobRow) -> str:
    worker = row.worker
    if worker is None:
        return "none"
    again = f" ({row.came} times)" if row.came > 1 else ""
    process = f"{worker.seen}, pid {worker.record.identity.pid}{again}"
    if worker.record.ended_s is not None:
        return process
    return f"{process}, seen {duration_text(round(worker.silent_s))} ago"


def _running(row: JobRow) -> str:
    return ", ".join(str(trial.number) for trial in row.worker.holds) if row.worker else ""


def _cells(row: JobRow) -> tuple[Any, ...]:
    worker = row.worker
    return (
        str(row.job),
        row.study,
        row.engine,
        None if row.placed is None else row.placed.engine_id,
        _place(row),
        None if row.status is None else str(row.status.state),
        None if row.status is None else row.status.says,
        None if worker is None else str(worker.seen),
        None if worker is None else worker.record.identity.host,
        None if worker is None else worker.record.identity.pid,
        None if worker is None else worker.silent_s,
        row.finished,
        _running(row),
        None if row.remark is None else str(row.remark),
        row.text,
    )


def _json(row: JobRow) -> dict[str, Any]:
    worker = row.worker
    return {
        "job": str(row.job),
        "study": row.study,
        "engine": row.engine,
        "placed": row.placed,
        "status": row.status,
        "worker": None
        if worker is None
        else {
            "worker_id": worker.record.identity.worker_id,
            "host": worker.record.identity.host,
            "pid": worker.record.identity.pid,
            "state": worker.seen,
            "silent_s": worker.silent_s,
            "holds": worker.holds,
            "asked": worker.record.asked,
        },
        "came": row.came,
        "finished": row.finished,
        "remark": row.remark,
        "text": row.text,
        "over": row.is_over,
    }
