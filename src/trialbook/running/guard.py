"""The guard of a run: it goes on with the code, data and configuration of the last trial.

Sampler, pruner and seed are held by ``study.py``; what differs here differs in the objective.
"""

from __future__ import annotations

from collections.abc import Container, Iterable

from trialbook.book.storage import BookStorage
from trialbook.errors import InputsChangedError
from trialbook.records.coordinates import Kind, Snapshot
from trialbook.tracking.changes import changes_since_last

_NAMED = 5
_FLAGS = {Kind.CODE: "code", Kind.DATA: "data", Kind.CONFIG: "settings"}


def require_unchanged(
    storage: BookStorage,
    study_id: int,
    study: str,
    here: Iterable[Snapshot],
    allowed: Container[str],
) -> None:
    """Hold code, data and configuration as they are now against those of the last trial.

    Args:
        storage: The book.
        study_id: The study.
        study: Its name, for the error.
        here: Their snapshots as they are now.
        allowed: Which may differ: ``code``, ``data``, and ``settings`` for the configuration.

    Raises:
        InputsChangedError: One of them differs and is not allowed to; the files are named.
    """
    held = [snapshot for snapshot in here if _FLAGS[snapshot.kind] not in allowed]
    changes = [
        change
        for change in changes_since_last(storage, study_id, held)
        if not change.what.startswith("search.")
    ]
    if not changes:
        return
    kinds = list(dict.fromkeys(change.kind for change in changes))
    names = ", ".join(change.what for change in changes[:_NAMED])
    more = f" and {len(changes) - _NAMED} more" if len(changes) > _NAMED else ""
    flags = " ".join(f"--allow {_FLAGS[Kind(kind)]}" for kind in kinds)
    raise InputsChangedError(
        f"{' and '.join(kinds)} changed since the last trial of study {study!r}: {names}{more}",
        hint=f"{flags} to go on and have the trials say so, or --study NAME for a new study",
    )
