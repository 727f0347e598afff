"""The guard of a run: code and data must be those of the study's last trial, unless allowed."""

from __future__ import annotations

from collections.abc import Container

from trialbook.book.storage import BookStorage
from trialbook.errors import InputsChangedError
from trialbook.records.coordinates import Snapshot
from trialbook.tracking.changes import changes_since_last

_NAMED = 5


def require_unchanged(
    storage: BookStorage,
    study_id: int,
    study: str,
    here: tuple[Snapshot, Snapshot],
    allowed: Container[str],
) -> None:
    """Hold the code and data that are loaded now against those of the study's last trial.

    Args:
        storage: The book.
        study_id: The study.
        study: Its name, for the error.
        here: Snapshots of code and data as they are now.
        allowed: Which of ``code`` and ``data`` may differ.

    Raises:
        InputsChangedError: One of them differs and is not allowed to; the files are named.
    """
    held = [snapshot for snapshot in here if snapshot.kind.value not in allowed]
    changes = changes_since_last(storage, study_id, held)
    if not changes:
        return
    kinds = list(dict.fromkeys(change.kind for change in changes))
    names = ", ".join(change.what for change in changes[:_NAMED])
    more = f" and {len(changes) - _NAMED} more" if len(changes) > _NAMED else ""
    flags = " ".join(f"--allow {kind}" for kind in kinds)
    raise InputsChangedError(
        f"{' and '.join(kinds)} changed since the last trial of study {study!r}: {names}{more}",
        hint=f"{flags} to go on and have the trials say so, or --study NAME for a new study",
    )
