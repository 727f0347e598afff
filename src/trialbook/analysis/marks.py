"""Trials that differ from their study: those of workers that were let in all the same."""

from __future__ import annotations

from trialbook.analysis.opening import Storage, StudyOrName, name_of, opened
from trialbook.book.marks import MarkedTrial, marked_trials
from trialbook.book.reading import Reader


def differing(study: StudyOrName, *, storage: Storage = None) -> tuple[MarkedTrial, ...]:
    """The trials of a study whose process differed from it, by number, each with in what.

    Args:
        study: Its name, or an Optuna study that lies in a book.
        storage: Where the book is; not with an Optuna study.

    Returns:
        Empty when every trial ran with the study's code, data, configuration and environment.

    Raises:
        NotFoundError: There is no such study.
    """
    with opened(storage, study) as reader:
        return differing_trials(reader, name_of(study))


def differing_trials(reader: Reader, study: str) -> tuple[MarkedTrial, ...]:
    """The same of a book that is open."""
    study_id = reader.study(study).study_id
    with reader.book.reading() as connection:
        return marked_trials(connection, study_id)
