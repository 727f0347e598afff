"""Verifying a book without trusting it: everything that has a digest is computed again.

For every trial that lives the digest of its record is computed from its rows; for every attempt
the points are decoded and held against their summary (``verified_records.py``); every snapshot and
blob is hashed, and every digest that something names must be there (``verified_contents.py``); a
study's numbers must have no gap. Each mismatch is named. Nothing is changed, executed or unpickled.
A study's seal is in ``seals.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import select

from trialbook.book import schema
from trialbook.book.book import Book
from trialbook.book.engine import is_sqlite
from trialbook.book.findings import Findings, Mismatch
from trialbook.book.removal_mark import removals
from trialbook.book.seals import StudySeal, study_seal
from trialbook.book.verified_contents import ContentCheck
from trialbook.book.verified_records import RecordCheck
from trialbook.errors import NotFoundError

_TRIES = 3


@dataclass(frozen=True, slots=True)
class Verification:
    """What was verified and what did not hold.

    Args:
        seals: Seal of each study that was looked at, by name.
        mismatches: Everything that is wrong; empty when the book is whole.
        trials: Number of records computed again.
        series: Number of metrics decoded.
        snapshots: Number of snapshots hashed.
        blobs: Number of blobs hashed.
        not_read: Number of blobs at artifact locations that were not to be read.
    """

    seals: tuple[StudySeal, ...]
    mismatches: tuple[Mismatch, ...]
    trials: int
    series: int
    snapshots: int
    blobs: int
    not_read: int = 0


def verify(
    book: Book,
    study: str | None = None,
    *,
    seal: str | None = None,
    progress: Callable[[str], None] | None = None,
    artifacts: bool = True,
) -> Verification:
    """Compute everything that has a digest again.

    Args:
        book: An open book; it may be read-only.
        study: Verify this study and what it names; ``None`` for the whole book, with tombstones
            and contents that nothing names.
        seal: A seal to hold the book against: with ``study`` that study must have it, else one of
            the studies must.
        progress: Called with what is looked at next.
        artifacts: Whether to read what lies at artifact locations, outside the book's database and
            the files beside it.

    Raises:
        NotFoundError: There is no such study.
        ArtifactLocationError: An artifact location cannot be reached.
        MissingPackageError: Reading there needs a package that is not installed.
    """
    for _ in range(_TRIES):
        findings = Findings()
        before = _removals(book)
        seals = _verified(book, study, findings, progress or (lambda _: None), artifacts)
        # What was deleted between two looks is no mismatch: look again.
        if not findings.mismatches or _removals(book) == before:
            break
    if seal is not None:
        wanted = seal.strip().lower()
        if wanted not in {found.seal for found in seals}:
            findings.found(
                "seal",
                study if study is not None else "the book",
                f"the seal is {seals[0].seal}, not {wanted}"
                if len(seals) == 1
                else f"no study has the seal {wanted}",
            )
    return Verification(
        seals=tuple(seals),
        mismatches=tuple(findings.mismatches),
        trials=findings.trials,
        series=findings.series,
        snapshots=len(findings.snapshots_done),
        blobs=findings.blobs,
        not_read=findings.not_read,
    )


def _removals(book: Book) -> str:
    with book.reading() as connection:
        return removals(connection)


def _verified(
    book: Book,
    study: str | None,
    findings: Findings,
    progress: Callable[[str], None],
    artifacts: bool,
) -> list[StudySeal]:
    """Verify; the seals of the studies that were looked at."""
    s = schema.study.c
    wanted = select(schema.study).order_by(s.name, s.study_id)
    if study is not None:
        wanted = wanted.where(s.name == study, s.deleted.is_(None))
    with book.reading() as connection:
        studies = connection.execute(wanted).all()
        seals = [study_seal(connection, row) for row in studies]
    if study is not None and not studies:
        raise NotFoundError(f"the study {study!r} is not in the book", hint="run 'trialbook ls'")
    if study is None:
        _verify_database(book, findings)
    records = RecordCheck(book, findings)
    for row in studies:
        progress(f"study {row.name}")
        records.study(row)
    contents = ContentCheck(book, findings, artifacts=artifacts)
    progress("snapshots")
    contents.snapshots(everything=study is None)
    progress("blobs")
    contents.blobs(everything=study is None)
    return seals


def _verify_database(book: Book, findings: Findings) -> None:
    """SQLite's own check of its pages; a server checks its own."""
    with findings.watching("database", book.url), book.reading() as connection:
        if is_sqlite(connection):
            for (line,) in connection.exec_driver_sql("PRAGMA quick_check(20)"):
                if line != "ok":
                    findings.found("database", book.url, str(line))
