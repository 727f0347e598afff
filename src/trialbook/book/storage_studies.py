"""Optuna's storage interface, the half about studies, and what Trialbook keeps of them.

A part of ``BookStorage``; what happens behind it is in ``studies.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from optuna.study._frozen import FrozenStudy
from optuna.study._study_direction import StudyDirection

from trialbook.book import references
from trialbook.book.outlasting import all_outlasting
from trialbook.book.storage_life import StorageLife
from trialbook.records.blobs import Blob
from trialbook.records.coordinates import CoordinateDigests, Snapshot
from trialbook.records.references import StudyReference
from trialbook.records.study import StudyRecord, StudySpec


@all_outlasting()
class StudyStorage(StorageLife):
    """What is asked of a storage about studies; see ``BookStorage``."""

    def set_study_spec(self, study_id: int, spec: StudySpec, *, origin: str | None = None) -> None:
        """Keep what a study was asked to be; ``origin=None`` keeps the origin that is there."""
        self._studies.set_spec(study_id, spec, origin)

    def change_study_spec(
        self, study_id: int, change: Callable[[StudySpec, int], StudySpec]
    ) -> StudySpec:
        """Change what a study was asked to be, in one transaction; the settings as they are now.

        What changes of budget, retries, limits, lease and default is added to its adjustments.

        Args:
            study_id: The study.
            change: Makes the new settings of the old ones and of the number of finished trials. It
                may be called again; an exception of it leaves everything as it was.

        Raises:
            NotFoundError: There is no such study.
        """
        return self._studies.change_spec(study_id, change)

    def get_study_record(self, study_id: int) -> StudyRecord:
        """The record of a study.

        Raises:
            NotFoundError: There is no such study.
        """
        return self._studies.record(study_id)

    def last_coordinates(self, study_id: int) -> CoordinateDigests | None:
        """The coordinates of the newest tracked attempt of a study, ``None`` without one."""
        return self._studies.tracked_coordinates(study_id, newest=True)

    def first_coordinates(self, study_id: int) -> CoordinateDigests | None:
        """The coordinates of the oldest tracked attempt of a study, ``None`` without one."""
        return self._studies.tracked_coordinates(study_id, newest=False)

    def reference(self, study_id: int) -> StudyReference | None:
        """What the coordinates of a study's workers are held against, ``None`` for nothing yet.

        Raises:
            NotFoundError: There is no such study.
        """
        with self.book.reading() as connection:
            return references.reference(connection, study_id)

    def set_reference(
        self,
        study_id: int,
        snapshots: Sequence[Snapshot],
        blobs: Iterable[Blob] = (),
        seed: int | None = None,
    ) -> None:
        """Write down what the coordinates of a study's workers are held against.

        Args:
            study_id: The study.
            snapshots: The coordinates, at most one of each kind; they are stored with it.
            blobs: Contents that they name.
            seed: The objective's own seed, ``None`` when it has none.

        Raises:
            NotFoundError: There is no such study.
        """
        references.write(self.book, self._shelf.blobs, study_id, snapshots, blobs, seed)

    def fix_reference(self, study_id: int) -> StudyReference | None:
        """Write down the reference as it is now, unless one is; ``None`` when there is none.

        Raises:
            NotFoundError: There is no such study.
        """
        return references.fix(self.book, study_id)

    def discard_untouched_study(self, study_id: int) -> bool:
        """Forget a study that never had a trial; whether it was forgotten."""
        discarded = self._studies.discard_untouched(study_id)
        if discarded:
            self._cache.drop(study_id)
        return discarded

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        """See ``BaseStorage``."""
        return self._studies.create(directions, study_name)

    def delete_study(self, study_id: int) -> None:
        """See ``BaseStorage``; a tombstone with the digests stays."""
        self._studies.delete(study_id)
        self._cache.drop(study_id)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """See ``BaseStorage``."""
        self._studies.set_attr(study_id, "user", key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """See ``BaseStorage``."""
        self._studies.set_attr(study_id, "system", key, value)

    def get_study_id_from_name(self, study_name: str) -> int:
        """See ``BaseStorage``."""
        return self._studies.id_of(study_name)

    def get_study_name_from_id(self, study_id: int) -> str:
        """See ``BaseStorage``."""
        return self._studies.name(study_id)

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """See ``BaseStorage``."""
        return self._studies.directions(study_id)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """See ``BaseStorage``."""
        return self._studies.attrs(study_id)[0]

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """See ``BaseStorage``."""
        return self._studies.attrs(study_id)[1]

    def get_all_studies(self) -> list[FrozenStudy]:
        """See ``BaseStorage``."""
        return self._studies.frozen()
