"""What the workers of a study are held against, in ``tb_study.reference``.

While nothing is written there it is the newest tracked attempt that says of itself that it is like
the study: one that was let in with differences (``LaunchState.differs``) never moves it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from sqlalchemy import Connection, select, update

from trialbook.book import schema
from trialbook.book.blobs import BlobStore, StaleError
from trialbook.book.book import Book
from trialbook.book.marks import is_marked
from trialbook.book.rows import readable
from trialbook.errors import NotFoundError
from trialbook.records.blobs import Blob
from trialbook.records.canonical import parsed
from trialbook.records.coordinates import CoordinateDigests, Kind, Snapshot
from trialbook.records.execution import Seeds
from trialbook.records.references import StudyReference

_LOOKED_AT = 200

_s, _t, _a, _n = schema.study.c, schema.trial.c, schema.attempt.c, schema.snapshot.c


def write(
    book: Book,
    store: BlobStore,
    study_id: int,
    snapshots: Sequence[Snapshot],
    blobs: Iterable[Blob],
    seed: int | None,
) -> None:
    """Write a reference down with everything that it names; see ``BookStorage.set_reference``.

    Raises:
        NotFoundError: There is no such study.
    """
    blobs = tuple(blobs)
    digests = {str(snapshot.kind): snapshot.digest for snapshot in snapshots}
    text = _text(StudyReference(CoordinateDigests(**digests), seed))
    while True:
        prepared = store.prepared(blobs)
        try:
            with book.writing(durable=True) as connection:
                store.name(connection, prepared, snapshots, relied_on=blobs)
                _write(connection, study_id, text)
        except StaleError:
            continue
        finally:
            store.discard(prepared)
        store.committed(prepared, snapshots)
        return


def fix(book: Book, study_id: int) -> StudyReference | None:
    """Write the reference down as it is now, unless one is; ``None`` when there is none.

    Raises:
        NotFoundError: There is no such study.
    """
    with book.writing(durable=True) as connection:
        # The study's row is locked, so that of two who come at once the second finds the first's.
        found = reference(connection, study_id, lock=True)
        if found is None or found.fixed:
            return found
        _write(connection, study_id, _text(found))
    return StudyReference(found.coordinates, found.seed, fixed=True)


def reference(
    connection: Connection, study_id: int, *, lock: bool = False
) -> StudyReference | None:
    """What the workers of a study are held against, ``None`` when nothing was tracked yet.

    Args:
        connection: Any transaction.
        study_id: The study.
        lock: Whether nobody else may change it until the transaction ends.

    Raises:
        NotFoundError: There is no such study.
    """
    query = select(_s.reference).where(_s.study_id == study_id, _s.deleted.is_(None))
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise _no_study(study_id)
    return _newest(connection, study_id) if row[0] is None else written(row[0])


def written(text: str) -> StudyReference:
    """The reference that a row holds.

    Raises:
        BookCorruptError: The text is damaged.
    """
    with readable("the reference of a study"):
        document = msgspec.json.decode(text, type=dict[str, str | int | None])
        digests = {str(kind): document[str(kind)] for kind in Kind}
        return StudyReference(
            msgspec.convert(digests, CoordinateDigests),
            msgspec.convert(document["seed"], int | None),
            fixed=True,
        )


def named_by_references(connection: Connection) -> set[str]:
    """Digests of the snapshots that the references of living studies name."""
    texts = connection.scalars(
        select(_s.reference).where(_s.reference.is_not(None), _s.deleted.is_(None))
    )
    return {
        digest
        for text in texts
        for kind in Kind
        if (digest := written(text).coordinates.of(kind)) is not None
    }


def _newest(connection: Connection, study_id: int) -> StudyReference | None:
    """That of the newest tracked attempt that is not marked."""
    query = (
        select(_a.attempt_id, *(_a[str(kind)] for kind in Kind), _a.seeds)
        .join(schema.trial, _t.trial_id == _a.trial_id)
        .where(_t.study_id == study_id, _t.deleted.is_(None), _a.seeds.is_not(None))
        .order_by(_a.attempt_id.desc())
    )
    # The newest alone will do nearly always; looking into the snapshots of all takes long.
    found = connection.execute(query.limit(1)).all()
    while found:
        digests = {row.execution for row in found if row.execution is not None}
        marked = set(
            connection.scalars(
                select(_n.digest).where(_n.digest.in_(digests), is_marked(_n.document))
            )
        )
        for row in found:
            if row.execution not in marked:
                with readable("the seeds of an attempt"):
                    seeds = msgspec.convert(parsed(row.seeds), Seeds)
                return StudyReference(CoordinateDigests(*row[1:-1]), seeds.decorator)
        last = found[-1].attempt_id
        found = connection.execute(query.where(_a.attempt_id < last).limit(_LOOKED_AT)).all()
    return None


def _text(reference: StudyReference) -> str:
    document = {str(kind): reference.coordinates.of(kind) for kind in Kind}
    return msgspec.json.encode({**document, "seed": reference.seed}).decode()


def _write(connection: Connection, study_id: int, text: str) -> None:
    changed = connection.execute(
        update(schema.study)
        .where(_s.study_id == study_id, _s.deleted.is_(None))
        .values(reference=text)
    ).rowcount
    if not changed:
        raise _no_study(study_id)


def _no_study(study_id: int) -> NotFoundError:
    return NotFoundError(f"there is no study of id {study_id}")
