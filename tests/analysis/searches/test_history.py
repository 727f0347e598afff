"""The best value so far, against trials and against compute."""

from __future__ import annotations

import math

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

import trialbook
from trialbook import analysis
from trialbook.analysis.searches.history import best_so_far
from trialbook.errors import InvalidInputError, NotApplicableError

from .over_time import search_of, spans, trial


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    storage = trialbook.BookStorage(tmp_path_factory.mktemp("history") / "book.db")
    yield storage
    storage.close()


@given(st.lists(st.floats(allow_nan=True, width=32), min_size=1, max_size=30), st.booleans())
def test_best_so_far_is_the_best_of_each_beginning(values, maximize):
    found = best_so_far(np.array(values, float), maximize)
    for end, best in enumerate(found.tolist(), 1):
        seen = [value for value in values[:end] if not math.isnan(value)]
        if not seen:
            assert math.isnan(best)
        else:
            assert best == (max(seen) if maximize else min(seen))


def test_only_what_counts_counts(book):
    found = analysis.history(
        search_of(
            book,
            [
                trial(None, "f"),
                trial(3.0),
                trial(1.0, constraint=0.5),
                trial(0.5, "p"),
                trial(2.0, constraint=-0.5),
                trial(2.0),
            ],
        )
    )
    nan = math.nan
    assert found.finished.tolist() == [1, 2, 3, 4, 5, 6]
    np.testing.assert_array_equal(found.values, [nan, 3, nan, nan, 2, 2])
    np.testing.assert_array_equal(found.infeasible, [nan, nan, 1, nan, nan, nan])
    np.testing.assert_array_equal(found.best, [nan, 3, 3, 3, 2, 2])
    assert found.best_number == 4  # the earlier of two equal ones, as in STUDY/best
    assert found.table().rows[2] == (3, 2, "COMPLETE", None, 1.0, 3.0)


def test_trials_come_in_the_order_in_which_they_finished(book):
    study = optuna.create_study(storage=book, study_name="order")
    first, second, third = study.ask(), study.ask(), study.ask()
    study.tell(third, 3.0)
    study.tell(first, 1.0)
    study.tell(second, 2.0)
    found = analysis.history(analysis.search(study))
    assert found.numbers.tolist() == [2, 0, 1]
    assert found.best.tolist() == [3.0, 1.0, 1.0]


def test_objectives_are_called_by_their_names(book):
    study = optuna.create_study(
        storage=book, study_name="named", directions=["minimize", "maximize"]
    )
    study.add_trials([trial([1.0, 5.0]), trial([2.0, 7.0]), trial([3.0, 6.0])])
    assert analysis.search(study).objective_names == ("value 0", "value 1")
    with pytest.warns(optuna.exceptions.ExperimentalWarning):
        study.set_metric_names(["loss", "accuracy"])
    assert analysis.study("named", storage=book).metric_names == ("loss", "accuracy")
    found = analysis.history(analysis.search(study), 1)
    assert found.name == "accuracy"
    assert found.best.tolist() == [5.0, 7.0, 7.0]
    assert "accuracy" in [column.name for column in found.table().columns]
    with pytest.raises(InvalidInputError, match="no objective 2"):
        analysis.history(analysis.search(study), 2)


def test_nothing_to_show_is_said(book):
    nothing = search_of(book, [])
    with pytest.raises(NotApplicableError, match="no trial has finished"):
        analysis.history(nothing)
    with pytest.raises(NotApplicableError, match="under tracking"):
        analysis.compute_history(search_of(book, [trial(1.0)]))


def test_retries_and_lost_attempts_cost_too(book):
    made = search_of(book, [trial(3.0), trial(None, "f"), trial(1.0), trial(2.0)])
    hour = 3600.0
    found = analysis.compute_history(
        spans(
            made,
            [
                (0, 0.0, 1 * hour, "complete", "a"),
                (1, 0.0, 2 * hour, "failed", "b"),
                (2, 1 * hour, 3 * hour, "lost", "a"),
                (2, 4 * hour, 5 * hour, "complete", "a"),
                (2, 4 * hour, None, None, "b"),
            ],
        ),
        gpus={1: 2, 2: 0, 3: 4, 5: 1},
    )
    assert found.numbers.tolist() == [0, 1, 2, 2]
    assert found.outcomes == ("complete", "failed", "lost", "complete")
    assert found.worker_h.tolist() == [1.0, 3.0, 5.0, 6.0]
    assert found.gpu_h is not None
    assert found.gpu_h.tolist() == [2.0, 2.0, 10.0, 10.0]
    assert (found.running, found.without_gpus) == (1, 1)
    # The attempt that counts of trial 2 still runs; trial 3 ran under no tracking.
    assert found.untracked == (2, 3)
    np.testing.assert_array_equal(found.best, [3.0, 3.0, 3.0, 3.0])
    assert analysis.compute_history(spans(made, [(0, 0.0, 9.0, "complete", "a")])).gpu_h is None
