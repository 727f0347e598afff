"""A study that is opened again: what a run changes of its budget and conduct is on the record."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from trialbook import create_study
from trialbook.book.storage import BookStorage
from trialbook.errors import SettingsDifferError
from trialbook.records.config import ComponentSettings, SearchSettings
from trialbook.records.study import StudyRecord, StudySpec
from trialbook.running.own_study import RunOptions, own_study
from trialbook.running.spec import RunSpec, objective_spec


def opened(place: Path, spec: RunSpec, finished: int = 0, allow: tuple[str, ...] = ()) -> None:
    """Open the study as a run does, and let so many trials finish."""
    with own_study(spec, RunOptions(storage=str(place / "book.db"), allow=allow)) as own:
        for _ in range(finished):
            own.study.add_trial(optuna.trial.create_trial(value=1.0))


def record(place: Path) -> StudyRecord:
    storage = BookStorage(place / "book.db", create=False)
    found = storage.get_study_record(storage.get_study_id_from_name("own"))
    storage.close()
    return found


def test_each_change_is_kept_with_how_many_trials_had_finished(tmp_path: Path) -> None:
    asked = replace(objective_spec("own.py:objective", tmp_path), trials=5)
    opened(tmp_path, asked, finished=5)
    opened(tmp_path, asked)  # the same again changes nothing
    first = record(tmp_path).spec
    assert first is not None
    assert (first.adjustments, first.keeps_adjustments) == ((), True)

    opened(tmp_path, replace(asked, trials=12), finished=7)
    last = replace(
        asked,
        trials=None,
        hours=2.0,
        limits={"trial_s": 100.0},
        retries={"lost": 5},
        default={"lr": 0.1},
        sampler=ComponentSettings("RandomSampler"),
    )
    with pytest.raises(SettingsDifferError):
        opened(tmp_path, last)
    opened(tmp_path, last, allow=("settings",))
    found = record(tmp_path)
    assert found.spec is not None
    assert found.spec.change_texts == (
        "after 12 trials: sampler TPESampler is now RandomSampler",
        "after 5 trials: budget.trials 5 is now 12",
        "after 12 trials: budget.hours none is now 2",
        "after 12 trials: retries.lost 3 is now 5",
        "after 12 trials: limits.trial_s none is now 100",
        'after 12 trials: default none is now {"lr": 0.1}',
    )
    assert (found.spec.search.trials, found.spec.search.hours) == (12, 2.0)
    assert all(found.created_s - 1 < one.at_s for one in found.spec.adjustments)


@pytest.mark.parametrize("where", ["url", "postgres_url"])
def test_of_two_who_change_at_the_same_time_nothing_is_lost(
    where: str, request: pytest.FixtureRequest
) -> None:
    storage = BookStorage(request.getfixturevalue(where))
    study = create_study(storage=storage, study_name="own")

    def raised(step: int) -> None:
        for _ in range(3):
            storage.change_study_spec(
                study._study_id,
                lambda found, _: replace(
                    found, search=replace(found.search, trials=(found.search.trials or 0) + step)
                ),
            )

    threads = [threading.Thread(target=raised, args=(step,)) for step in (1, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spec = storage.get_study_record(study._study_id).spec
    storage.close()
    assert spec is not None
    assert spec.search.trials == 33
    chain = [(one.before or 0, one.after) for one in spec.adjustments]
    assert [before for before, _ in chain] == [0, *(after for _, after in chain[:-1])]


def test_a_study_of_an_earlier_version_says_that_it_kept_none(tmp_path: Path) -> None:
    storage = BookStorage(tmp_path / "book.db")
    study = create_study(storage=storage, study_name="own")
    storage.set_study_spec(study._study_id, StudySpec(search=SearchSettings(trials=3)))
    storage.close()
    opened(tmp_path, replace(objective_spec("own.py:objective", tmp_path), trials=4))
    spec = record(tmp_path).spec
    assert spec is not None
    assert (len(spec.adjustments), spec.keeps_adjustments) == (1, False)
