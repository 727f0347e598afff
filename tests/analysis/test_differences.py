"""How two real trials differ."""

from __future__ import annotations

import math
import shutil
import sqlite3
from pathlib import Path

import optuna
import pytest

from trialbook import analysis
from trialbook.book.storage import BookStorage
from trialbook.errors import NotFoundError
from trialbook.records.execution import Seeds


def test_trials_of_one_run_differ_in_params_and_results_only(recorded):
    found = analysis.diff("digits/0", "digits/1", storage=recorded.storage)
    assert {d.name for d in found.params} >= {"x"}
    results = {d.what: (d.first, d.second) for d in found.results}
    assert results["state"] == ("COMPLETE", "PRUNED")
    assert results["end"] == ("complete", "pruned")
    assert "seed" in results
    assert found.code == found.data == found.config == found.environment == ()
    assert found.unknown == ()
    assert not found.same
    metrics = {d.metric: d for d in found.metrics}
    assert set(metrics) == {"loss", "objective"}  # NaN is NaN
    assert (metrics["loss"].index, metrics["loss"].step) == (0, 0)


def test_a_later_run_differs_in_code_data_and_config(recorded):
    found = analysis.diff("digits/0", "digits/4", storage=recorded.storage)
    code = {d.label: d for d in found.code}
    assert code["search.py"].loaded
    assert "-FACTOR = 1\n+FACTOR = 2" in code["search.py"].patch
    assert [(d.what, d.recorded, d.here) for d in found.config] == [("model.epochs", "5", "6")]
    (data,) = [d for d in found.data if d.what == "train"]
    assert data.recorded != data.here


def test_the_same_trial_does_not_differ_and_order_is_kept(recorded):
    assert analysis.diff("digits/0", "digits/0", storage=recorded.storage).same
    there = analysis.diff("digits/0", "digits/4", storage=recorded.storage)
    back = analysis.diff("digits/4", "digits/0", storage=recorded.storage)
    assert (there.first, there.second) == (back.second, back.first)
    assert "-FACTOR = 2\n+FACTOR = 1" in {d.label: d for d in back.code}["search.py"].patch


def test_what_was_not_tracked_is_said_and_not_taken_for_equal(recorded):
    found = analysis.diff("digits/0", "two/0", storage=recorded.storage)
    assert len(found.unknown) == 5
    assert found.unknown[0] == "code of two/0: not tracked"
    assert {d.name for d in found.params} == {"x", "depth", "kind"}
    assert all(d.second is None for d in found.params)
    assert {d.metric for d in found.metrics} == {"loss", "nan", "objective"}


def test_an_unknown_trial_is_an_error(recorded):
    with pytest.raises(NotFoundError):
        analysis.diff("digits/0", "digits/99", storage=recorded.storage)


def test_a_damaged_snapshot_is_said_and_the_rest_still_compared(recorded, tmp_path):
    shutil.copytree(Path(recorded.storage).parent, tmp_path / "book")
    path = tmp_path / "book" / "book.db"
    connection = sqlite3.connect(path)
    connection.execute("UPDATE tb_snapshot SET document = '{}' WHERE kind = 'code'")
    connection.commit()
    connection.close()
    found = analysis.diff("digits/0", "digits/4", storage=path)
    assert found.code == ()
    assert [text.partition(":")[0] for text in found.unknown] == [
        "code of digits/0",
        "code of digits/4",
    ]
    assert found.config != ()


def _series(storage: BookStorage, study_id: int, points: list[tuple[int, float]]) -> None:
    trial_id = storage.claim(study_id).trial_id
    attempt = storage.begin_attempt(trial_id, snapshots=[], seeds=Seeds(trial=1))
    for step, value in points:
        attempt.log({"m": value}, step, 0.0)
    storage.set_trial_state_values(trial_id, optuna.trial.TrialState.COMPLETE, [0.0])


@pytest.mark.parametrize(
    ("other", "where"),
    [
        ([(0, 1.0), (5, 0.0), (6, math.nan)], None),
        ([(0, 1.0), (5, -0.0), (6, math.nan)], (1, 5)),
        ([(0, 1.0), (4, 0.0), (6, math.nan)], (1, 5)),
        ([(0, 1.0)], (1, 5)),
        ([(0, 1.0), (5, 0.0), (6, math.nan), (9, 1.0)], (3, 9)),
        ([], None),
    ],
)
def test_the_first_point_that_differs_is_named(tmp_path, other, where):
    storage = BookStorage(tmp_path / "b.db")
    study_id = storage.create_new_study([optuna.study.StudyDirection.MINIMIZE], "s")
    _series(storage, study_id, [(0, 1.0), (5, 0.0), (6, math.nan)])
    _series(storage, study_id, other)
    metrics = analysis.diff("s/0", "s/1", storage=storage).metrics
    storage.close()
    if other and where is None:
        assert metrics == ()
    else:
        (difference,) = metrics
        assert (difference.index, difference.step) == (where or (None, None))
        assert (difference.second is None) == (not other)
