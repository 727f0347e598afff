"""What replicates come to, on books in which they were told rather than run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState

from trialbook.analysis.estimates import estimate
from trialbook.analysis.replication import Replication, replication, replications
from trialbook.analysis.replication_tables import (
    comparison_table,
    comparison_text,
    gap_text,
    metric_table,
    run_table,
    summary_table,
)
from trialbook.analysis.test_metrics import exposure
from trialbook.book.reading import Reader
from trialbook.book.replicates import Withdrawn, replicates, withdraw
from trialbook.book.showings import showings
from trialbook.book.storage import BookStorage
from trialbook.errors import NotApplicableError, NotFoundError
from trialbook.records.execution import EndReason, OutcomeState, Seeds
from trialbook.records.replicates import (
    REPLICATES,
    Configuration,
    GivenParam,
    Replicate,
    ReplicationLink,
    as_attribute,
)
from trialbook.records.workers import Claim

BEST = Configuration("best", (), trial=7, rank=1, values=(0.95,))
DEFAULT = Configuration("default", ())


class Told:
    """A source study, and a linked one whose replicates are told what they came to."""

    def __init__(self, storage: BookStorage, directions: Sequence[str] = ("maximize",)) -> None:
        self.storage = storage
        ways = [StudyDirection[direction.upper()] for direction in directions]
        self.source = storage.create_new_study(ways, "s")
        self.study = storage.create_new_study(ways, "s.replicates")
        uid = storage.get_study_record(self.source).uid
        link = ReplicationLink(uid, "s", "trial 7", 1, "0" * 64, 8)
        storage.set_study_system_attr(self.study, REPLICATES, as_attribute(link))

    def place(self, configuration: Configuration, count: int, first: int = 0) -> None:
        wanted = [Replicate(configuration, i, 100 + i) for i in range(first, first + count)]
        self.storage.place_replicates(self.study, wanted)

    def tell(
        self,
        *values: float | None,
        metric: Sequence[float] | None = None,
        test: Sequence[float] | None = None,
    ) -> None:
        """End the next replicates: with a value, or failed."""
        for at, value in enumerate(values):
            claim = self.storage.claim(self.study, only_waiting=True)
            assert isinstance(claim, Claim)
            attempt = self.storage.begin_attempt(claim.trial_id, snapshots=[], seeds=Seeds(0))
            if metric is not None:
                attempt.log({"loss": metric[at]}, 0, 0.0)
            if test is not None:
                attempt.log({"test:error": test[at]}, 0, 0.0)
            state = TrialState.FAIL if value is None else TrialState.COMPLETE
            reason = EndReason.FAILED if value is None else EndReason.COMPLETE
            attempt.end(OutcomeState(reason))
            self.storage.set_trial_state_values(
                claim.trial_id, state, None if value is None else [value]
            )

    def found(self, **options: object) -> Replication:
        return replication("s", storage=self.storage, **options)  # type: ignore[arg-type]


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    storage = BookStorage(tmp_path / "book.db")
    yield Told(storage)
    storage.close()


def test_the_winners_curse_is_the_search_minus_the_mean(told: Told):
    told.place(BEST, 4)
    told.tell(0.90, 0.92, 0.94, 0.96)
    one = told.found().chosen
    estimate, gap = one.estimates[0], one.gaps[0]
    assert estimate.mean == pytest.approx(0.93)
    assert gap is not None
    assert gap.gap == pytest.approx(0.02)
    assert gap.below == 3
    assert estimate.interval is not None
    assert gap.interval is not None
    assert gap.interval.low == pytest.approx(0.95 - estimate.interval.high)
    assert gap.interval.high == pytest.approx(0.95 - estimate.interval.low)
    text = gap_text(told.found(), one, gap)
    assert "0.95, is 0.02 better than the mean of its 4 replicates, 0.93, and better than 3" in text
    assert "holds 0" in text
    several = replace(told.found(), objectives=("accuracy", "cost"))
    assert "value of best (trial 7) in accuracy, 0.95, is" in gap_text(several, one, gap)


def test_replicates_are_placed_claimed_and_found_on_each_database(storage: BookStorage):
    told = Told(storage)
    told.place(BEST, 2)
    told.place(BEST, 3)
    told.tell(0.90, 0.92, 0.94)
    assert storage.claim(told.study, only_waiting=True) is None
    assert told.found().chosen.estimates[0].mean == pytest.approx(0.92)
    told.place(BEST, 6)
    assert isinstance(storage.claim(told.study, only_waiting=True), Claim)
    assert withdraw(storage.book, told.study, 2) == Withdrawn(removed=2, begun=1)
    assert len(replicates(storage.book, told.study)) == 4


def test_where_less_is_better_the_gap_turns_round(tmp_path: Path):
    storage = BookStorage(tmp_path / "book.db")
    told = Told(storage, ["minimize"])
    told.place(BEST, 3)
    told.tell(1.00, 1.01, 1.02)
    gap = told.found().chosen.gaps[0]
    assert gap is not None
    assert gap.gap == pytest.approx(0.06)
    assert gap.below == 3
    assert gap.interval is not None
    assert 0 < gap.interval.low < 0.06 < gap.interval.high
    assert "optimistic" in gap_text(told.found(), told.found().chosen, gap)
    storage.close()


def test_configurations_are_compared_in_pairs_of_one_seed(told: Told):
    told.place(BEST, 3)
    told.place(DEFAULT, 3)
    told.tell(0.9, 0.95, 0.92, 0.8, 0.84, 0.83)
    found = told.found()
    (comparison,) = found.comparisons
    assert (comparison.first, comparison.second) == ("best (trial 7)", "default")
    assert comparison.difference.paired
    assert comparison.difference.mean == pytest.approx(0.1)
    assert "best (trial 7) is 0.1 better than default on average (3 pairs of one seed;" in (
        comparison_text(found, comparison)
    )
    assert found.configurations[1].gaps == (None,)
    assert comparison_table(found).rows[0][:5] == (
        "best (trial 7)",
        "default",
        "objective",
        3,
        True,
    )


def test_where_no_seed_is_shared_they_are_not_paired(told: Told):
    told.place(BEST, 2)
    told.place(DEFAULT, 3, first=5)
    told.tell(0.9, 0.95, 0.8, 0.84, 0.83)
    difference = told.found().comparisons[0].difference
    assert not difference.paired
    assert difference.mean == pytest.approx(0.925 - 0.8233333)


def test_failed_and_unfinished_replicates_are_counted_and_told(told: Told):
    told.place(BEST, 4)
    told.place(DEFAULT, 2)
    told.tell(0.9, None, 0.92)
    found = told.found()
    runs = found.chosen.runs
    assert (len(runs), runs.failed, runs.unfinished) == (4, 1, 1)
    assert found.chosen.estimates[0].count == 2
    assert (found.failed, found.unfinished) == (1, 3)
    assert "1 of 4 replicates of best (trial 7) did not complete and are in no mean." in found.notes
    assert "2 of 2 replicates of default are still to run." in found.notes
    assert [row[4] for row in run_table(found).rows] == [
        *("COMPLETE", "FAIL", "COMPLETE", "WAITING"),
        *("WAITING", "WAITING"),
    ]
    assert summary_table(found).rows[0][2:5] == (2, 1, 1)
    assert "cannot be compared" in comparison_text(found, found.comparisons[0])


def test_seeds_that_changed_nothing_are_told(told: Told):
    told.place(BEST, 3)
    told.tell(0.9, 0.9, 0.9, metric=[1.0, 1.0, 1.0])
    found = told.found()
    assert found.chosen.unchanged == "runs"
    assert found.notes[0].startswith(
        "The seeds changed nothing: all 3 replicates of best (trial 7)"
    )
    assert found.chosen.estimates[0].interval is None


def test_equal_values_of_other_metrics_are_told_apart_from_equal_runs(told: Told):
    told.place(BEST, 2)
    told.tell(0.9, 0.9, metric=[1.0, 1.5])
    found = told.found()
    assert found.chosen.unchanged == "values"
    assert "came to the same value" in found.notes[0]


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ((0.1, 0.97, 0.96, 0.97, 0.95), "between 0 and 1"),
        ((0.1, 7.0, 0.2, 0.1, 0.1), "at 0 or above"),
        ((0.93, 0.94, 0.95, 0.94, 0.93), None),
        ((-0.1, 0.97, 0.96, 0.97, 0.95), None),
    ],
)
def test_an_interval_that_leaves_where_all_values_lie_is_told(told: Told, values, where):
    told.place(BEST, 5)
    told.tell(*values)
    notes = told.found().notes
    assert told.found(method="bootstrap").notes == ()
    if where is None:
        assert notes == ()
        return
    (note,) = notes
    assert note.startswith(f"All values of best (trial 7) lie {where}, and the interval of their")
    other = estimate(np.array(values), method="bootstrap").interval
    assert other is not None
    assert min(values) <= other.low < other.high <= max(values)
    assert f"report the bootstrap's, {other.low:.4g} to {other.high:.4g} (95 %, boots" in note


def test_too_few_replicates_for_a_bootstrap_ask_for_more_seeds(told: Told):
    told.place(BEST, 3)
    told.tell(0.1, 0.97, 0.96)
    (note,) = told.found().notes
    assert note.endswith("the interval is too wide at that end: replicate under more seeds.")


def test_an_abandoned_replicate_makes_way_for_the_one_that_took_its_place(told: Told):
    told.place(BEST, 1)
    claim = told.storage.claim(told.study, only_waiting=True)
    assert isinstance(claim, Claim)
    attempt = told.storage.begin_attempt(claim.trial_id, snapshots=[], seeds=Seeds(0))
    attempt.end(OutcomeState(EndReason.ABANDONED))
    told.storage.set_trial_state_values(claim.trial_id, TrialState.FAIL)
    assert told.found().chosen.runs.unfinished == 1
    told.place(BEST, 1)
    told.tell(0.9)
    runs = told.found().chosen.runs
    assert (len(runs), runs.failed, runs.unfinished) == (1, 0, 0)


def test_test_metrics_are_shown_only_when_that_is_counted(told: Told):
    told.place(BEST, 2)
    told.tell(0.9, 0.92, metric=[1.0, 2.0], test=[0.2, 0.4])
    assert [metric.metric for metric in told.found().chosen.metrics] == ["loss"]
    reader = Reader(told.storage.book)
    study = reader.study("s")
    assert showings(told.storage.book, told.study) == ()
    (found,) = replications(reader, study, tests_by="a test")
    shown = [metric for metric in found.chosen.metrics if metric.is_test]
    assert [metric.metric for metric in shown] == ["test:error"]
    assert shown[0].estimate.mean == pytest.approx(0.3)
    assert [row[1] for row in metric_table(found).rows] == ["loss", "test:error"]
    (showing,) = showings(told.storage.book, told.study)
    assert showing.trials == (0, 1)
    seen = exposure(reader, study)
    assert (seen.trials, seen.text) == ((), "0 trials and 2 replicates")
    assert seen.first_s == showing.at_s


def test_a_study_without_replicates_says_how_to_make_some(told: Told):
    told.storage.create_new_study([StudyDirection.MINIMIZE], "alone")
    with pytest.raises(NotApplicableError, match=r"trialbook replicate .*alone/best"):
        replication("alone", storage=told.storage)
    with pytest.raises(NotFoundError):
        replication("nobody", storage=told.storage)


def test_several_linked_studies_are_named(told: Told):
    other = told.storage.create_new_study([StudyDirection.MAXIMIZE], "more")
    attrs = told.storage.get_study_system_attrs(told.study)
    told.storage.set_study_system_attr(other, REPLICATES, attrs[REPLICATES])
    told.place(BEST, 1)
    assert told.found().study == "s.replicates"  # the other one has no replicates yet
    told.storage.place_replicates(other, [Replicate(BEST, 0, 1)])
    with pytest.raises(NotApplicableError, match="name one: more, s.replicates"):
        told.found()
    assert replication("more", storage=told.storage).study == "more"


def test_replicates_that_asked_for_other_params_are_told(told: Told):
    told.place(replace(BEST, params=(GivenParam("x", 1, 1.0, "{}"),)), 2)
    told.tell(0.9, 0.92)
    assert (
        "2 of 2 replicates of best (trial 7) asked for other params than" in told.found().notes[0]
    )


def test_remarks_of_a_configuration_are_told(told: Told):
    told.place(replace(BEST, remarks=("trial 7 was recorded with other code",)), 1)
    assert "best (trial 7): trial 7 was recorded with other code." in told.found().notes
