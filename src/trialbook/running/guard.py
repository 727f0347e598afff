"""The guard of a run: code and data must be those of the study's last trial, unless allowed."""

from __future__ import annotations

from collections.abc import Container

from trialbook.book.reading import Reader
from trialbook.book.storage import BookStorage
from trialbook.errors import InputsChangedError
from trialbook.records.coordinates import Kind, Snapshot
from trialbook.records.differences import coordinate_differences
from trialbook.records.verdict import CoordinateDifference

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
    last = storage.last_coordinates(study_id)
    if last is None:
        return
    changes: list[CoordinateDifference] = []
    for snapshot in here:
        digest = last.of(snapshot.kind)
        if digest is None or digest == snapshot.digest or snapshot.kind.value in allowed:
            continue
        changes += coordinate_differences(Reader(storage.book).snapshot(digest), snapshot)
    # A module that trials import while they run is not loaded yet, so that a file which only one
    # side has is no sign of a change of the code.
    changes = [c for c in changes if c.kind != Kind.CODE or None not in (c.recorded, c.here)]
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
