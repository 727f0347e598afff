"""Checkpoints in the book: saving one, going on from one, and letting old contents go.

A checkpoint is one row and one blob (``packing.py`` says what is in it), written in the same
transaction as everything that the attempt had pending: so its position is true, and a crash leaves
the checkpoint before or this one. The contents of the last two of a trial are kept until the trial
has finished; rows stay. What then counts of each attempt is decided in ``stitching.py``.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, select, update

from trialbook.book import schema
from trialbook.book.attempt_rows import Identity, Overlay
from trialbook.book.blobs import BlobStore, Prepared
from trialbook.book.book import Book
from trialbook.book.packing import package, unpacked
from trialbook.book.series_rows import reports
from trialbook.book.statements import Statement, insert_if_absent
from trialbook.book.stitching import earlier_reports
from trialbook.book.texts import tagged_text
from trialbook.errors import (
    BookCorruptError,
    BookError,
    NotFoundError,
    TrialbookError,
    TrialbookWarning,
)
from trialbook.records.checkpoints import Position, Resumption, Told

KEPT = 2
"""So many contents of a trial are kept: the last, and the one before should it be damaged."""

_c, _a, _p, _f, _b = (
    schema.checkpoint.c,
    schema.attempt.c,
    schema.series.c,
    schema.artifact.c,
    schema.blob.c,
)
_counts = Statement(
    select(_p.metric, func.sum(_p.count))
    .where(_p.attempt_id == bindparam("attempt_id"))
    .group_by(_p.metric)
    .order_by(_p.metric)
)
_answers = Statement(
    select(func.length(_a.prune_answers)).where(_a.attempt_id == bindparam("attempt_id"))
)
_artifacts = Statement(
    select(_f.name, _f.digest, _f.size, _f.media_type)
    .where(_f.attempt_id == bindparam("attempt_id"))
    .order_by(_f.name)
)
_last_number = Statement(
    select(func.max(_c.number)).where(_c.attempt_id == bindparam("attempt_id"))
)
_insert = Statement(
    schema.checkpoint.insert().values(
        {
            column.name: bindparam(column.name, type_=column.type)
            for column in schema.checkpoint.columns
            if column.name != "checkpoint_id"
        }
    )
)
_kept = Statement(
    select(_c.checkpoint_id, _c.digest, _c.size, _a.number, _c.number)
    .join(schema.attempt, _a.attempt_id == _c.attempt_id)
    .where(_a.trial_id == bindparam("trial_id"), _c.kept == 1)
    .order_by(_a.number.desc(), _c.number.desc())
)
_forget = Statement(
    update(schema.checkpoint).where(_c.checkpoint_id == bindparam("checkpoint_id_")).values(kept=0)
)
_location = Statement(select(_b.location).where(_b.digest == bindparam("digest")))
_delete_blob = Statement(delete(schema.blob).where(_b.digest == bindparam("digest")))
_resume = Statement(
    update(schema.attempt)
    .where(_a.attempt_id == bindparam("attempt_id_"), _a.ended.is_(None))
    .values(resumed_from=bindparam("checkpoint_id"))
)
_inherit = insert_if_absent(schema.artifact)
_is_there = Statement(select(_b.size).where(_b.digest == bindparam("digest")))


@dataclass(frozen=True, slots=True)
class Candidate:
    """A checkpoint whose content is kept: its ids, content, and what it is called."""

    checkpoint_id: int
    digest: str
    size_bytes: int
    attempt: int
    number: int

    @property
    def name(self) -> str:
        """What it is called in a message."""
        return f"checkpoint {self.number} of attempt {self.attempt}"


def prepared(
    book: Book, blobs: BlobStore, attempt_id: int, path: Path, told: Told, overlay: Overlay
) -> Prepared:
    """The content of a checkpoint, written and synced, but not named yet.

    Args:
        book: The book.
        blobs: Its blobs.
        attempt_id: The attempt.
        path: What the user saves.
        told: What the tracked trial adds.
        overlay: What the attempt has written: its attributes are restored with the checkpoint.

    Raises:
        InvalidInputError: The path cannot be saved.
        BookFullError: No space is left.
        ArtifactLocationError: It is too large for the book, or its location cannot be reached.
    """
    with book.reading() as connection:
        artifacts = [list(row) for row in _artifacts.rows(connection, attempt_id=attempt_id)]
    packed = package(
        path,
        {
            "generators": told.generators,
            "next_steps": told.next_steps,
            "user_attrs": overlay.user_attrs,
            "system_attrs": overlay.system_attrs,
            "artifacts": artifacts,
        },
    )
    # The random word in it makes it unlike all others, from its first part on.
    return blobs.taken_in(packed.chunks(), packed.size_bytes, unlike_others=True)


def save(
    connection: Connection, identity: Identity, content: Prepared, told: Told, counted: bool
) -> list[str]:
    """Write the row of a checkpoint whose blob is named, and let older contents go.

    Args:
        connection: A write transaction, in which everything pending was written already.
        identity: The attempt.
        content: What was named.
        told: What the tracked trial said.
        counted: Whether the attempt is the current one; else the content goes at once.

    Returns:
        The locations of files that nothing names once the transaction is committed.
    """
    if not counted:
        return _removed(connection, content.digest)
    attempt_id = identity.attempt_id
    answers = _answers.row(connection, attempt_id=attempt_id)
    position = Position(
        {metric: int(count) for metric, count in _counts.rows(connection, attempt_id=attempt_id)},
        0 if answers is None else int(answers[0]),
    )
    last = _last_number.row(connection, attempt_id=attempt_id)
    _insert.run(
        connection,
        attempt_id=attempt_id,
        number=1 if last is None or last[0] is None else int(last[0]) + 1,
        digest=content.digest,
        size=content.size_bytes,
        created=time.time(),
        position=tagged_text(position),
        generators=tagged_text(told.kinds),
        kept=1,
    )
    return _let_go(connection, candidates(connection, identity.trial_id)[KEPT:])


def candidates(connection: Connection, trial_id: int) -> list[Candidate]:
    """The checkpoints of a trial whose contents are kept, the newest first."""
    return [Candidate(*row) for row in _kept.rows(connection, trial_id=trial_id)]


def _let_go(connection: Connection, old: Sequence[Candidate]) -> list[str]:
    """Drop contents; nothing else names or remembers them, since each is unlike all others."""
    locations = []
    for candidate in old:
        _forget.run(connection, checkpoint_id_=candidate.checkpoint_id)
        locations += _removed(connection, candidate.digest)
    return locations


def _removed(connection: Connection, digest: str) -> list[str]:
    """Delete a blob's row; the location of its file, if it has one."""
    row = _location.row(connection, digest=digest)
    _delete_blob.run(connection, digest=digest)
    return [] if row is None or row[0] is None else [str(row[0])]


def let_go_all(book: Book, blobs: BlobStore, trial_id: int) -> None:
    """Drop the contents of every checkpoint of a trial that has finished.

    Its result is in the book already, so what keeps this from being done is only warned of.
    """
    try:
        with book.reading() as connection:
            if not candidates(connection, trial_id):
                return
        with book.writing() as connection:
            locations = _let_go(connection, candidates(connection, trial_id))
    except BookError as error:
        warnings.warn(
            TrialbookWarning(f"contents of checkpoints stay until 'trialbook gc': {error.what}"),
            stacklevel=2,
        )
    else:
        blobs.unlink(locations)


@dataclass(frozen=True, slots=True)
class Found:
    """A checkpoint that was restored, before it is recorded.

    Args:
        candidate: Which one; ``None`` when none was usable.
        damaged: Newer ones that were not usable.
        resumption: What the trial finds.
        user_attrs: User attributes that the earlier attempts had set by then, as JSON.
        system_attrs: Likewise system attributes.
        artifacts: Rows of the artifacts that they had kept by then.
    """

    candidate: Candidate | None
    damaged: tuple[Candidate, ...]
    resumption: Resumption
    user_attrs: dict[str, str] = field(default_factory=dict)
    system_attrs: dict[str, str] = field(default_factory=dict)
    artifacts: tuple[dict[str, Any], ...] = ()


def restored(
    book: Book, blobs: BlobStore, identity: Identity, directory: Callable[[], Path]
) -> Found:
    """Restore the newest usable checkpoint of a trial's earlier attempts.

    Args:
        book: The book.
        blobs: Its blobs.
        identity: The attempt that goes on.
        directory: Makes the directory where to; each checkpoint gets one of its own in it.

    Raises:
        OSError: The directory cannot be written.
    """
    with book.reading() as connection:
        earlier = [
            candidate
            for candidate in candidates(connection, identity.trial_id)
            if candidate.attempt < identity.number
        ]
    damaged: list[Candidate] = []
    gaps: list[str] = []
    for candidate in earlier:
        place = Path(tempfile.mkdtemp(prefix="resumed-", dir=directory()))
        try:
            path, facts = _unpacked(blobs, candidate, place)
            with book.reading() as connection:
                values = reports(earlier_reports(connection, candidate.checkpoint_id))
                artifacts, lost = _still_there(connection, facts["artifacts"])
            resumption = Resumption(
                path,
                (*gaps, *lost),
                facts["generators"],
                facts["next_steps"],
                values,
                {key: json.loads(text) for key, text in facts["user_attrs"].items()},
            )
            attrs = (facts["user_attrs"], facts["system_attrs"])
            return Found(candidate, tuple(damaged), resumption, *attrs, artifacts)
        except (BookCorruptError, NotFoundError, KeyError) as error:
            shutil.rmtree(place, ignore_errors=True)
            what = error.what if isinstance(error, TrialbookError) else f"it lacks {error}"
            gaps.append(f"{candidate.name} was not usable: {what}")
            damaged.append(candidate)
    return Found(None, tuple(damaged), Resumption(None, tuple(gaps)))


def _still_there(
    connection: Connection, artifacts: Sequence[Sequence[Any]]
) -> tuple[tuple[dict[str, Any], ...], list[str]]:
    """Rows of artifacts whose contents are in the book, and what to say of the others."""
    rows, lost = [], []
    for name, digest, size, media_type in artifacts:
        if _is_there.row(connection, digest=digest) is None:
            lost.append(f"artifact {name} of an earlier attempt is not in the book any more")
        else:
            rows.append({"name": name, "digest": digest, "size": size, "media_type": media_type})
    return tuple(rows), lost


def _unpacked(blobs: BlobStore, candidate: Candidate, place: Path) -> tuple[Path, dict[str, Any]]:
    with tempfile.TemporaryFile(dir=place) as file:
        for chunk in blobs.chunks(candidate.digest):  # checked when the last one was read
            file.write(chunk)
        file.seek(0)
        return unpacked(file, place)


def record(connection: Connection, identity: Identity, found: Found) -> list[str]:
    """Write that an attempt goes on from a checkpoint, or that some were of no use.

    The artifacts that were kept up to the checkpoint are the attempt's own from now on.

    Returns:
        The locations of files that nothing names once the transaction is committed.
    """
    locations = _let_go(connection, found.damaged)
    if found.candidate is not None:
        _resume.run(
            connection,
            attempt_id_=identity.attempt_id,
            checkpoint_id=found.candidate.checkpoint_id,
        )
        for row in found.artifacts:
            _inherit.run(connection, attempt_id=identity.attempt_id, **row)
    return locations
