"""The digest of a finished trial: what it covers, in one place.

It is SHA-256 over a canonical JSON object (RFC 8785) of text, integers and lists, with these keys:

=================  ============================================================================
``number``         the trial's number
``state``          its state's number, as in Optuna
``values``         each objective value: its eight bytes (IEEE 754, little-endian) in hexadecimal
``params``         the text of the column: JSON of param name to internal value
``space``          digest of its distributions, or null
``user_attrs``     the text of the column
``system_attrs``   the text of the column
``attempts``       for each attempt, oldest first: number, and digests of its five coordinates
``current``        of the attempt that counts, or null: number, seeds, end reason, outcome, returned
                   value (texts of the columns), answers of ``should_prune``, the digests of each
                   metric's payloads, and of each artifact; only when it went on from a
                   checkpoint also ``resumed``: what counts of the attempts before it (see
                   ``stitching.chain_document``)
=================  ============================================================================

Times, host and worker are not covered, nor what an older, fenced attempt reported: it may still
arrive later. Of an older attempt that was gone on from, the points up to the checkpoint are
covered, by their number; what comes after them may still grow. ``document`` is the definition; the
seal is made over these digests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, select

from trialbook.book import schema
from trialbook.book.series_rows import payload_digests
from trialbook.book.statements import Statement
from trialbook.book.stitching import chain_document
from trialbook.errors import NotFoundError
from trialbook.records.canonical import canonical_bytes, digest_of_bytes

_t, _v, _a, _f = schema.trial.c, schema.trial_value.c, schema.attempt.c, schema.artifact.c
_trial = Statement(
    select(
        _t.number, _t.state, _t.attempt, _t.params, _t.space, _t.user_attrs, _t.system_attrs
    ).where(_t.trial_id == bindparam("trial_id"))
)
_values = Statement(
    select(_v.bytes).where(_v.trial_id == bindparam("trial_id")).order_by(_v.objective)
)
_attempts = Statement(
    select(
        _a.attempt_id,
        _a.number,
        _a.code,
        _a.data,
        _a.config,
        _a.environment,
        _a.execution,
        _a.seeds,
        _a.end_reason,
        _a.outcome,
        _a.returned,
        _a.prune_answers,
        _a.resumed_from,
    )
    .where(_a.trial_id == bindparam("trial_id"))
    .order_by(_a.number)
)
_artifacts = Statement(
    select(_f.name, _f.digest)
    .join(schema.attempt, _a.attempt_id == _f.attempt_id)
    .where(_a.trial_id == bindparam("trial_id"), _a.number == bindparam("number"))
)

COORDINATES = ("code", "data", "config", "environment", "execution")


@dataclass(frozen=True, slots=True)
class TrialFields:
    """What the digest covers of a trial's own row and values, as the columns hold it."""

    number: int
    state: int
    attempt: int
    params: str
    space: str | None
    user_attrs: str
    system_attrs: str
    values: tuple[bytes, ...]


def record_digest(connection: Connection, trial_id: int) -> str:
    """The digest of a finished trial as its rows are now, 64 hexadecimal digits.

    Raises:
        NotFoundError: There is no such trial.
    """
    return digest_of_fields(connection, trial_id, trial_fields(connection, trial_id))


def digest_of_fields(
    connection: Connection,
    trial_id: int,
    fields: TrialFields,
    series: dict[str, list[str]] | None = None,
) -> str:
    """The digest of a trial that is about to have these fields; its attempts are written already.

    Args:
        connection: An open connection, inside the finishing transaction.
        trial_id: The trial.
        fields: Its fields.
        series: The digests of the current attempt's payloads, when they are known; ``None`` to
            compute them from the payloads.
    """
    return digest_of(document(connection, trial_id, fields, series))


def digest_of(whole: dict[str, Any]) -> str:
    """The digest of what ``document`` gives, 64 hexadecimal digits."""
    return digest_of_bytes(canonical_bytes(whole))


def trial_fields(connection: Connection, trial_id: int) -> TrialFields:
    """The fields of a trial as they are in the book.

    Raises:
        NotFoundError: There is no such trial.
    """
    row = _trial.row(connection, trial_id=trial_id)
    if row is None:
        raise NotFoundError(f"there is no trial of id {trial_id}")
    return TrialFields(*(*row, stored_values(connection, trial_id)))


def stored_values(connection: Connection, trial_id: int) -> tuple[bytes, ...]:
    """The eight bytes of each objective value of a trial."""
    return tuple(bytes(content) for (content,) in _values.rows(connection, trial_id=trial_id))


def document(
    connection: Connection,
    trial_id: int,
    fields: TrialFields,
    series: dict[str, list[str]] | None = None,
) -> dict[str, Any]:
    """What is digested; see the module's docstring and ``digest_of_fields``."""
    asked = _attempts.asked(connection, trial_id=trial_id)
    artifacts = _artifacts.asked(connection, trial_id=trial_id, number=fields.attempt)
    attempts = asked()
    current = None
    for found in attempts:
        if found[1] == fields.attempt:
            names = ("seeds", "end_reason", "outcome", "returned", "prune_answers")
            told = dict(zip(names, found[7:12], strict=True))
            if found[12] is not None:
                # A record without it is digested as it was before there were checkpoints.
                told["resumed"] = chain_document(connection, found[0])
            if series is None:
                series = payload_digests(connection, found[0])
            current = told, series, artifacts()
    return assembled(fields, [(found[1], found[2:7]) for found in attempts], current)


def assembled(
    fields: TrialFields,
    attempts: Iterable[tuple[int, Sequence[str | None]]],
    current: tuple[Mapping[str, Any], Mapping[str, list[str]], Iterable[tuple[Any, ...]]] | None,
) -> dict[str, Any]:
    """What is digested, put together.

    Args:
        fields: The trial's own.
        attempts: Number and digests of the coordinates of each, oldest first.
        current: Of the attempt that counts, if there is one: the columns that it has itself (more
            than needed do no harm), the digests of each metric's payloads, and name and digest of
            each artifact.
    """
    counted = None
    if current is not None:
        told, series, artifacts = current
        own = ("resumed", "seeds", "end_reason", "outcome", "returned", "prune_answers")
        counted = {
            **{name: told[name] for name in own if name in told},
            "number": fields.attempt,
            # Lists of pairs: a metric's name may begin with "$", which a tagged object may not.
            "series": [[metric, series[metric]] for metric in sorted(series)],
            "artifacts": [[name, digest] for name, digest in sorted(artifacts)],
        }
    return {
        "number": fields.number,
        "state": fields.state,
        "values": [content.hex() for content in fields.values],
        "params": fields.params,
        "space": fields.space,
        "user_attrs": fields.user_attrs,
        "system_attrs": fields.system_attrs,
        "attempts": [
            {"number": number, **dict(zip(COORDINATES, digests, strict=True))}
            for number, digests in attempts
        ],
        "current": counted,
    }
