"""The read side of a book: studies, trials, series, snapshots and blobs as records.

Nothing is written, executed or unpickled. Every call opens and ends its own short transactions;
what can be long comes as an iterator that reads by chunks. Trials that were deleted are not here
(``verification.py`` sees their tombstones). Which trial is best is decided in ``ranking.py``.
"""

from __future__ import annotations

import json
import shlex
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, Select, case, func, null, select

from trialbook.book import gathering, rows, schema
from trialbook.book.blob_contents import BlobContents
from trialbook.book.book import Book
from trialbook.book.ranking import Contender, front, is_feasible, ranked
from trialbook.book.texts import value_of
from trialbook.errors import BadReferenceError, BookCorruptError, NotFoundError
from trialbook.records.canonical import digest_of_bytes
from trialbook.records.coordinates import Snapshot
from trialbook.records.references import TrialReference, study_or_trial, trial_reference
from trialbook.records.replicates import REPLICATES
from trialbook.records.study import (
    AttemptRecord,
    Direction,
    StudyRecord,
    TrialRecord,
    TrialState,
)
from trialbook.records.test_metrics import is_test

if TYPE_CHECKING:
    from trialbook.records.series import Series

CHUNK = 500
_NAMES_COMPARED = 5000
_VERIFY = "run 'trialbook verify' to list everything that is damaged"
_COMPLETE = rows.STATES.index("COMPLETE")
_FRONT_NAMED = 8


@dataclass(frozen=True, slots=True)
class ConsoleText:
    """What an attempt wrote, as far as it was kept; ``None`` where nothing was captured.

    Bytes that are no UTF-8 are written as escapes. The text may hold terminal sequences.
    """

    stdout: str | None
    stderr: str | None


class Reader:
    """Reads a book.

    Args:
        book: An open book; it may be read-only.
    """

    def __init__(self, book: Book) -> None:
        self.book = book
        self._blobs = BlobContents(book)

    def studies(self) -> list[StudyRecord]:
        """Every study that lives, by name."""
        with self.book.reading() as connection:
            found = connection.execute(
                select(schema.study)
                .where(schema.study.c.deleted.is_(None))
                .order_by(schema.study.c.name)
            ).all()
            return gathering.study_records(connection, found)

    def study(self, name: str) -> StudyRecord:
        """The study of that name.

        Raises:
            NotFoundError: There is none; near names are suggested.
        """
        with self.book.reading() as connection:
            row = study_row(connection, name)
            return gathering.study_records(connection, [row])[0]

    def resolve(self, text: str) -> StudyRecord | TrialRecord:
        """What a person means by this text: a trial when it reads as one, else a study.

        A text that reads as a trial, of a study that does not exist, is taken as a study's name
        when there is one of that name (names may hold slashes).

        Raises:
            NotFoundError: There is neither.
            BadReferenceError: ``STUDY/best`` of several objectives, or of replicates.
        """
        reference = study_or_trial(text)
        if isinstance(reference, str):
            return self.study(reference)
        try:
            self.study(reference.study)
        except NotFoundError as error:
            try:
                return self.study(text)
            except NotFoundError:
                raise error from None
        return self.trial(reference)

    def trial(self, reference: TrialReference | str) -> TrialRecord:
        """The trial that is named, with its attempts, metrics, artifacts and reruns.

        Args:
            reference: ``STUDY/NUMBER``, ``STUDY/best`` or ``STUDY/best~K``; the constraints of the
                study are respected as Optuna does.

        Raises:
            NotFoundError: There is no such study or trial, or it was deleted.
            BadReferenceError: The text names no trial, or ``best`` of several objectives or of
                replicates.
        """
        if isinstance(reference, str):
            reference = trial_reference(reference)
        with self.book.reading() as connection:
            study = study_row(connection, reference.study)
            number = reference.number
            if number is None:
                number = _number_of_rank(connection, study, reference.rank or 0)
            found = connection.execute(
                select(schema.trial).where(
                    schema.trial.c.study_id == study.study_id, schema.trial.c.number == number
                )
            ).one_or_none()
            if found is None or found.deleted is not None:
                raise _no_such_trial(connection, study, number, found)
            return gathering.trial_records(connection, study.name, [found])[0]

    def trials(
        self,
        study: str,
        *,
        states: Collection[TrialState] | None = None,
        last: int | None = None,
        brief: bool = False,
    ) -> Iterator[TrialRecord]:
        """The trials of a study in the order of their numbers, read by chunks.

        Args:
            study: Its name.
            states: Only trials in one of these; ``None`` for all.
            last: Only so many at the end; ``None`` for all.
            brief: Leave out metrics, artifacts and reruns, which are most of the work.

        Raises:
            NotFoundError: There is no such study; raised by the call, not by the iterator.
        """
        with self.book.reading() as connection:
            row = study_row(connection, study)
            wanted = _living(row.study_id)
            if states is not None:
                numbers = [rows.STATES.index(state) for state in states]
                wanted = wanted.where(schema.trial.c.state.in_(numbers))
            after = -1 if last is None else _number_before(connection, wanted, last)
        return self._chunks(row.name, wanted, after, brief)

    def _chunks(
        self, study: str, wanted: Select[Any], after: int, brief: bool
    ) -> Iterator[TrialRecord]:
        while True:
            with self.book.reading() as connection:
                found = connection.execute(
                    wanted.where(schema.trial.c.number > after)
                    .order_by(schema.trial.c.number)
                    .limit(CHUNK)
                ).all()
                records = gathering.trial_records(connection, study, found, brief=brief)
            yield from records
            if len(records) < CHUNK:
                return
            after = records[-1].number

    def best(self, study: str, count: int = 1) -> list[TrialRecord]:
        """The best trials of a study with one objective, the best first.

        Only COMPLETE trials that keep the study's constraints; of equal ones the earlier is first.

        Raises:
            NotFoundError: There is no such study, or no such trial in it.
            BadReferenceError: The study has several objectives; the front is listed. Or it is one
                of replicates.
        """
        with self.book.reading() as connection:
            row = study_row(connection, study)
            _number_of_rank(connection, row, 0)
            contenders = ranked(_contenders(connection, row), _only_direction(row))
            return _numbered(connection, row, [c.number for c in contenders[:count]])

    def leader(self, study: StudyRecord) -> Contender | None:
        """Number and value of the best trial; ``None`` where there is none.

        With several objectives no trial is the best; of replicates the best had the luckiest seed.
        """
        if len(study.directions) > 1:
            return None
        with self.book.reading() as connection:
            row = study_row(connection, study.name)
            if _is_of_replicates(connection, row):
                return None
            contenders = _contenders(connection, row)
        return next(iter(ranked(contenders, study.directions[0])), None)

    def front(self, study: str) -> list[TrialRecord]:
        """The trials of a study that none dominates, by number: with one objective all the best.

        Raises:
            NotFoundError: There is no such study.
        """
        with self.book.reading() as connection:
            row = study_row(connection, study)
            members = front(_contenders(connection, row), json.loads(row.directions))
            return _numbered(connection, row, [c.number for c in members])

    def param_names(self, study: str) -> list[str]:
        """Every param that a trial of the study has, in the order of the trials' spaces.

        Raises:
            NotFoundError: There is no such study.
        """
        with self.book.reading() as connection:
            row = study_row(connection, study)
            first = func.min(schema.trial.c.number)
            documents = connection.execute(
                select(schema.snapshot.c.document)
                .join(schema.trial, schema.trial.c.space == schema.snapshot.c.digest)
                .where(schema.trial.c.study_id == row.study_id, schema.trial.c.deleted.is_(None))
                .group_by(schema.snapshot.c.digest, schema.snapshot.c.document)
                .order_by(first)
            ).scalars()
            spaces = [rows.distributions(document) for document in documents]
        return list(dict.fromkeys(name for space in spaces for name in space))

    def trial_series(self, trial: TrialRecord, *, with_test: bool = False) -> dict[str, Series]:
        """Every metric of a trial with its points, by name.

        When the attempt that counts went on from a checkpoint, these are the points of the
        attempts before it up to their checkpoints, and then its own.

        Args:
            trial: The trial.
            with_test: Whether test metrics come too. Who shows their values has that counted
                (``showings.py``); comparing them shows nothing.

        Raises:
            BookCorruptError: A payload is damaged, or a checkpoint is not there.
        """
        from trialbook.book.stitching import stitched

        attempt = trial.attempt
        if attempt is None:
            return {}
        with self.book.reading() as connection:
            whole = stitched(connection, attempt.attempt_id)
        return {name: s for name, s in whole.items() if with_test or not is_test(name)}

    def series(self, attempt_id: int) -> dict[str, Series]:
        """Every metric of an attempt alone with its points, by name, without test metrics.

        Raises:
            BookCorruptError: A payload is damaged.
        """
        from trialbook.records.series import decoded, joined  # NumPy: 0.2 s for others to save

        parts: dict[str, list[Series]] = defaultdict(list)
        with self.book.reading() as connection:
            for row in connection.execute(
                select(schema.series.c.metric, schema.series.c.payload)
                .where(schema.series.c.attempt_id == attempt_id)
                .order_by(schema.series.c.metric, schema.series.c.part)
            ):
                if not is_test(row.metric):
                    parts[row.metric].append(decoded(row.metric, row.payload))
        return {metric: joined(metric, parts[metric]) for metric in sorted(parts)}

    def snapshot(self, digest: str) -> Snapshot:
        """The snapshot of that digest.

        Raises:
            NotFoundError: It is not in the book.
        """
        with self.book.reading() as connection:
            document = connection.execute(
                select(schema.snapshot.c.document).where(schema.snapshot.c.digest == digest)
            ).scalar_one_or_none()
        if document is None:
            raise NotFoundError(f"the snapshot {digest} is not in the book", hint=_VERIFY)
        content = document.encode()
        if digest_of_bytes(content) != digest:
            raise BookCorruptError(
                "a snapshot is not what its digest says", where=f"snapshot {digest}", hint=_VERIFY
            )
        return Snapshot.from_document(content)

    def blob(self, digest: str) -> bytes:
        """The content of that digest, checked against it.

        Raises:
            NotFoundError: It is not in the book.
            BookCorruptError: It is not what its digest says.
        """
        return self._blobs.content(digest)

    def blob_chunks(self, digest: str) -> Iterator[bytes]:
        """The content of that digest by chunks; it is checked when the last one was read.

        Raises:
            NotFoundError: It is not in the book.
            BookCorruptError: It is not what its digest says.
        """
        return self._blobs.chunks(digest)

    def blob_to(self, digest: str, path: Path) -> None:
        """Write the content of that digest to a file, replacing it.

        Args:
            digest: The blob.
            path: The file; on an error it is left incomplete.

        Raises:
            NotFoundError: It is not in the book.
            BookCorruptError: It is not what its digest says.
        """
        with path.open("wb") as file:
            for chunk in self._blobs.chunks(digest):
                file.write(chunk)

    def console(self, attempt: AttemptRecord) -> ConsoleText:
        """What an attempt wrote to its console, as far as it was kept.

        Raises:
            NotFoundError: Its content is not in the book.
            BookCorruptError: Its content is damaged.
        """
        outcome = attempt.outcome
        streams = (None, None) if outcome is None else (outcome.stdout, outcome.stderr)
        texts = [
            None if stream is None else self.blob(stream.digest).decode("utf-8", "backslashreplace")
            for stream in streams
        ]
        return ConsoleText(*texts)


def study_row(connection: Connection, name: str) -> Row[Any]:
    """The row of a study that lives.

    Raises:
        NotFoundError: There is none; near names are suggested.
    """
    row = connection.execute(
        select(schema.study).where(schema.study.c.name == name, schema.study.c.deleted.is_(None))
    ).one_or_none()
    if row is None:
        raise _no_such_study(connection, name)
    return row


def _no_such_study(connection: Connection, name: str) -> NotFoundError:
    found = connection.execute(
        select(schema.study.c.name, schema.study.c.deleted).order_by(schema.study.c.study_id)
    ).all()
    living = [row.name for row in found if row.deleted is None]
    near = get_close_matches(name, living[:_NAMES_COMPARED], n=3)
    if near:
        hint = "did you mean " + " or ".join(repr(other) for other in near) + "?"
    elif living:
        hint = "run 'trialbook ls' to list the studies of the book"
    else:
        hint = "the book holds no study; --storage names another book"
    gone = any(row.name == name for row in found)
    what = "was deleted from the book" if gone else "is not in the book"
    return NotFoundError(f"the study {name!r} {what}", hint=hint)


def _no_such_trial(
    connection: Connection, study: Row[Any], number: int, found: Row[Any] | None
) -> NotFoundError:
    if found is not None:
        when = datetime.fromtimestamp(found.deleted, tz=UTC).astimezone()
        return NotFoundError(
            f"trial {number} of the study {study.name!r} was deleted on {when:%Y-%m-%d %H:%M}",
            hint=f"its digest is {found.record_digest}" if found.record_digest else None,
        )
    numbers = connection.execute(
        select(schema.trial.c.number)
        .where(schema.trial.c.study_id == study.study_id, schema.trial.c.deleted.is_(None))
        .order_by(schema.trial.c.number.desc())
        .limit(1)
    ).scalar_one_or_none()
    return NotFoundError(
        f"the study {study.name!r} has no trial {number}",
        hint="it has no trials yet" if numbers is None else f"its last one is {numbers}",
    )


def _living(study_id: int) -> Select[Any]:
    return select(schema.trial).where(
        schema.trial.c.study_id == study_id, schema.trial.c.deleted.is_(None)
    )


def _number_before(connection: Connection, wanted: Select[Any], last: int) -> int:
    """The number below which ``last`` of the wanted trials remain; -1 when all do."""
    number = schema.trial.c.number
    before: int | None = connection.execute(
        wanted.with_only_columns(number).order_by(number.desc()).offset(last).limit(1)
    ).scalar_one_or_none()
    return -1 if before is None else before


def _only_direction(study: Row[Any]) -> Direction:
    direction: Direction = json.loads(study.directions)[0]
    return direction


def _is_of_replicates(connection: Connection, study: Row[Any]) -> bool:
    x = schema.study_attr.c
    of_it = (x.study_id == study.study_id, x.scope == "system", x.key == REPLICATES)
    return connection.scalar(select(x.key).where(*of_it)) is not None


def _contenders(connection: Connection, study: Row[Any]) -> list[Contender]:
    """The COMPLETE trials of a study, without what does not decide."""
    trial, value = schema.trial.c, schema.trial_value.c
    attrs = case((trial.system_attrs.contains('"constraints'), trial.system_attrs), else_=null())
    found = connection.execute(
        select(trial.number, value.bytes, attrs.label("attrs"))
        .join(schema.trial_value, value.trial_id == trial.trial_id)
        .where(
            trial.study_id == study.study_id,
            trial.deleted.is_(None),
            trial.state == _COMPLETE,
        )
        .order_by(trial.number, value.objective)
    )
    return [
        Contender(
            number,
            tuple(value_of(row.bytes) for row in members),
            members[0].attrs is None or is_feasible(json.loads(members[0].attrs)),
        )
        for number, group in groupby(found, key=lambda row: row.number)
        for members in [list(group)]
    ]


def _number_of_rank(connection: Connection, study: Row[Any], rank: int) -> int:
    """The number of the trial of that rank, 0 for the best."""
    contenders = _contenders(connection, study)
    directions = json.loads(study.directions)
    if len(directions) > 1:
        members = [f"{study.name}/{c.number}" for c in front(contenders, directions)]
        named = ", ".join(members[:_FRONT_NAMED]) + (", ..." if len(members) > _FRONT_NAMED else "")
        raise BadReferenceError(
            f"the study {study.name!r} has {len(directions)} objectives, so none is its best",
            where=f"its front ({len(members)}): {named}" if members else "its front is empty",
            hint="name a trial of the front",
        )
    if _is_of_replicates(connection, study):
        raise BadReferenceError(
            f"the study {study.name!r} runs chosen configurations again, so none of its trials is "
            "the best, only the one with the luckiest seed",
            hint=f"'trialbook show {shlex.quote(study.name)}' names the study they were chosen in",
        )
    order = ranked(contenders, _only_direction(study))
    if rank < len(order):
        return order[rank].number
    if not contenders:
        what = f"the study {study.name!r} has no complete trial"
    elif not order:
        what = f"no complete trial of the study {study.name!r} keeps its constraints"
    else:
        what = f"the study {study.name!r} has only {len(order)} complete trials to rank"
    raise NotFoundError(what, hint=f"run 'trialbook show {shlex.quote(study.name)}' to list it")


def _numbered(connection: Connection, study: Row[Any], numbers: Sequence[int]) -> list[TrialRecord]:
    """The trials of these numbers, in this order."""
    records: dict[int, TrialRecord] = {}
    for start in range(0, len(numbers), CHUNK):
        found = connection.execute(
            _living(study.study_id).where(schema.trial.c.number.in_(numbers[start : start + CHUNK]))
        ).all()
        for record in gathering.trial_records(connection, study.name, found):
            records[record.number] = record
    return [records[number] for number in numbers]
