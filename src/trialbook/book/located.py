"""Where in a book a content is named: by which trials it was kept, and whose inputs it is.

A content is named by its SHA-256. Few tables have an index on one: whether any attempt kept a
content is known from ``tb_blob``, which has, so that most questions end there. What is left goes
through the artifacts, the outcomes or the snapshots of the book once (see
``docs/design/locating.md`` for the times). What was deleted is not found.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, TypeAlias

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, case, func, or_, select

from trialbook.book import rows, schema
from trialbook.book.book import Book
from trialbook.book.seals import leaf
from trialbook.records.canonical import parsed
from trialbook.records.coordinates import Kind
from trialbook.records.figure_references import study_key
from trialbook.records.seal import roots
from trialbook.records.study import TrialState

How = Literal["artifact", "checkpoint", "stdout", "stderr"]

_t, _y, _a, _w = schema.trial.c, schema.study.c, schema.attempt.c, schema.worker.c
_f, _c, _n, _b = schema.artifact.c, schema.checkpoint.c, schema.snapshot.c, schema.blob.c
_MOST_SNAPSHOTS = 500
_LIVES = and_(_t.deleted.is_(None), _y.deleted.is_(None))


@dataclass(frozen=True, slots=True)
class Keeping:
    """An attempt that kept a content.

    Args:
        how: As what.
        name: The artifact's name, or the checkpoint's number; empty for a console.
        study: The study's name.
        number: The trial's number.
        state: The trial's state.
        attempt: The attempt's number.
        counts: Whether it is the attempt that counts.
    """

    how: How
    name: str
    study: str
    number: int
    state: TrialState
    attempt: int
    counts: bool


@dataclass(frozen=True, slots=True)
class Use:
    """A study some of whose trials had a content as an input.

    Args:
        kind: ``code``, ``data`` or ``config``.
        name: The path in the code, the name of the input (with the path in it), or the path of
            the configuration.
        role: What it was: ``loaded``, ``kept``, ``input``, ``read undeclared``, ``configuration``.
        study: The study's name.
        trials: How many living trials, by the attempt that counts.
        first: The smallest of their numbers.
        last: The largest.
    """

    kind: Kind
    name: str
    role: str
    study: str
    trials: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class StudyIdentity:
    """A study, living or deleted.

    Args:
        study_id: The book's id.
        name: Its name now.
        uid: Its identity.
        deleted_s: When it was deleted, seconds since the epoch; ``None`` while it lives.
    """

    study_id: int
    name: str
    uid: str
    deleted_s: float | None


def keepings(book: Book, digest: str, most: int) -> tuple[tuple[Keeping, ...], int]:
    """The attempts that kept a content.

    Args:
        book: An open book.
        digest: SHA-256, 64 hexadecimal digits.
        most: How many to give.

    Returns:
        Those of attempts that count first, then by study and number; and how many there are.
    """
    with book.reading() as connection:
        kinds: list[_Kind] = [(_c.number, _c.digest == digest, _checkpoint)]
        if connection.scalar(select(_b.digest).where(_b.digest == digest)) is not None:
            kinds.append((_f.name, _f.digest == digest, _artifact))
            console = _holds(_a.outcome, digest)
            kinds.append((_a.outcome, console, partial(_console, digest)))
        found: list[Keeping] = []
        count = 0
        for first, condition, made in kinds:
            counted, first_ones = _of_trials(connection, first, condition, most)
            count += counted
            found += [_keeping(row, *made(row[0])) for row in first_ones]
    found.sort(key=lambda k: (not k.counts, k.study, k.number, k.attempt, k.how, k.name))
    return tuple(found[:most]), count


_PLACE = (_y.name, _t.number, _t.state, _a.number, _t.attempt)
_Kind: TypeAlias = "tuple[Any, ColumnElement[bool], Callable[[Any], tuple[How, str]]]"


def _of_trials(
    connection: Connection, first: Any, condition: ColumnElement[bool], most: int
) -> tuple[int, Sequence[Any]]:
    """How many attempts there are, and the first of them in the order of ``keepings``."""
    attempts = schema.attempt
    source = attempts if first.table is attempts else attempts.join(first.table)
    wanted = (
        select(first, *_PLACE)
        .select_from(source)
        .join(schema.trial, _t.trial_id == _a.trial_id)
        .join(schema.study, _y.study_id == _t.study_id)
        .where(condition, _LIVES)
    )
    earlier = case((_t.attempt == _a.number, 0), else_=1)
    ordered = wanted.order_by(earlier, _y.name, _t.number, _a.number, first).limit(most)
    found = connection.execute(ordered).all()
    if len(found) < most:
        return len(found), found
    count = wanted.with_only_columns(func.count())
    return connection.execute(count).scalar_one(), found


def _keeping(row: Any, how: How, name: str) -> Keeping:
    _, study, number, state, attempt, current = row
    return Keeping(how, name, study, number, rows.STATES[state], attempt, attempt == current)


def _artifact(name: str) -> tuple[How, str]:
    return "artifact", name


def _checkpoint(number: int) -> tuple[How, str]:
    return "checkpoint", str(number)


@dataclass(frozen=True, slots=True)
class _Stream:
    digest: str


@dataclass(frozen=True, slots=True)
class _Outcome:
    """Of an outcome only what was written."""

    stdout: _Stream | None = None
    stderr: _Stream | None = None


def _console(digest: str, text: str) -> tuple[How, str]:
    with rows.readable("the outcome of an attempt"):
        outcome = msgspec.convert(parsed(text), _Outcome)
    return "stdout" if outcome.stdout == _Stream(digest) else "stderr", ""


def _holds(column: Any, text: str) -> ColumnElement[bool]:
    """Whether a column of text holds these characters."""
    found: ColumnElement[bool] = column.contains(text, autoescape=True)
    return found


def uses(book: Book, digest: str) -> tuple[Use, ...]:
    """The studies whose code, data or configuration holds a content.

    Returns:
        By kind, study and name; at most 500 snapshots of a book are looked at.
    """
    found: list[Use] = []
    with book.reading() as connection:
        snapshots = connection.execute(
            select(_n.digest, _n.kind, _n.document)
            .where(
                _n.kind.in_([str(k) for k in (Kind.CODE, Kind.DATA, Kind.CONFIG)]),
                _holds(_n.document, digest),
            )
            .limit(_MOST_SNAPSHOTS)
        ).all()
        for snapshot in snapshots:
            kind = Kind(snapshot.kind)
            with rows.readable(f"snapshot {snapshot.digest}"):
                state = parsed(snapshot.document)["state"]
                roles = list(dict.fromkeys(_ROLES[kind](state, digest)))
            if roles:
                found += _with_trials(connection, kind, snapshot.digest, roles)
    return _merged(found)


def _with_trials(
    connection: Connection, kind: Kind, snapshot: str, roles: list[tuple[str, str]]
) -> Iterator[Use]:
    """The studies whose trials name a snapshot."""
    query = (
        select(_y.name, func.count(), func.min(_t.number), func.max(_t.number))
        .select_from(schema.attempt)
        .join(schema.trial, and_(_t.trial_id == _a.trial_id, _t.attempt == _a.number))
        .join(schema.study, _y.study_id == _t.study_id)
        .where(schema.attempt.c[str(kind)] == snapshot, _LIVES)
        .group_by(_y.study_id, _y.name)
    )
    for study, trials, first, last in connection.execute(query):
        for name, role in roles:
            yield Use(kind, name, role, study, trials, first, last)


def _merged(found: list[Use]) -> tuple[Use, ...]:
    """One for all snapshots of a study that say the same."""
    merged: dict[tuple[int, str, str, str], Use] = {}
    for use in found:
        key = (list(Kind).index(use.kind), use.study, use.name, use.role)
        other = merged.get(key)
        merged[key] = (
            use
            if other is None
            else replace(
                use,
                trials=use.trials + other.trials,
                first=min(use.first, other.first),
                last=max(use.last, other.last),
            )
        )
    return tuple(merged[key] for key in sorted(merged))


def _in_code(state: Any, digest: str) -> Iterator[tuple[str, str]]:
    for entry in state["files"]:
        if entry["digest"] == digest:
            base = "" if entry["base"] == "." else f"{entry['base']}:"
            yield base + entry["path"], "loaded" if entry["loaded"] else "kept"


def _in_data(state: Any, digest: str) -> Iterator[tuple[str, str]]:
    for item in state["inputs"]:
        if item["digest"] == digest:
            yield item["name"], "input"
        for file in item["files"]:
            if file["digest"] == digest:
                yield f"{item['name']}: {file['path']}", "input"
    for file in state["undeclared"]:
        if file["digest"] == digest:
            yield file["path"], "read undeclared"


def _in_config(state: Any, digest: str) -> Iterator[tuple[str, str]]:
    if state["source_digest"] == digest:
        yield state["source"] or "", "configuration"


_ROLES = {Kind.CODE: _in_code, Kind.DATA: _in_data, Kind.CONFIG: _in_config}


def is_size_known(book: Book, size_bytes: int) -> bool:
    """Whether anything that the book names is of that size: else nothing need be hashed."""
    with book.reading() as connection:
        for column in (_b.size, _c.size):
            if connection.scalar(select(column).where(column == size_bytes).limit(1)) is not None:
                return True
        written = f'"size_bytes":{size_bytes}'
        query = select(_n.digest).where(
            _n.kind.in_([str(Kind.CODE), str(Kind.DATA)]),
            or_(*(_holds(_n.document, written + end) for end in ",}")),
        )
        return connection.scalar(query.limit(1)) is not None


def identities(book: Book, keys: Collection[str]) -> dict[str, StudyIdentity]:
    """The studies of these keys (``study_key``), living or deleted; without those that are not."""
    with book.reading() as connection:
        found = connection.execute(
            select(_y.study_id, _y.name, _y.uid, _y.deleted).order_by(_y.study_id)
        )
        named = ((study_key(row.uid), StudyIdentity(*row)) for row in found)
        return {key: study for key, study in named if key in keys}


def seals_before(book: Book, study_id: int) -> dict[str, int]:
    """The seal over each beginning of a study's trials, by number, and how many it covers.

    A seal that was taken while trials ran is among them only while they have not finished.
    """
    with book.reading() as connection:
        found = connection.execute(
            select(_t.number, _t.state, _t.record_digest)
            .where(_t.study_id == study_id)
            .order_by(_t.number)
        ).all()
    leaves = (leaf(row.number, rows.STATES[row.state], row.record_digest) for row in found)
    return {root: count for count, root in enumerate(roots(leaves))}


def running_here(book: Book, number: int) -> tuple[Keeping, ...]:
    """Attempts of trials of that number that have not ended, by workers of this machine."""
    with book.reading() as connection:
        found = connection.execute(
            select(_a.attempt_id, *_PLACE)
            .join(schema.trial, _t.trial_id == _a.trial_id)
            .join(schema.study, _y.study_id == _t.study_id)
            .outerjoin(schema.worker, _w.worker_id == _a.worker_id)
            .where(
                _t.number == number,
                _a.ended.is_(None),
                or_(_w.host.is_(None), _w.host == socket.gethostname()),
                _LIVES,
            )
            .order_by(_y.name, _a.number)
        ).all()
    return tuple(_keeping(row, "artifact", "") for row in found)
