"""The first and the last transaction of an attempt that its own process does not write.

Beginning one under tracking (coordinates before user code), and ending one whose process died.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from optuna.trial import TrialState
from sqlalchemy import bindparam, select

from trialbook.book import attempt_rows, schema, trials
from trialbook.book.attempt import Shelf
from trialbook.book.attempt_rows import Facts, Identity
from trialbook.book.blobs import StaleError
from trialbook.book.book import Book
from trialbook.book.series_rows import folded, write_folded
from trialbook.book.statements import Statement
from trialbook.book.texts import tagged_text
from trialbook.errors import InvalidInputError
from trialbook.records.blobs import Blob
from trialbook.records.coordinates import Snapshot
from trialbook.records.execution import OutcomeState, Seeds

_params = Statement(
    select(schema.trial.c.params).where(
        schema.trial.c.trial_id == bindparam("trial_id"), schema.trial.c.deleted.is_(None)
    )
)
_said = Statement(
    select(schema.attempt.c.returned, schema.attempt.c.prune_answers).where(
        schema.attempt.c.attempt_id == bindparam("attempt_id")
    )
)


def begin(
    shelf: Shelf,
    trial_id: int,
    snapshots: Sequence[Snapshot],
    blobs: Iterable[Blob],
    seeds: Seeds,
) -> Identity:
    """Commit the coordinates of a new attempt; see ``BookStorage.begin_attempt``."""
    blobs = list(blobs)
    coordinates = dict(trials.NO_COORDINATES)
    coordinates["seeds"] = tagged_text(seeds)
    coordinates.update((str(snapshot.kind), snapshot.digest) for snapshot in snapshots)
    while True:
        prepared = shelf.blobs.prepared(blobs)
        try:
            with shelf.book.writing() as connection:
                shelf.blobs.name(connection, prepared, snapshots, relied_on=bool(blobs))
                row = trials.locked_unfinished(connection, trial_id)
                if row.state == trials.WAITING:
                    raise InvalidInputError(
                        f"trial {row.number} is WAITING: it must be claimed before it is begun"
                    )
                attempt_id, number = trials.add_attempt(connection, row, coordinates)
        except StaleError:
            continue
        finally:
            shelf.blobs.discard(prepared)
        shelf.blobs.committed(prepared, snapshots)
        if number == 1:  # else reports of an earlier attempt disappear, which others must read
            shelf.flushed(row.study_id)
        return Identity(row.study_id, trial_id, row.number, attempt_id, number)


def end_dead(shelf: Shelf, trial_id: int, outcome: OutcomeState, blobs: Iterable[Blob]) -> bool:
    """End an attempt whose process died; see ``BookStorage.end_dead_attempt``."""
    blobs = list(blobs)
    while True:
        prepared = shelf.blobs.prepared(blobs)
        try:
            with shelf.book.writing(durable=True) as connection:
                shelf.blobs.name(connection, prepared, relied_on=bool(blobs))
                study_id = trials.study_of(connection, trial_id)
                trials.lock_study(connection, study_id)
                row = trials.locked(connection, trial_id)
                if row.finished:
                    return False
                attempt_id = trials.current_attempt(connection, row)
                said = _said.row(connection, attempt_id=attempt_id)
                assert said is not None
                facts = Facts(said[0], list(said[1]), outcome)
                write_folded(connection, attempt_id, folded(connection, attempt_id, {}))
                reason = trials.end_reason(TrialState.FAIL, outcome.reason)
                attempt_rows.write_end(connection, attempt_id, facts, reason)
                finish_seq = trials.next_finish_seq(connection, study_id)
                trials.finish(connection, row, finish_seq, TrialState.FAIL, None)
                trials.seal(connection, trial_id)
        except StaleError:
            continue
        finally:
            shelf.blobs.discard(prepared)
        shelf.blobs.committed(prepared)
        return True


def internal_params(book: Book, trial_id: int) -> dict[str, float]:
    """The params of a trial as Optuna's internal values.

    Raises:
        NotFoundError: There is no such trial.
    """
    with book.reading() as connection:
        row = _params.row(connection, trial_id=trial_id)
    if row is None:
        raise trials.no_trial(trial_id)
    params: dict[str, float] = json.loads(row[0])
    return params
