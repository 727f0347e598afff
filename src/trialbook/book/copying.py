"""A study from one book into another: every record, every content, the same digests and seal.

The contents go first, each for itself; then all rows in one transaction, so that the other book
has the whole study or none of it. What that book calls its rows is in ``copied_rows.py``, how
contents travel in ``brought_blobs.py``. What is read of the source is one state of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from trialbook.book import schema
from trialbook.book.book import Book
from trialbook.book.brought_blobs import Bringing, bring
from trialbook.book.copied_rows import copy_rows, let_it_last
from trialbook.book.removal import forget_tombstone
from trialbook.book.rows import STATES
from trialbook.book.seals import study_seal
from trialbook.book.study_contents import (
    absent,
    blobs,
    ids,
    refuse_running,
    snapshots,
    trials_of,
)
from trialbook.book.texts import checked_name
from trialbook.book.translation import is_duplicate
from trialbook.errors import BookBusyError, BookError, InvalidInputError, NotFoundError

_TRIES = 5
_s, _t = schema.study.c, schema.trial.c


@dataclass(frozen=True, slots=True)
class StudyCopy:
    """What came of copying a study.

    Args:
        study: Its name in the target.
        uid: Its identity, which is the same in both books.
        url: The target, without a password.
        seal: Its seal, which is the same in both books.
        trials: Number of its trials, deleted ones among them.
        blobs: Number of contents that were brought; others were there already.
        size_bytes: Their total size.
        was_there: Whether the target had the study already, so that nothing was copied.
    """

    study: str
    uid: str
    url: str
    seal: str
    trials: int
    blobs: int
    size_bytes: int
    was_there: bool


@dataclass(frozen=True, slots=True)
class _Named:
    """What has to be there before the rows: digests of snapshots, and blobs with their sizes."""

    snapshots: list[str]
    blobs: dict[str, int]


def copy_study(
    source: Book,
    target: Book,
    study: str,
    *,
    name: str | None = None,
    progress: Callable[[str], None] | None = None,
    bringing: Bringing = bring,
) -> StudyCopy:
    """Copy a study with everything that is recorded of it.

    Interrupted, it leaves no part of the study in the target; contents that have arrived stay, and
    the same call goes on with what is missing.

    Args:
        source: An open book; it may be read-only.
        target: Another book, open for writing. Others may work with either meanwhile.
        study: The study's name.
        name: Its name in the target, ``None`` for the same.
        progress: Called with what is done next.
        bringing: How contents go into the target.

    Raises:
        NotFoundError: There is no such study.
        InvalidInputError: A trial of it is RUNNING; another study of the target has the name; the
            name cannot be kept; both books are the same.
        BookError: The target has another state of the study, or refused.
        BookCorruptError: A content is not what its digest says.
    """
    _refuse_same_book(source, target)
    name = checked_name(study if name is None else name, "a study")
    say = progress or (lambda _: None)
    count = size_bytes = 0

    def brought(size: int) -> None:
        nonlocal count, size_bytes
        count, size_bytes = count + 1, size_bytes + size
        say(f"{count} contents, {size_bytes / 1e6:,.0f} MB")

    for _ in range(_TRIES):
        with source.reading() as of:
            row = _found(of, source, study)
            seal = study_seal(of, row).seal
            with target.reading() as to:
                if _is_there(of, to, row, name, target.url):
                    there = to.scalars(select(_s.name).where(_s.uid == row.uid)).one()
                    trials = trials_of(of, row.study_id)
                    return StudyCopy(there, row.uid, target.url, seal, trials, 0, 0, True)
            refuse_running(of, row.study_id, study)
            named_by = snapshots(of, row)
            trial_ids = ids(of, schema.trial, row.study_id)
            named = _Named(named_by, blobs(of, row.study_id, named_by, trial_ids))
            with target.reading() as to:
                missing = absent(to, schema.blob, named.blobs)
            if not missing and _rows_copied(of, target, row, name, named, say):
                return StudyCopy(
                    name, row.uid, target.url, seal, len(trial_ids), count, size_bytes, False
                )
        bringing(source, target, {digest: named.blobs[digest] for digest in missing}, brought)
    raise _changing(study, target)


def _changing(study: str, target: Book) -> BookBusyError:
    return BookBusyError(
        f"the study {study!r} or the contents of the other book changed during each of {_TRIES} "
        "tries to copy it",
        where=target.url,
        hint="stop its workers, then run the same command again",
    )


def _refuse_same_book(source: Book, target: Book) -> None:
    if source.book_id == target.book_id and source.url == target.url:
        raise InvalidInputError(
            "a study cannot be copied into its own book",
            where=target.url,
            hint="name another book with --to",
        )


def _found(connection: Connection, book: Book, study: str) -> Row[Any]:
    row = connection.execute(
        select(schema.study).where(_s.name == study, _s.deleted.is_(None))
    ).one_or_none()
    if row is None:
        raise NotFoundError(
            f"there is no study {study!r}", where=book.url, hint="'trialbook ls' lists them"
        )
    return row


def _rows_copied(
    of: Connection,
    target: Book,
    study: Row[Any],
    name: str,
    named: _Named,
    say: Callable[[str], None],
) -> bool:
    """Copy the rows; ``False`` when the target has lost a content, or got the study, meanwhile."""
    try:
        with target.writing(durable=True) as to:
            let_it_last(to)
            if _is_there(of, to, study, name, target.url) or absent(to, schema.blob, named.blobs):
                return False
            forget_tombstone(to, study.uid)
            copy_rows(of, to, study, name=name, snapshots=named.snapshots, progress=say)
    except BookError as error:
        if is_duplicate(error):  # somebody else copied it, or made one of its name
            return False
        raise
    return True


def _is_there(of: Connection, to: Connection, study: Row[Any], name: str, where: str) -> bool:
    """Whether the target has the study as it is here.

    Raises:
        BookError: It has another state of it.
        InvalidInputError: Another study has its name there.
    """
    there = to.execute(select(schema.study).where(_s.uid == study.uid)).one_or_none()
    if there is not None and there.deleted is not None:
        _require_covered(of, to, study, there, where)
    elif there is not None:
        if study_seal(of, study).seal == study_seal(to, there).seal:
            return True
        raise BookError(
            f"the other book has the study {study.name!r}"
            f"{'' if there.name == study.name else f' as {there.name!r}'} in another state: "
            f"{_difference(of, to, study.study_id, there.study_id)}",
            where=where,
            hint="delete the one that is to go ('trialbook rm'), or copy into another book",
        )
    if to.scalar(select(_s.study_id).where(_s.name == name, _s.deleted.is_(None))) is not None:
        raise InvalidInputError(
            f"the other book has another study of the name {name!r}",
            where=where,
            hint="give it another name there with --as NAME",
        )
    return False


def _require_covered(
    of: Connection, to: Connection, study: Row[Any], there: Row[Any], where: str
) -> None:
    """Refuse to take the place of a tombstone that proves something else than this study.

    Raises:
        BookError: It keeps the digest of a trial that the study does not have so.
    """
    mine = _leaves(of, study.study_id)
    for number, leaf in sorted(_leaves(to, there.study_id).items()):
        if leaf[1] is not None and mine.get(number) != leaf:
            raise BookError(
                f"the study {study.name!r} was deleted in the other book, and its tombstone there "
                f"keeps the digest of another trial {number}",
                where=where,
                hint="copy it into another book",
            )


def _difference(of: Connection, to: Connection, here: int, there: int) -> str:
    """The first trial in which two states of a study differ, and how."""
    mine, theirs = _leaves(of, here), _leaves(to, there)
    for number in sorted({*mine, *theirs}):
        one, other = mine.get(number), theirs.get(number)
        if one is None or other is None:
            return f"trial {number} is {'here' if other is None else 'there'} only"
        if one[0] != other[0]:
            return f"trial {number} is {STATES[one[0]]} here and {STATES[other[0]]} there"
        if one != other:
            return f"trial {number} has another record there"
    return "its trials are the same"


def _leaves(connection: Connection, study_id: int) -> dict[int, tuple[int, str | None]]:
    query = select(_t.number, _t.state, _t.record_digest).where(_t.study_id == study_id)
    return {row[0]: (row[1], row[2]) for row in connection.execute(query)}
