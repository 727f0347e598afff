"""Verifying a book without trusting it: everything that has a digest is computed again.

For every trial that lives the digest of its record is computed from its rows; for every attempt
the points are decoded and held against their summary; every snapshot and blob is hashed; every
digest that something names must be there; a study's numbers must have no gap. Each mismatch is
named. Nothing is changed, executed or unpickled.

The **seal** of a study is the Merkle root (RFC 6962, ``records/seal.py``) over one leaf a trial, by
number. A leaf is the canonical JSON of ``[number, state, record digest]``, the state by its name.
Deleted trials are covered by the digest that their tombstone keeps, so deleting leaves the seal as
it is. Unfinished trials are covered too, with ``null`` for their digest: a seal says how
many trials a study had, so that none can be dropped, and it is final when all have finished.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, select

from trialbook.book import schema
from trialbook.book.blobs import BlobStore, removals
from trialbook.book.book import Book
from trialbook.book.engine import is_sqlite
from trialbook.book.record_digest import record_digest
from trialbook.book.references import written
from trialbook.book.rows import DAMAGE, STATES
from trialbook.book.stitching import check_chain
from trialbook.book.texts import queryable, value_of
from trialbook.errors import (
    ArtifactLocationError,
    BookCorruptError,
    MissingPackageError,
    NotFoundError,
    TrialbookError,
)
from trialbook.records.canonical import digest_of_bytes, parsed
from trialbook.records.coordinates import Kind, Snapshot
from trialbook.records.execution import OutcomeState
from trialbook.records.seal import merkle_root
from trialbook.records.series import decoded

_CHUNK = 200
_TRIES = 3
_FINISHED = tuple(STATES.index(state) for state in ("COMPLETE", "PRUNED", "FAIL"))


def _removals(book: Book) -> str:
    with book.reading() as connection:
        return removals(connection)


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Something that is not what the book says it is.

    Args:
        kind: ``record``, ``points``, ``value``, ``snapshot``, ``blob``, ``study``, ``seal`` or
            ``database``.
        where: The trial, metric, file or digest concerned.
        what: What is wrong, one sentence.
    """

    kind: str
    where: str
    what: str


@dataclass(frozen=True, slots=True)
class StudySeal:
    """The seal of a study.

    Args:
        study: Its name.
        uid: Its identity.
        seal: The Merkle root, 64 hexadecimal digits.
        trials: Number of trials that it covers, deleted ones among them.
        unfinished: Number of trials that may still change it.
        deleted: Number of trials that are tombstones.
        study_deleted: Whether the study itself was deleted.
    """

    study: str
    uid: str
    seal: str
    trials: int
    unfinished: int
    deleted: int
    study_deleted: bool


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


def leaf(number: int, state: str, record: str | None) -> bytes:
    """The leaf of a trial: canonical JSON of ``[number, state, record digest]``."""
    # RFC 8785 for an integer and ASCII text is what ``json`` writes without spaces.
    return json.dumps([number, state, record], separators=(",", ":")).encode()


def seal_of(book: Book, study_id: int) -> str:
    """The seal of a study as it is now, 64 hexadecimal digits."""
    with book.reading() as connection:
        row = connection.execute(
            select(schema.study).where(schema.study.c.study_id == study_id)
        ).one()
        return study_seal(connection, row).seal


def study_seal(connection: Connection, study: Row[Any]) -> StudySeal:
    """The seal of a study as a transaction sees it, from its row in ``tb_study``."""
    t = schema.trial.c
    found = connection.execute(
        select(t.number, t.state, t.record_digest, t.deleted)
        .where(t.study_id == study.study_id)
        .order_by(t.number)
    ).all()
    return StudySeal(
        study=study.name,
        uid=study.uid,
        seal=merkle_root([leaf(r.number, _state(r.state), r.record_digest) for r in found]),
        trials=len(found),
        unfinished=sum(r.state not in _FINISHED and r.deleted is None for r in found),
        deleted=sum(r.deleted is not None for r in found),
        study_deleted=study.deleted is not None,
    )


def _state(number: int) -> str:
    return STATES[number] if 0 <= number < len(STATES) else str(number)


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
        check = _Check(book, progress or (lambda _: None), artifacts)
        before = _removals(book)
        seals = check.run(study)
        # What was deleted between two looks is no mismatch: look again.
        if not check.mismatches or _removals(book) == before:
            break
    if seal is not None:
        wanted = seal.strip().lower()
        if wanted not in {found.seal for found in seals}:
            check.found(
                "seal",
                study if study is not None else "the book",
                f"the seal is {seals[0].seal}, not {wanted}"
                if len(seals) == 1
                else f"no study has the seal {wanted}",
            )
    return Verification(
        seals=tuple(seals),
        mismatches=tuple(check.mismatches),
        trials=check.trials,
        series=check.series,
        snapshots=len(check.snapshots_done),
        blobs=check.blobs,
        not_read=check.not_read,
    )


_Trials = dict[int, tuple[Row[Any], str]]
"""Rows of ``tb_trial`` by id, each with what it is called."""


@dataclass(slots=True)
class _Check:
    """One verification on its way: what it has found, and which digests something names."""

    book: Book
    progress: Callable[[str], None]
    artifacts: bool = True
    mismatches: list[Mismatch] = field(default_factory=list)
    trials: int = 0
    series: int = 0
    blobs: int = 0
    not_read: int = 0
    # Digest to the first that names it.
    snapshots_named: dict[str, str] = field(default_factory=dict)
    blobs_named: dict[str, str] = field(default_factory=dict)
    snapshots_done: set[str] = field(default_factory=set)

    def found(self, kind: str, where: str, what: str) -> None:
        """Note a mismatch."""
        self.mismatches.append(Mismatch(kind, where, what))

    @contextmanager
    def watching(self, kind: str, where: str) -> Iterator[None]:
        """Note what cannot be read instead of stopping."""
        try:
            yield
        except TrialbookError as error:
            self.found(kind, where, error.what)
        except DAMAGE as error:
            self.found(kind, where, f"it cannot be read: {type(error).__name__}: {error}")

    def run(self, study: str | None) -> list[StudySeal]:
        """Verify; the seals of the studies that were looked at."""
        s = schema.study.c
        wanted = select(schema.study).order_by(s.name, s.study_id)
        if study is not None:
            wanted = wanted.where(s.name == study, s.deleted.is_(None))
        with self.book.reading() as connection:
            studies = connection.execute(wanted).all()
            seals = [study_seal(connection, row) for row in studies]
        if study is not None and not studies:
            raise NotFoundError(
                f"the study {study!r} is not in the book", hint="run 'trialbook ls'"
            )
        if study is None:
            self._database()
        for row in studies:
            self.progress(f"study {row.name}")
            self._study(row)
        self.progress("snapshots")
        self._snapshots(everything=study is None)
        self.progress("blobs")
        self._blobs(everything=study is None)
        return seals

    def _database(self) -> None:
        """SQLite's own check of its pages; a server checks its own."""
        with self.watching("database", self.book.url), self.book.reading() as connection:
            if is_sqlite(connection):
                for (line,) in connection.exec_driver_sql("PRAGMA quick_check(20)"):
                    if line != "ok":
                        self.found("database", self.book.url, str(line))

    def _study(self, study: Row[Any]) -> None:
        t = schema.trial.c
        self._reference(study)
        expected = 0
        while True:
            with self.book.reading() as connection:
                found = connection.execute(
                    select(schema.trial)
                    .where(t.study_id == study.study_id, t.number >= expected)
                    .order_by(t.number)
                    .limit(_CHUNK)
                ).all()
                for row in found:
                    self._gap(study, expected, row.number)
                    expected = row.number + 1
                living = {
                    row.trial_id: (row, f"{study.name}/{row.number}")
                    for row in found
                    if row.deleted is None
                }
                self._records(connection, living)
                self._values(connection, living)
                self._attempts(connection, living)
            if len(found) < _CHUNK:
                break
        self._gap(study, expected, self._next_number(study))

    def _reference(self, study: Row[Any]) -> None:
        """What the workers of a study are held against must be there."""
        if study.reference is None or study.deleted is not None:
            return
        where = f"the reference of {study.name}"
        with self.watching("study", where):
            coordinates = written(study.reference).coordinates
            for kind in Kind:
                digest = coordinates.of(kind)
                if digest is not None:
                    self.snapshots_named.setdefault(digest, f"the {kind} of {where}")

    def _next_number(self, study: Row[Any]) -> int:
        """How many numbers the study has given; its row was read before its trials were."""
        number: int = study.next_number
        return number

    def _gap(self, study: Row[Any], expected: int, number: int) -> None:
        if number > expected:
            numbers = (
                f"trial {expected}"
                if number == expected + 1
                else (f"trials {expected} to {number - 1}")
            )
            self.found("study", study.name, f"{numbers} not there, not even as a tombstone")

    def _records(self, connection: Connection, trials: _Trials) -> None:
        for row, where in trials.values():
            if row.space is not None:
                self.snapshots_named.setdefault(row.space, f"the search space of {where}")
            if row.state not in _FINISHED:
                continue
            self.trials += 1
            with self.watching("record", where):
                digest = record_digest(connection, row.trial_id)
                if row.record_digest is None:
                    self.found("record", where, "it has finished and has no digest")
                elif digest != row.record_digest:
                    says = f"its rows have the digest {digest}, its record says {row.record_digest}"
                    self.found("record", where, says)

    def _values(self, connection: Connection, trials: _Trials) -> None:
        v = schema.trial_value.c
        for row in connection.execute(
            select(v.trial_id, v.objective, v.value, v.bytes).where(v.trial_id.in_(trials))
        ):
            where = trials[row.trial_id][1]
            with self.watching("value", where):
                value = value_of(row.bytes)
                if not _same(row.value, queryable(value)):
                    says = f"value {row.objective} is {value!r} in its bytes, not {row.value!r}"
                    self.found("value", where, says)

    def _attempts(self, connection: Connection, trials: _Trials) -> None:
        a, f = schema.attempt.c, schema.artifact.c
        names: dict[int, str] = {}
        for row in connection.execute(
            select(schema.attempt).where(a.trial_id.in_(trials)).order_by(a.attempt_id)
        ):
            where = f"{trials[row.trial_id][1]}, attempt {row.number}"
            names[row.attempt_id] = where
            for kind in Kind:
                digest = getattr(row, kind.value)
                if digest is not None:
                    self.snapshots_named.setdefault(digest, f"the {kind} of {where}")
            if row.outcome is not None:
                with self.watching("record", where):
                    self._console(msgspec.convert(parsed(row.outcome), OutcomeState), where)
            if row.resumed_from is not None:
                with self.watching("points", where):
                    check_chain(connection, row.attempt_id)
        for artifact in connection.execute(
            select(f.attempt_id, f.name, f.digest).where(f.attempt_id.in_(names))
        ):
            where = f"artifact {artifact.name} of {names[artifact.attempt_id]}"
            self.blobs_named.setdefault(artifact.digest, where)
        self._checkpoints(connection, trials, names)
        self._points(connection, names)

    def _checkpoints(
        self, connection: Connection, trials: _Trials, attempts: dict[int, str]
    ) -> None:
        """Those that an attempt may still go on from must have their contents."""
        c, a = schema.checkpoint.c, schema.attempt.c
        for row in connection.execute(
            select(c.attempt_id, c.number, c.digest, a.trial_id)
            .join(schema.attempt, a.attempt_id == c.attempt_id)
            .where(c.attempt_id.in_(attempts), c.kept == 1)
        ):
            if trials[row.trial_id][0].state not in _FINISHED:
                where = f"checkpoint {row.number} of {attempts[row.attempt_id]}"
                self.blobs_named.setdefault(row.digest, where)

    def _console(self, outcome: OutcomeState, where: str) -> None:
        for name, console in (("stdout", outcome.stdout), ("stderr", outcome.stderr)):
            if console is not None:
                self.blobs_named.setdefault(console.digest, f"{name} of {where}")

    def _points(self, connection: Connection, attempts: dict[int, str]) -> None:
        """Decode the points of these attempts, one payload in memory at a time."""
        p = schema.series.c
        for row in connection.execute(
            select(schema.series, p.count.label("points"))
            .where(p.attempt_id.in_(attempts))
            .order_by(p.attempt_id, p.metric, p.part)
        ):
            self.series += 1
            where = f"{attempts[row.attempt_id]}, metric {row.metric}"
            with self.watching("points", where):
                series = decoded(row.metric, row.payload)
                said = (row.points, row.first_step, row.last_step, row.last, row.min, row.max)
                if not all(map(_same, said, _summary(series))):
                    self.found("points", where, "its summary is not that of its points")

    def _snapshots(self, *, everything: bool) -> None:
        s = schema.snapshot.c
        digests: Sequence[str] = list(self.snapshots_named)
        if everything:
            with self.book.reading() as connection:
                digests = list(dict.fromkeys([*digests, *connection.scalars(select(s.digest))]))
        for start in range(0, len(digests), _CHUNK):
            chunk = digests[start : start + _CHUNK]
            with self.book.reading() as connection:
                documents = {
                    row.digest: row
                    for row in connection.execute(
                        select(schema.snapshot).where(s.digest.in_(chunk))
                    )
                }
            for digest in chunk:
                by = self.snapshots_named.get(digest, "nothing that lives")
                with self.watching("snapshot", f"{digest} ({by})"):
                    self._snapshot(digest, documents.get(digest), by)

    def _snapshot(self, digest: str, row: Row[Any] | None, by: str) -> None:
        where = f"{digest} ({by})"
        if row is None:
            self.found("snapshot", where, "it is not in the book")
            return
        self.snapshots_done.add(digest)
        document = row.document.encode()
        if digest_of_bytes(document) != digest:
            self.found("snapshot", where, "its document is not what its digest says")
            return
        if row.kind == Kind.CODE:
            for entry in Snapshot.from_document(document).state["files"]:
                if entry["embedded"]:
                    path = f"file {entry['path']} of {by}"
                    self.blobs_named.setdefault(entry["digest"], path)

    def _blobs(self, *, everything: bool) -> None:
        store = BlobStore(self.book)
        digests = list(self.blobs_named)
        sizes: dict[str, int] = {}
        elsewhere: set[str] = set()
        b = schema.blob.c
        with self.book.reading() as connection:
            for row in connection.execute(select(b.digest, b.size, b.location)):
                sizes[row.digest] = row.size
                if row.location is not None and ":" in row.location:
                    elsewhere.add(row.digest)
        if everything:
            digests = list(dict.fromkeys([*digests, *sizes]))
        for digest in digests:
            if digest in elsewhere and not self.artifacts:
                self.not_read += 1
                continue
            by = self.blobs_named.get(digest, "nothing that lives")
            where = f"{digest} ({by})"
            self.blobs += 1
            try:
                size = sum(len(chunk) for chunk in store.chunks(digest))
            except (ArtifactLocationError, MissingPackageError) as error:
                error.hint = f"{error.hint}; 'trialbook verify --no-artifacts' reads the rest"
                raise
            except (NotFoundError, BookCorruptError) as error:
                if not self._was_let_go(digest):
                    self.found("blob", where, error.what)
                continue
            if size != sizes.get(digest, size):
                self.found("blob", where, f"it has {size} bytes, its row says {sizes[digest]}")

    def _was_let_go(self, digest: str) -> bool:
        """Whether it is the content of a checkpoint that has become too old meanwhile."""
        c = schema.checkpoint.c
        with self.book.reading() as connection:
            return connection.scalars(select(c.kept).where(c.digest == digest)).first() == 0


def _summary(series: Any) -> tuple[Any, ...]:
    """What the columns of ``tb_series`` say of these points."""
    count = len(series)
    return (
        count,
        int(series.steps[0]) if count else None,
        int(series.steps[-1]) if count else None,
        queryable(float(series.values[-1])) if count else None,
        series.minimum,
        series.maximum,
    )


def _same(stored: Any, computed: Any) -> bool:
    """Whether a number column says the same; NaN and ``None`` are the same to SQLite."""
    if stored is None or stored != stored:
        return computed is None or computed != computed
    return bool(stored == computed)
