"""Trials that this process has read, of every study that it looks at (``study_cache.py``).

On a server a whole refresh is dear, so what Optuna asks of single trials for each of its own is
answered without one. Pending writes of this process are laid over in ``storage.py``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from optuna.distributions import BaseDistribution
from sqlalchemy import bindparam, select

from trialbook.book import schema
from trialbook.book.book import Book
from trialbook.book.results import Result
from trialbook.book.spaces import Spaces
from trialbook.book.statements import Statement
from trialbook.book.stored_trial import StoredTrial
from trialbook.book.study_cache import StudyCache, made_trial, nothing_waits
from trialbook.book.trials import TrialRow
from trialbook.errors import NotFoundError

MADE_S = 0.02
"""How long a trial that was made here is known without asking the server."""

FINISHED_S = 1.0
"""How long one is that was finished here: it never changes, but may be deleted."""

_t = schema.trial.c
_study_of_trial = Statement(
    select(_t.study_id).where(_t.trial_id == bindparam("trial_id"), _t.deleted.is_(None))
)


@dataclass(frozen=True, slots=True)
class _Recent:
    """A trial that this process has written, and what makes it when somebody asks."""

    trial_id: int
    made: Callable[[], StoredTrial]


class TrialCache:
    """What this process has read of a book's trials; safe for threads.

    Args:
        book: An open book.
        spaces: The spaces of the storage.
    """

    def __init__(self, book: Book, spaces: Spaces) -> None:
        self._book = book
        self._spaces = spaces
        self.lock = threading.RLock()
        self._studies: dict[int, StudyCache] = {}
        self._study_of: dict[int, int] = {}
        self._recent: tuple[_Recent, int, float] | None = None
        self._refreshing = False

    def after_fork(self) -> None:
        """In a forked child: keep what was read, but nothing that was being read."""
        self.lock = threading.RLock()
        if self._refreshing:
            self._studies.clear()
            self._refreshing = False
        for study in self._studies.values():
            study.mark = None  # it belongs to a connection of the parent

    def study(self, study_id: int) -> StudyCache:
        """The cache of a study, as new as the book; the caller holds ``lock``.

        Raises:
            NotFoundError: There is no such study.
        """
        cache = self._studies.get(study_id)
        if cache is None:
            cache = StudyCache(self._book, self._spaces, study_id)
        self._refreshing = True
        try:
            cache.refresh()
        except BaseException:
            self._studies.pop(study_id, None)
            raise
        finally:
            self._refreshing = False
        self._studies[study_id] = cache
        return cache

    def follow(self, study_id: int, change: Callable[[StudyCache], None] | None = None) -> None:
        """Stay as new as the book after this thread's own write, without reading.

        Args:
            study_id: The study that was written to.
            change: Makes the same change to its cache; ``None`` when nothing of it is to be seen.
        """
        marks = self._book.own_marks()
        if marks is None:
            return
        before, after = marks
        with self.lock:
            for known_id, study in list(self._studies.items()):
                if study.mark != before:
                    continue
                if known_id == study_id and change is not None:
                    change(study)
                study.mark = after

    def study_of(self, trial_id: int) -> int:
        """The study of a trial.

        Raises:
            NotFoundError: There is no such trial.
        """
        study_id = self._study_of.get(trial_id)
        if study_id is None:
            with self._book.reading() as connection:
                row = _study_of_trial.row(connection, trial_id=trial_id)
            if row is None:
                raise NotFoundError(f"there is no trial of id {trial_id}")
            study_id = self._study_of[trial_id] = int(row[0])
        return study_id

    def created(self, study_id: int, trial_id: int) -> None:
        """Remember the study of a trial that was made here."""
        self._study_of[trial_id] = study_id

    def made(self, study_id: int, trial_id: int, number: int, started: datetime) -> None:
        """Remember an empty RUNNING trial that this process has just made."""
        self.created(study_id, trial_id)
        self.follow(study_id, lambda study: study.add_made(trial_id, number, started))
        made = partial(made_trial, trial_id, number, started)
        self._remember(_Recent(trial_id, made), MADE_S)

    def begun(self, row: TrialRow) -> None:
        """Go on remembering the trial that was made last: it was still as it was made."""
        recent = self._recent
        if recent is not None and recent[0].trial_id == row.trial_id and row.empty:
            self._remember(recent[0], MADE_S)

    def finished(self, study_id: int, result: Result) -> None:
        """Remember a trial that this process has just finished."""
        self.follow(study_id, lambda study: study.add_result(None, result))
        with self.lock:
            study = self._studies.get(study_id)
            if study is not None and self._book.path is None:
                made = partial(study.finished_trial, None, result)
                self._remember(_Recent(result.trial_id, made), FINISHED_S)

    def _remember(self, trial: _Recent, for_s: float) -> None:
        if self._book.path is None:  # a file says by its own mark what has changed
            self._recent = trial, self._book.writes, time.monotonic() + for_s

    def _just_written(self, trial_id: int) -> StoredTrial | None:
        """The trial that was made or finished last, when nothing was written here since.

        Optuna looks at once at each trial that it has made or told; it is as it was written. Later
        on, another process may have changed it.
        """
        if self._recent is None:
            return None
        trial, writes, until = self._recent
        if trial.trial_id == trial_id and writes == self._book.writes:
            return trial.made() if time.monotonic() < until else None
        return None

    def trial(self, trial_id: int) -> StoredTrial:
        """A trial, as new as the book.

        Raises:
            NotFoundError: There is no such trial.
        """
        with self.lock:
            written = self._just_written(trial_id)
            if written is not None:
                return written
            study_id = self.study_of(trial_id)
            known = self._studies.get(study_id)
            if known is not None:
                found = known.finished(trial_id)
                if found is None and self._book.path is None:
                    found = known.glance(trial_id)
                if found is not None:
                    return found
            found = self.study(study_id).trial(trial_id)
        if found is None:
            raise NotFoundError(f"there is no trial of id {trial_id}")
        return found

    def drop(self, study_id: int) -> None:
        """Forget a study."""
        with self.lock:
            self._studies.pop(study_id, None)

    def known_distribution(self, study_id: int, name: str) -> BaseDistribution | None:
        """The distribution of a param in this study, as far as it is known without reading."""
        cache = self._studies.get(study_id)
        return None if cache is None else cache.distributions.get(name)

    def nothing_waits(self, study_id: int) -> bool:
        """Whether it is known, cheaper than by a refresh, that no trial of a study is WAITING."""
        return self._book.path is None and nothing_waits(self._book, study_id)
