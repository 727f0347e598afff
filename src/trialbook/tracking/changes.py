"""What changed since a study's newest tracked attempt."""

from __future__ import annotations

from trialbook.book.storage import BookStorage
from trialbook.records.coordinates import Kind
from trialbook.records.differences import coordinate_differences
from trialbook.records.verdict import CoordinateDifference
from trialbook.tracking.session import Session


def changes_since_last(
    storage: BookStorage, study_id: int, session: Session
) -> tuple[CoordinateDifference, ...]:
    """How a session's code and data differ from the study's newest tracked attempt."""
    last = storage.last_coordinates(study_id)
    if last is None:
        return ()
    differences: list[CoordinateDifference] = []
    for kind in (Kind.CODE, Kind.DATA):
        digest = last.of(kind)
        here = session.snapshot(kind)
        if digest is not None and digest != here.digest:
            differences += coordinate_differences(storage.snapshot(digest), here)
    # A module that the last trial imported while it ran is not loaded here yet: a file that one
    # side lacks is no sign of a change, since whatever imports it would have changed as well.
    return tuple(
        difference
        for difference in differences
        if difference.kind != Kind.CODE or None not in (difference.recorded, difference.here)
    )
