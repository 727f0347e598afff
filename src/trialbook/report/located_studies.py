"""Studies that files show: which of the book's they are, and what has become of them since.

A study is known by the key of its identity, whatever it is called now, and its state by its seal.
Each study's trials are gone through once, however many references name it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from trialbook.book.book import Book
from trialbook.book.located import StudyIdentity, identities, seals_before
from trialbook.book.seals import StudySeal, sealed
from trialbook.records.figure_references import ShownStudy
from trialbook.report.located import LocatedStudy, Standing


class LocatedStudies:
    """The studies of one open book.

    Args:
        book: The book.
    """

    def __init__(self, book: Book) -> None:
        self._book = book
        self._identities: dict[str, StudyIdentity | None] = {}
        self._seals: dict[int, StudySeal] = {}
        self._earlier: dict[int, Mapping[str, int]] = {}

    def look_up(self, shown: Iterable[ShownStudy]) -> None:
        """Ask the book for all of these at once."""
        keys = {study.key for study in shown} - self._identities.keys()
        if keys:
            found = identities(self._book, keys)
            self._identities.update({key: found.get(key) for key in keys})

    def of(self, shown: ShownStudy) -> LocatedStudy:
        """The study that a file shows."""
        self.look_up((shown,))
        identity = self._identities[shown.key]
        if identity is None:
            return LocatedStudy(None, shown.name, shown.key, Standing.NOT_HERE, shown.seal)
        now = self._sealed(identity.study_id)
        standing, added = Standing.UNCHANGED, None
        if identity.deleted_s is not None:
            standing = Standing.DELETED
        elif shown.seal is None:
            standing = Standing.NOT_SEALED
        elif shown.seal != now.seal:
            covered = self._covered(identity.study_id, shown.seal)
            standing = Standing.DIFFERENT if covered is None else Standing.GROWN
            added = None if covered is None else now.trials - covered
        return LocatedStudy(
            name=identity.name,
            carried_name=shown.name,
            key=shown.key,
            standing=standing,
            seal=shown.seal,
            seal_now=now.seal,
            trials=now.trials,
            added=added,
            deleted_s=identity.deleted_s,
        )

    def _sealed(self, study_id: int) -> StudySeal:
        if study_id not in self._seals:
            self._seals[study_id] = sealed(self._book, study_id)
        return self._seals[study_id]

    def _covered(self, study_id: int, seal: str) -> int | None:
        """How many trials an earlier seal covers; ``None`` when it is none of the study's."""
        if study_id not in self._earlier:
            self._earlier[study_id] = seals_before(self._book, study_id)
        return self._earlier[study_id].get(seal)
