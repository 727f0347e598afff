"""How many trials a study is to have in all."""

from __future__ import annotations

from optuna.trial import FrozenTrial

from trialbook.book.claims import placed
from trialbook.book.storage import BookStorage
from trialbook.records.replicates import runs_given_trials
from trialbook.records.study import StudySpec
from trialbook.running.samplers import grid_size


def recorded_budget(storage: BookStorage, study_id: int, asked: int | None = None) -> int | None:
    """Total of trials, ``None`` for no limit: what was asked for, and no more than a grid needs.

    A study of replicates has those that were placed in it.

    When the last points of a grid are being worked at, or were lost and wait to be tried again,
    Optuna would give them to further trials too. Where trials took no point of the grid, its
    points no longer go by the trials' numbers, and Optuna finds out when all are done.

    Args:
        storage: The book.
        study_id: The study.
        asked: What is asked for now, ``None`` for what the study has.
    """
    search = (storage.get_study_record(study_id).spec or StudySpec()).search
    if runs_given_trials(search):
        with storage.book.reading() as connection:
            return placed(connection, study_id)
    asked = asked if asked is not None else search.trials
    points = grid_size(search.sampler)
    if points is None:
        return asked
    if any(map(_is_off_the_grid, storage.get_all_trials(study_id, deepcopy=False))):
        return asked
    return points if asked is None else min(asked, points)


def _is_off_the_grid(trial: FrozenTrial) -> bool:
    """Whether a trial took its params from elsewhere: it was enqueued, or added as it was."""
    attrs = trial.system_attrs
    return "grid_id" not in attrs and ("fixed_params" in attrs or trial.state.is_finished())
