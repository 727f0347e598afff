"""Studies and trials of a book as records: what ``trialbook ls``, ``show`` and ``best`` read."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from trialbook.analysis.details import reference_of
from trialbook.analysis.opening import Storage, StudyOrName, name_of, opened
from trialbook.records.references import TrialReference
from trialbook.records.study import StudyRecord, TrialRecord, TrialState


def studies(*, storage: Storage = None) -> list[StudyRecord]:
    """The studies of a book, by name.

    Args:
        storage: Where the book is.

    Raises:
        BookNotFoundError: There is no book at that place.
    """
    with opened(storage) as reader:
        return reader.studies()


def study(study: StudyOrName, *, storage: Storage = None) -> StudyRecord:
    """A study.

    Args:
        study: Its name, or an Optuna study that lies in a book.
        storage: Where the book is; not with an Optuna study.

    Raises:
        NotFoundError: It is not in the book.
    """
    with opened(storage, study) as reader:
        return reader.study(name_of(study))


def trial(
    reference: TrialReference | StudyOrName,
    number: int | None = None,
    *,
    storage: Storage = None,
) -> TrialRecord:
    """A trial with its attempts, metrics, artifacts and reruns.

    Args:
        reference: ``STUDY/NUMBER``, ``STUDY/best`` or ``STUDY/best~1``; or a study (its name, or
            an Optuna study) when ``number`` is given. An Optuna study without a number stands for
            its best trial.
        number: The trial's number in the study.
        storage: Where the book is; not with an Optuna study.

    Raises:
        NotFoundError: It is not in the book.
        BadReferenceError: The text names no trial, or the best of several objectives.
    """
    owner = None if isinstance(reference, (str, TrialReference)) else reference
    with opened(storage, owner) as reader:
        return reader.trial(reference_of(reference, number))


def trials(
    study: StudyOrName,
    *,
    states: Collection[TrialState] | None = None,
    storage: Storage = None,
) -> Iterator[TrialRecord]:
    """The trials of a study by number, read by chunks while they are used.

    Args:
        study: Its name, or an Optuna study that lies in a book.
        states: Only trials in one of these; ``None`` for all.
        storage: Where the book is; not with an Optuna study.

    Raises:
        NotFoundError: There is no such study; raised when the first trial is asked for.
    """
    with opened(storage, study) as reader:
        yield from reader.trials(name_of(study), states=states)


def best(study: StudyOrName, count: int = 1, *, storage: Storage = None) -> list[TrialRecord]:
    """The best trials of a study with one objective, the best first.

    Only COMPLETE trials that keep the study's constraints, as in Optuna; of equal ones the earlier
    is first.

    Args:
        study: Its name, or an Optuna study that lies in a book.
        count: How many at the most.
        storage: Where the book is; not with an Optuna study.

    Raises:
        NotFoundError: There is no such study, or no such trial in it.
        BadReferenceError: The study has several objectives (see ``front``), or it is of replicates.
    """
    with opened(storage, study) as reader:
        return reader.best(name_of(study), count)


def front(study: StudyOrName, *, storage: Storage = None) -> list[TrialRecord]:
    """The trials of a study that no other one dominates, by number.

    Args:
        study: Its name, or an Optuna study that lies in a book.
        storage: Where the book is; not with an Optuna study.

    Raises:
        NotFoundError: There is no such study.
    """
    with opened(storage, study) as reader:
        return reader.front(name_of(study))
