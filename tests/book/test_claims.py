"""No trial is handed out twice, whoever asks: threads, processes, Optuna's ask and ``claim``."""

from __future__ import annotations

import time
from collections import Counter

import optuna
from optuna.trial import TrialState, create_trial
from sqlalchemy import update

from trialbook.book import schema
from trialbook.book.storage import BookStorage

from .forked import in_processes

WAITING = create_trial(state=TrialState.WAITING)

CLAIM = """
import sys
from trialbook.book.storage import BookStorage
from optuna.trial import TrialState
storage = BookStorage(sys.argv[1], create=False)
study_id = storage.get_study_id_from_name("digits")
ready()
while (claim := storage.claim(study_id, budget=int(sys.argv[2]))) is not None:
    say(claim.trial_id)
    storage.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, [0.0])
"""

ASK = """
import sys
import optuna
from trialbook.book.storage import BookStorage
study = optuna.load_study(study_name="digits", storage=BookStorage(sys.argv[1], create=False))
ready()
for index in range(int(sys.argv[2])):
    trial = study.ask()
    say(trial._trial_id)
    if index % 3 == 2:
        study.enqueue_trial({"x": trial.number / 1e6})
    trial.suggest_float("x", 0, 1)
    study.tell(trial, 0.0)
"""


def test_processes_that_claim_never_run_one_trial_twice(
    url: str, storage: BookStorage, study_id: int
) -> None:
    waiting = [storage.create_new_trial(study_id, WAITING) for _ in range(150)]
    ran = in_processes([CLAIM] * 4, url, 240)
    everything = [int(trial_id) for each in ran for trial_id in each]
    assert len(everything) == len(set(everything)) == 240
    assert set(waiting) <= set(everything)
    assert storage.get_n_trials(study_id) == 240
    numbers = [trial.number for trial in storage.get_all_trials(study_id)]
    assert numbers == list(range(240))


def test_processes_that_ask_and_enqueue_never_run_one_trial_twice(
    url: str, storage: BookStorage, study_id: int
) -> None:
    study = optuna.load_study(study_name="digits", storage=storage)
    for index in range(100):
        study.enqueue_trial({"x": index / 100})
    ran = in_processes([ASK] * 3, url, 60)
    counts = Counter(trial_id for each in ran for trial_id in each)
    assert len(counts) == 180
    assert set(counts.values()) == {1}
    enqueued = [
        t for t in study.trials if "fixed_params" in t.system_attrs and t.state.is_finished()
    ]
    assert len(enqueued) >= 100
    assert all(t.params == t.system_attrs["fixed_params"] for t in enqueued)


def test_a_trial_before_its_time_waits(storage: BookStorage, study_id: int) -> None:
    late = storage.create_new_trial(study_id, WAITING)
    soon = storage.create_new_trial(study_id, WAITING)

    def not_before(trial_id: int, when: float) -> None:
        with storage.book.writing() as connection:
            connection.execute(
                update(schema.trial)
                .where(schema.trial.c.trial_id == trial_id)
                .values(not_before=when)
            )

    not_before(late, time.time() + 3600)
    assert not storage.set_trial_state_values(late, TrialState.RUNNING)
    assert storage.claim(study_id).trial_id == soon
    not_before(late, time.time() - 1)
    assert storage.claim(study_id).trial_id == late
