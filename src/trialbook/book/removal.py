"""Taking things out of a book: trials and studies, leaving tombstones, and what nothing names.

A deleted trial keeps its row (number, state, record digest, time of deletion), so that the seal of
its study still covers it; its params, values, attributes, attempts, series, artifacts and reruns
go. Snapshots and blobs are shared, so they stay until ``collect_garbage`` finds that nothing names
them.

Collecting is safe while others write. Rows are marked and removed in one write transaction that
runs alone, and each such transaction notes the removal: whoever remembers that something was in
the book looks again (``removal_mark.py``). Files are unlinked in a second such transaction, when
their rows are gone for good; a writer moves a file to its place inside its own. Objects at other
locations go likewise (``place_garbage.py``).
"""

from __future__ import annotations

import re
import stat
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, exists, or_, select, update

from trialbook.book import schema
from trialbook.book.book import Book
from trialbook.book.hashed_files import forget_old
from trialbook.book.place_garbage import (
    ABANDONED_FILE_S,
    Outside,
    Strays,
    find_strays,
    remove_strays,
)
from trialbook.book.references import named_by_references
from trialbook.book.removal_mark import note_removal
from trialbook.book.rows import STATES
from trialbook.errors import InvalidInputError, NotFoundError
from trialbook.records.study import StudyRecord, TrialRecord

_NAMED = 500
_DIGEST = re.compile(r"[0-9a-f]{64}")
_RUNNING = STATES.index("RUNNING")
_COORDINATES = ("code", "data", "config", "environment", "execution")


@dataclass(frozen=True, slots=True)
class Garbage:
    """What nothing in a book names.

    Args:
        tombstones: Deleted trials and studies that still hold content, as Optuna's
            ``delete_study`` leaves them.
        snapshots: Number of snapshots.
        blobs: Number of blobs.
        size_bytes: Total size of the blobs.
        files: Files in the blob directory, and objects at other locations, that no row names.
        unreached: URLs of artifact locations that could not be looked at from here.
    """

    tombstones: int
    snapshots: int
    blobs: int
    size_bytes: int
    files: int
    unreached: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to collect."""
        return not (self.tombstones or self.snapshots or self.blobs or self.files)


def remove_trial(book: Book, trial: TrialRecord, *, running: bool = False) -> None:
    """Delete a trial, leaving its tombstone. Committed, and safe from power loss, on return.

    Args:
        book: A book that is open for writing.
        trial: The trial, as it was read.
        running: Delete it even when it is RUNNING; the process that runs it is fenced.

    Raises:
        NotFoundError: It has been deleted meanwhile.
        InvalidInputError: It is RUNNING, and ``running`` is false.
    """
    t = schema.trial.c
    with book.writing(durable=True) as connection:
        row = connection.execute(
            select(t.trial_id, t.number, t.state).where(
                t.trial_id == trial.trial_id, t.deleted.is_(None)
            )
        ).one_or_none()
        if row is None:
            raise NotFoundError(f"{trial.reference} is not in the book any more")
        if not running:
            _refuse_running([row], trial.study)
        bury(connection, [row.trial_id])


def remove_study(book: Book, study: StudyRecord, *, running: bool = False) -> None:
    """Delete a study with all its trials, leaving their tombstones.

    Args:
        book: A book that is open for writing.
        study: The study, as it was read.
        running: Delete it even when trials of it are RUNNING; who runs them is fenced.

    Raises:
        NotFoundError: It has been deleted meanwhile.
        InvalidInputError: A trial of it is RUNNING, and ``running`` is false.
    """
    s, t = schema.study.c, schema.trial.c
    with book.writing(durable=True) as connection:
        changed = connection.execute(
            update(schema.study)
            .where(s.study_id == study.study_id, s.deleted.is_(None))
            .values(deleted=time.time())
        ).rowcount
        if not changed:
            raise NotFoundError(f"the study {study.name!r} is not in the book any more")
        found = connection.execute(
            select(t.trial_id, t.number, t.state).where(
                t.study_id == study.study_id, t.deleted.is_(None)
            )
        ).all()
        if not running:
            _refuse_running(found, study.name)
        bury(connection, [row.trial_id for row in found])
        _empty_studies(connection, [study.study_id])
        note_removal(connection)


def forget_tombstone(connection: Connection, uid: str) -> None:
    """Remove a deleted study altogether, for a copy of it that covers what its tombstone keeps.

    Args:
        connection: The write transaction that brings the copy.
        uid: The study's identity; nothing is done when no deleted study has it.
    """
    s, t, w = schema.study.c, schema.trial.c, schema.worker.c
    study_id = connection.scalar(select(s.study_id).where(s.uid == uid, s.deleted.is_not(None)))
    if study_id is None:
        return
    _empty_trials(
        connection, connection.scalars(select(t.trial_id).where(t.study_id == study_id)).all()
    )
    _empty_studies(connection, [study_id])
    connection.execute(update(schema.worker).where(w.study_id == study_id).values(study_id=None))
    for table in (schema.launch, schema.trial, schema.study):
        connection.execute(delete(table).where(table.c.study_id == study_id))
    note_removal(connection)


def _refuse_running(found: Iterable[Any], study: str) -> None:
    numbers = [row.number for row in found if row.state == _RUNNING]
    if numbers:
        named = ", ".join(map(str, numbers[:5])) + (", ..." if len(numbers) > 5 else "")
        raise InvalidInputError(
            f"trials of the study {study!r} are running: {named}",
            hint="stop who runs them first, or delete them all the same with --running",
        )


def bury(connection: Connection, trial_ids: Sequence[int]) -> None:
    """Turn trials into tombstones and drop what belonged to them; the removal is noted.

    Args:
        connection: A write transaction.
        trial_ids: The trials.
    """
    t = schema.trial.c
    for chunk in _chunks(trial_ids):
        # With the next number of attempt, a process that still runs the trial is fenced.
        connection.execute(
            update(schema.trial)
            .where(t.trial_id.in_(chunk))
            .values(deleted=time.time(), attempt=t.attempt + 1)
        )
    _empty_trials(connection, trial_ids)
    note_removal(connection)


def _empty_trials(connection: Connection, trial_ids: Sequence[int]) -> None:
    """Drop everything of tombstones but number, state, digest and times."""
    t, v, a = schema.trial.c, schema.trial_value.c, schema.attempt.c
    for chunk in _chunks(trial_ids):
        connection.execute(
            update(schema.trial)
            .where(t.trial_id.in_(chunk))
            .values(params="{}", space=None, user_attrs="{}", system_attrs="{}", not_before=None)
        )
        connection.execute(delete(schema.trial_value).where(v.trial_id.in_(chunk)))
        attempts = connection.scalars(select(a.attempt_id).where(a.trial_id.in_(chunk))).all()
        for part in _chunks(attempts):
            for table in (
                schema.series,
                schema.artifact,
                schema.checkpoint,
                schema.rerun,
                schema.attempt,
            ):
                connection.execute(delete(table).where(table.c.attempt_id.in_(part)))


def _empty_studies(connection: Connection, study_ids: Sequence[int]) -> None:
    """Drop everything of deleted studies but name, identity, directions and times."""
    for chunk in _chunks(study_ids):
        connection.execute(
            update(schema.study)
            .where(schema.study.c.study_id.in_(chunk))
            .values(spec=None, reference=None)
        )
        connection.execute(delete(schema.study_attr).where(schema.study_attr.c.study_id.in_(chunk)))


def _chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), _NAMED):
        yield items[start : start + _NAMED]


def find_garbage(book: Book) -> Garbage:
    """What ``collect_garbage`` would remove now. Nothing is changed."""
    seen = _documents_seen(book)
    with book.reading() as connection:
        tombstones = len(_full_trials(connection)) + len(_full_studies(connection))
        snapshots, blobs = _unnamed(connection, seen)
        named = _locations(connection) - {location for _, _, location in blobs}
    files = [path for path in _files(book) if _relative(book, path) not in named]
    strays = find_strays(book, {digest for digest, _, _ in blobs})
    return _summary(tombstones, snapshots, blobs, len(files), strays)


def collect_garbage(book: Book) -> Garbage:
    """Remove what nothing names; returns what was removed.

    Args:
        book: A book that is open for writing. Others may write to it meanwhile.
    """
    seen = _documents_seen(book)  # the long part, done before others have to wait
    with book.writing(durable=True, alone=True) as connection:
        trials, studies = _full_trials(connection), _full_studies(connection)
        _empty_trials(connection, trials)
        _empty_studies(connection, studies)
        snapshots, blobs = _unnamed(connection, seen)
        gone = _outside(connection, blobs)
        _delete_by_digest(connection, schema.snapshot, snapshots)
        _delete_by_digest(connection, schema.blob, [digest for digest, _, _ in blobs])
        if trials or studies or snapshots or blobs:
            note_removal(connection)
        forget_old(connection)
    files = 0
    with book.writing(alone=True) as connection:
        named = _locations(connection)
        for path in _files(book):
            if _relative(book, path) not in named:
                path.unlink(missing_ok=True)
                files += 1
    strays = remove_strays(book, gone)
    return _summary(len(trials) + len(studies), snapshots, blobs, files, strays)


def _summary(
    tombstones: int,
    snapshots: Sequence[str],
    blobs: Sequence[tuple[str, int, Any]],
    files: int,
    strays: Strays,
) -> Garbage:
    size = sum(size for _, size, _ in blobs)
    files += strays.count
    return Garbage(tombstones, len(snapshots), len(blobs), size, files, strays.unreached)


def _outside(connection: Connection, blobs: Sequence[tuple[str, int, str | None]]) -> list[Outside]:
    """Those of the blobs that lie at a location, with the lists of their parts."""
    blob = schema.blob.c
    there = [digest for digest, _, location in blobs if location is not None and ":" in location]
    return [
        Outside(row.location, row.content)
        for chunk in _chunks(there)
        for row in connection.execute(
            select(blob.location, blob.content).where(blob.digest.in_(chunk))
        )
    ]


def _delete_by_digest(connection: Connection, table: Any, digests: Sequence[str]) -> None:
    for chunk in _chunks(digests):
        connection.execute(delete(table).where(table.c.digest.in_(chunk)))


def _full_trials(connection: Connection) -> Sequence[int]:
    """Deleted trials that are not empty yet."""
    t, v, a = schema.trial.c, schema.trial_value.c, schema.attempt.c
    return connection.scalars(
        select(t.trial_id).where(
            t.deleted.is_not(None),
            or_(
                t.params != "{}",
                t.user_attrs != "{}",
                t.system_attrs != "{}",
                exists().where(v.trial_id == t.trial_id),
                exists().where(a.trial_id == t.trial_id),
            ),
        )
    ).all()


def _full_studies(connection: Connection) -> Sequence[int]:
    """Deleted studies that are not empty yet."""
    s = schema.study.c
    return connection.scalars(
        select(s.study_id).where(
            s.deleted.is_not(None),
            or_(
                s.spec.is_not(None),
                s.reference.is_not(None),
                exists().where(schema.study_attr.c.study_id == s.study_id),
            ),
        )
    ).all()


def _documents_seen(book: Book) -> dict[str, frozenset[str]]:
    """Snapshot to every digest that its document mentions. Documents never change."""
    seen: dict[str, frozenset[str]] = {}
    with book.reading() as connection:
        digests = connection.scalars(select(schema.snapshot.c.digest)).all()
    for chunk in _chunks(digests):
        with book.reading() as connection:
            seen.update(_mentioned(connection, chunk))
    return seen


def _mentioned(connection: Connection, digests: Sequence[str]) -> dict[str, frozenset[str]]:
    snapshot = schema.snapshot.c
    found = connection.execute(
        select(snapshot.digest, snapshot.document).where(snapshot.digest.in_(digests))
    )
    return {row.digest: frozenset(_DIGEST.findall(row.document)) for row in found}


def _unnamed(
    connection: Connection, seen: dict[str, frozenset[str]]
) -> tuple[list[str], list[tuple[str, int, str | None]]]:
    """Snapshots and blobs (digest, size, location) that no living trial or study names.

    A blob counts as named when its digest stands anywhere in a document that is kept or in an
    attempt's outcome: so it stays right when records learn to name blobs in new places.
    """
    kept_snapshots = _named_snapshots(connection)
    everything = connection.scalars(select(schema.snapshot.c.digest)).all()
    for chunk in _chunks([d for d in everything if d in kept_snapshots and d not in seen]):
        seen.update(_mentioned(connection, chunk))
    kept_blobs: set[str] = set(connection.scalars(select(schema.artifact.c.digest)))
    kept_blobs.update(_checkpoints_in_use(connection))
    for digest in kept_snapshots:
        kept_blobs |= seen.get(digest, frozenset())
    for outcome in connection.scalars(
        select(schema.attempt.c.outcome).where(schema.attempt.c.outcome.is_not(None))
    ):
        kept_blobs.update(_DIGEST.findall(outcome))
    blob = schema.blob.c
    blobs = [
        (row.digest, row.size, row.location)
        for row in connection.execute(select(blob.digest, blob.size, blob.location))
        if row.digest not in kept_blobs
    ]
    return [digest for digest in everything if digest not in kept_snapshots], blobs


def _checkpoints_in_use(connection: Connection) -> Collection[str]:
    """Contents that an attempt may still go on from: of trials that have not finished."""
    checkpoint, attempt, trial = schema.checkpoint.c, schema.attempt.c, schema.trial.c
    return connection.scalars(
        select(checkpoint.digest)
        .join(schema.attempt, attempt.attempt_id == checkpoint.attempt_id)
        .join(schema.trial, trial.trial_id == attempt.trial_id)
        .where(checkpoint.kept == 1, trial.finish_seq.is_(None), trial.deleted.is_(None))
    ).all()


def _named_snapshots(connection: Connection) -> set[str]:
    attempt, trial = schema.attempt.c, schema.trial.c
    named = named_by_references(connection)
    for kind in _COORDINATES:
        column = attempt[kind]
        named.update(
            connection.scalars(
                select(column)
                .join(schema.trial, trial.trial_id == attempt.trial_id)
                .where(column.is_not(None), trial.deleted.is_(None))
                .distinct()
            )
        )
    named.update(
        connection.scalars(
            select(trial.space).where(trial.space.is_not(None), trial.deleted.is_(None)).distinct()
        )
    )
    return named


def _locations(connection: Connection) -> set[str]:
    location = schema.blob.c.location
    return set(connection.scalars(select(location).where(location.is_not(None))))


def _files(book: Book) -> Collection[Path]:
    """Files of the blob directory; those under a temporary name only when they are old."""
    directory = book.blob_directory
    if directory is None or not directory.is_dir():
        return ()
    oldest = time.time() - ABANDONED_FILE_S
    return [path for path in directory.rglob("*") if _is_settled(path, oldest)]


def _is_settled(path: Path, oldest: float) -> bool:
    """Whether a file is nobody's draft any more."""
    try:
        found = path.stat()
    except FileNotFoundError:  # its writer has put it in its place meanwhile
        return False
    return stat.S_ISREG(found.st_mode) and (
        not path.name.startswith("new-") or found.st_mtime < oldest
    )


def _relative(book: Book, path: Path) -> str:
    assert book.blob_directory is not None
    return path.relative_to(book.blob_directory).as_posix()
