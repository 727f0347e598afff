"""What a held attempt writes, inside one transaction: its rows, and those of its trial.

Whether the attempt still counts is decided by the locked row of its trial.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from optuna.distributions import BaseDistribution
from sqlalchemy import Connection, and_, bindparam, select, update

from trialbook.book import schema, trials
from trialbook.book.series_rows import append_parts
from trialbook.book.spaces import Spaces
from trialbook.book.statements import Statement, insert_or_update
from trialbook.book.texts import merged_text, tagged_text
from trialbook.errors import AttemptFencedError, NotFoundError
from trialbook.records.blobs import Blob
from trialbook.records.canonical import parsed
from trialbook.records.coordinates import Kind, Snapshot
from trialbook.records.execution import EndReason, OutcomeState
from trialbook.records.series import Series
from trialbook.records.study import ArtifactRecord

_a, _t = schema.attempt.c, schema.trial.c
LATE = "what this attempt reported after its end was recorded does not count"
"""The gap that tells a late writer's outcome."""

_FACTS = ("returned", "prune_answers", "outcome", "exit_code", "signal", "traceback")


def _setting(*columns: str) -> Statement:
    """Change these columns of an attempt that has not ended."""
    return Statement(
        update(schema.attempt)
        .where(_a.attempt_id == bindparam("attempt_id_"), _a.ended.is_(None))
        .values({name: bindparam(name, type_=_a[name].type) for name in columns})
    )


_set_late = Statement(
    update(schema.attempt)
    .where(_a.attempt_id == bindparam("attempt_id_"))
    .values({name: bindparam(name, type_=_a[name].type) for name in _FACTS})
)
_end_of = Statement(
    select(_a.ended, _a.outcome, and_(_t.finish_seq.is_not(None), _t.attempt == _a.number))
    .join(schema.trial, _t.trial_id == _a.trial_id)
    .where(_a.attempt_id == bindparam("attempt_id"))
)
_set_facts = _setting(*_FACTS)
_set_end = _setting(*_FACTS, "ended", "end_reason")
_amend = {
    kind: Statement(
        update(schema.attempt)
        .where(_a.attempt_id == bindparam("attempt_id_"))
        .values({kind.value: bindparam("digest")})
    )
    for kind in Kind
}
_set_artifact = insert_or_update(schema.artifact, "digest", "size", "media_type")


@dataclass(frozen=True, slots=True)
class Identity:
    """Which attempt it is: the token that each of its transactions names."""

    study_id: int
    trial_id: int
    trial_number: int
    attempt_id: int
    number: int


@dataclass(slots=True)
class Facts:
    """What an attempt says about itself beside points."""

    returned: str | None = None
    prune_answers: list[str] = field(default_factory=list)
    outcome: OutcomeState | None = None
    amended: dict[Kind, Snapshot] = field(default_factory=dict)

    def copied(self) -> Facts:
        """A copy that later changes leave alone."""
        return replace(self, prune_answers=list(self.prune_answers), amended=dict(self.amended))


@dataclass(frozen=True, slots=True)
class Batch:
    """Everything that was pending at one moment.

    Args:
        params: New params: JSON of the internal value, and the distribution.
        user_attrs: New user attributes, as JSON.
        system_attrs: New system attributes, as JSON.
        series: New points, by metric.
        facts: All facts, new or not.
        new_facts: Whether any of them is new.
        blobs: Blobs that the facts name.
    """

    params: dict[str, tuple[str, BaseDistribution]]
    user_attrs: dict[str, str]
    system_attrs: dict[str, str]
    series: dict[str, Series]
    facts: Facts
    new_facts: bool
    blobs: list[Blob]


@dataclass(frozen=True, slots=True)
class Overlay:
    """What an attempt has written, for its own process to see."""

    params: dict[str, tuple[float, BaseDistribution]]
    user_attrs: dict[str, str]
    system_attrs: dict[str, str]
    reports: dict[int, float]


def fenced_error(identity: Identity) -> AttemptFencedError:
    """The error for a write of an attempt that no longer counts."""
    return AttemptFencedError(
        f"attempt {identity.number} of trial {identity.trial_number} is no longer the current one"
    )


def locked_if_current(connection: Connection, identity: Identity) -> trials.TrialRow | None:
    """The trial's row, locked; ``None`` when the attempt no longer counts."""
    return current_asked(connection, identity)()


def current_asked(
    connection: Connection, identity: Identity
) -> Callable[[], trials.TrialRow | None]:
    """Ask for a trial's row, ``locked_if_current``; what gives it."""
    asked = trials.locked_asked(connection, identity.trial_id)

    def answer() -> trials.TrialRow | None:
        try:
            row = asked()
        except NotFoundError:  # it was deleted while it ran
            return None
        if row.attempt != identity.number or row.state != trials.RUNNING:
            return None
        return row

    return answer


@dataclass(frozen=True, slots=True)
class Texts:
    """The JSON columns of a trial."""

    params: str
    space: str | None
    user_attrs: str
    system_attrs: str


def merged(connection: Connection, row: trials.TrialRow, batch: Batch, spaces: Spaces) -> Texts:
    """The trial's columns with new params and attributes; a new space is stored."""
    texts, document = merged_unstored(connection, row, batch, spaces)
    if document is not None and texts.space is not None:
        spaces.keep(connection, texts.space, document)
    return texts


def merged_unstored(
    connection: Connection | None, row: trials.TrialRow, batch: Batch, spaces: Spaces
) -> tuple[Texts, str | None]:
    """As ``merged``, and the document of the space that is to be stored, if it may be new.

    ``connection`` may be ``None`` when ``spaces`` knows the row's space.
    """
    space, document = row.space, None
    if batch.params:
        texts = dict(spaces.texts(connection, row.space))
        for name, (_, distribution) in batch.params.items():
            texts[name] = spaces.text(distribution)
        space, document = spaces.document(texts)
    whole = Texts(
        merged_text(row.params, {name: text for name, (text, _) in batch.params.items()}),
        space,
        merged_text(row.user_attrs, batch.user_attrs),
        merged_text(row.system_attrs, batch.system_attrs),
    )
    return whole, document


def write_texts(
    connection: Connection, row: trials.TrialRow, batch: Batch, spaces: Spaces
) -> trials.TrialRow:
    """Merge new params and attributes into the trial's row; the row as it is then."""
    if not (batch.params or batch.user_attrs or batch.system_attrs):
        return row
    texts = merged(connection, row, batch, spaces)
    trials.set_texts(
        connection,
        row,
        params=texts.params,
        space=texts.space,
        user_attrs=texts.user_attrs,
        system_attrs=texts.system_attrs,
    )
    return replace(
        row,
        params=texts.params,
        space=texts.space,
        user_attrs=texts.user_attrs,
        system_attrs=texts.system_attrs,
    )


def write_own(connection: Connection, identity: Identity, batch: Batch) -> None:
    """Append points and write facts: what stays with the attempt even when it is fenced.

    Of an attempt that was deleted with its trial nothing is kept, and neither of one with which
    somebody else has finished the trial: the digest covers it. Of one that somebody has ended
    meanwhile, how it was ended stands, and so do its coordinates.
    """
    found = _end_of.row(connection, attempt_id=identity.attempt_id)
    if found is None:
        return
    ended, outcome, closed = found
    if closed:
        return
    append_parts(connection, identity.attempt_id, batch.series)
    if not batch.new_facts:
        return
    if ended is None:
        write_facts(connection, identity.attempt_id, batch.facts)
        return
    facts = batch.facts
    if outcome is not None:
        known = msgspec.convert(parsed(outcome), OutcomeState)
        facts = replace(facts, outcome=_late(known, facts.outcome))
    _set_late.run(connection, attempt_id_=identity.attempt_id, **columns_of(facts))


def _late(known: OutcomeState, said: OutcomeState | None) -> OutcomeState:
    """How an attempt was ended, with what its process had to say of it afterwards."""
    if said is None:
        return known
    return replace(
        said,
        reason=known.reason,
        died=known.died,
        message=known.message,
        gaps=(*said.gaps, LATE) if LATE not in said.gaps else said.gaps,
    )


def write_facts(connection: Connection, attempt_id: int, facts: Facts) -> None:
    """Write what an attempt says about itself."""
    _amend_coordinates(connection, attempt_id, facts)
    _set_facts.run(connection, attempt_id_=attempt_id, **columns_of(facts))


def write_end(connection: Connection, attempt_id: int, facts: Facts, reason: EndReason) -> None:
    """Write what an attempt says about itself, and that it has ended now."""
    _amend_coordinates(connection, attempt_id, facts)
    _set_end.run(
        connection,
        attempt_id_=attempt_id,
        ended=time.time(),
        end_reason=str(reason),
        **columns_of(facts),
    )


def columns_of(facts: Facts) -> dict[str, Any]:
    """What an attempt says about itself, as its columns hold it."""
    outcome = facts.outcome
    return {
        "returned": facts.returned,
        "prune_answers": "".join(facts.prune_answers),
        "outcome": None if outcome is None else tagged_text(outcome),
        "exit_code": None if outcome is None else outcome.exit_code,
        "signal": None if outcome is None else outcome.signal,
        "traceback": None if outcome is None else _column_text(outcome.traceback),
    }


def _amend_coordinates(connection: Connection, attempt_id: int, facts: Facts) -> None:
    for kind, snapshot in facts.amended.items():
        _amend[kind].run(connection, attempt_id_=attempt_id, digest=snapshot.digest)


def _column_text(text: str | None) -> str | None:
    """Text that every database takes in a column; ``outcome`` holds it unchanged."""
    if text is None:
        return None
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def add_artifact(connection: Connection, identity: Identity, record: ArtifactRecord) -> None:
    """Name an artifact; its blob is in the book already.

    Raises:
        AttemptFencedError: The trial has finished, so that its record is closed.
    """
    row = locked_if_current(connection, identity)
    if row is None and _is_finished(connection, identity):
        raise fenced_error(identity)
    _set_artifact.run(
        connection,
        attempt_id=identity.attempt_id,
        name=record.name,
        digest=record.digest,
        size=record.size_bytes,
        media_type=record.media_type,
    )


def _is_finished(connection: Connection, identity: Identity) -> bool:
    try:
        return trials.locked(connection, identity.trial_id).finished
    except NotFoundError:
        return True
