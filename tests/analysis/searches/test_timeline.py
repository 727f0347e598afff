"""When each worker ran what, and for which share of its time it was busy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import trialbook
from trialbook import analysis
from trialbook.analysis.searches.timeline import running_at_once
from trialbook.errors import NotApplicableError

from .over_time import search_of, spans, trial

SPANS = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 9)), min_size=1, max_size=25)


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    storage = trialbook.BookStorage(tmp_path_factory.mktemp("timeline") / "book.db")
    yield storage
    storage.close()


@pytest.fixture(scope="module")
def one_trial(book):
    return search_of(book, [trial(1.0), trial(2.0)])


def test_workers_and_their_time(one_trial):
    found = analysis.timeline(
        spans(
            one_trial,
            [
                (0, 10.0, 20.0, "preempted", "b"),
                (0, 12.0, 14.0, "lost", "a"),
                (0, 15.0, 30.0, "complete", "a"),
                (0, 26.0, None, None, "b"),
                (0, 40.0, 41.0, "failed", None),
            ],
        )
    )
    assert [worker.worker_id for worker in found.workers] == ["b", "a", None]
    assert found.worker.tolist() == [0, 1, 1, 0, 2]
    assert found.outcomes == ("preempted", "lost", "complete", "running", "failed")
    assert found.end_s.tolist() == [20.0, 14.0, 30.0, 41.0, 41.0]
    first, second, nobody = found.workers
    assert (first.host, first.attempts, first.gaps, first.longest_gap_s) == ("host of b", 2, 1, 6.0)
    assert (first.present_s, first.busy_s) == (31.0, 25.0)
    assert second.utilisation == pytest.approx(17 / 18)
    assert (nobody.host, nobody.utilisation) == (None, 1.0)
    assert found.utilisation == pytest.approx((25 + 17 + 1) / (31 + 18 + 1))
    assert found.untracked == 1
    assert found.table().rows[0][:5] == ("b", "host of b", 0, 1, "preempted")
    assert found.table(named=False).rows[0][:2] == ("worker 1", None)
    assert [row[0] for row in found.utilisation_table().rows] == ["b", "a", None]


@given(SPANS)
def test_a_worker_is_busy_while_anything_of_it_runs(one_trial, pairs):
    rows = [(0, float(a), float(a + took), "complete", "w") for a, took in pairs]
    (worker,) = analysis.timeline(spans(one_trial, rows)).workers
    seconds = {second for a, took in pairs for second in range(a, a + took)}
    assert worker.busy_s == len(seconds)
    assert worker.present_s == max(a + took for a, took in pairs) - min(a for a, _ in pairs)


@given(SPANS)
def test_how_many_run_at_once(pairs):
    start = np.array([a for a, _ in pairs], float)
    end = np.array([a + took for a, took in pairs], float)
    moments, counts = running_at_once(start, end)
    assert (np.diff(moments) > 0).all()
    for moment, count in zip(moments, counts, strict=True):
        assert count == np.sum((start <= moment) & (moment < end))


def test_untracked_trials_have_no_timeline(one_trial):
    with pytest.raises(NotApplicableError, match="under tracking"):
        analysis.timeline(one_trial)
