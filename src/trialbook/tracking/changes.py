"""What changed in a study: since what its workers are held against, or since its first attempt."""

from __future__ import annotations

from collections.abc import Iterable

from trialbook.book.storage import BookStorage
from trialbook.records.coordinates import CoordinateDigests, Kind, Snapshot
from trialbook.records.differences import coordinate_differences
from trialbook.records.verdict import CoordinateDifference

Changes = tuple[CoordinateDifference, ...]


def changes_since_last(storage: BookStorage, study_id: int, here: Iterable[Snapshot]) -> Changes:
    """How snapshots differ from the study's reference: mostly, its newest tracked attempt."""
    reference = storage.reference(study_id)
    return _changes(storage, None if reference is None else reference.coordinates, here)


def changes_since_first(storage: BookStorage, study_id: int, here: Iterable[Snapshot]) -> Changes:
    """How snapshots differ from those of the study's first tracked attempt."""
    return _changes(storage, storage.first_coordinates(study_id), here)


def _changes(
    storage: BookStorage, before: CoordinateDigests | None, here: Iterable[Snapshot]
) -> Changes:
    if before is None:
        return ()
    differences: list[CoordinateDifference] = []
    for snapshot in here:
        digest = before.of(snapshot.kind)
        if digest is not None and digest != snapshot.digest:
            differences += coordinate_differences(storage.snapshot(digest), snapshot)
    # A module that an earlier trial imported while it ran is not loaded here yet: a file that one
    # side lacks is no sign of a change, since whatever imports it would have changed as well.
    return tuple(
        difference
        for difference in differences
        if difference.kind != Kind.CODE or None not in (difference.recorded, difference.here)
    )
