"""What is counted over a whole study, on each database: failures, gaps, exclusions, selection."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial
from sqlalchemy import update

from trialbook import analysis
from trialbook.analysis.details import detail
from trialbook.analysis.exclusions import exclusions_of, numbers_text
from trialbook.analysis.failures import failures
from trialbook.analysis.gaps import gaps_of
from trialbook.analysis.isolation import IsolationUse, isolation_of
from trialbook.analysis.searches.search import search
from trialbook.analysis.selection import selection
from trialbook.book import schema
from trialbook.book.coordinate_rows import named_coordinates
from trialbook.book.identifying import identifying
from trialbook.book.launch_rows import launched
from trialbook.book.reading import Reader
from trialbook.book.removal import remove_trial
from trialbook.book.seals import sealed
from trialbook.book.storage import BookStorage
from trialbook.book.study_facts import SeededTrials, seeded, snapshot_uses
from trialbook.records.code import EntryPoint
from trialbook.records.config import ConfigState
from trialbook.records.coordinates import Kind, Snapshot
from trialbook.records.coverage import Coverage, Level
from trialbook.records.execution import EndReason, Isolation, LaunchState, OutcomeState, Seeds

from ..report.tracked import COMMIT, HOME, HOST, JOB, MARK, REMOTE, STUDY, USER, tracked


def test_a_tracked_study_is_counted(storage: BookStorage) -> None:
    tracked(storage)
    storage.create_new_trial(
        storage.get_study_id_from_name(STUDY), create_trial(state=TrialState.FAIL)
    )
    reader = Reader(storage.book)
    study_id = reader.study(STUDY).study_id
    first, second = failures(STUDY, storage=storage).groups
    assert (first.reason, first.exception, first.trials) == (
        "exception",
        "zqmarklab.errors.Diverged",
        (3,),
    )
    assert first.message.startswith("diverged in ")
    assert (second.reason, second.became, second.trials) == (None, "failed", (4,))
    assert failures(STUDY, storage=storage).unexplained == 1
    told = failures(STUDY, storage=storage).table(telling=False)
    assert "zqmark" not in str(told)
    assert "Diverged" in str(told)

    gaps = gaps_of(reader, search(STUDY, storage=storage))
    assert (gaps.trials, gaps.tracked, gaps.untracked, gaps.waiting) == (5, 4, 1, 0)
    assert [gaps.count(kind) for kind in Kind] == [4, 4, 4, 0, 4]
    assert gaps.count(Kind.ENVIRONMENT, Level.PARTIAL) == 4
    ((kind, level, trials, reason),) = gaps.reasons().rows
    assert (kind, level, trials) == ("environment", "partial", 4)
    assert str(reason).startswith("no driver")
    assert not gaps.complete(Kind.CODE), "one trial was not tracked"

    assert seeded(storage.book, study_id) == (
        (SeededTrials(7, None, ("random", "numpy"), 4),),
        4,
    )
    assert isolation_of(reader.study(STUDY), launched(storage.book, study_id)) == IsolationUse(
        "auto", {"fork": 4}
    )
    uses = snapshot_uses(storage.book, study_id)
    assert [(use.kind, use.trials) for use in uses] == [
        (kind, 4) for kind in Kind if kind is not Kind.EXECUTION
    ]
    assert sealed(storage.book, study_id).trials == 5

    found = identifying(storage.book, [study_id])
    assert (found.hosts, found.users) == ((HOST,), (USER,))
    assert JOB in found.jobs
    assert {HOME, f"{HOME}/data/train.csv", f"{HOME}/src/train.py"} <= set(found.paths)
    assert (found.remotes, found.commits) == ((REMOTE,), (COMMIT,))
    assert found.branches == (f"{USER}/fix",)
    assert (found.roots, found.files) == ((HOME,), ("train.py",))
    assert found.choices == ("adam", f"{HOME}/sgd")
    assert found.settings == (f"{HOME}/data", f"{MARK}repo")


@pytest.mark.parametrize(
    ("asked", "trials", "unsupervised", "text"),
    [
        ("auto", {}, 0, "auto"),
        ("auto", {"fork": 3}, 0, "a fork for each trial"),
        ("auto", {"none": 3}, 3, "none: in the process that called study.optimize"),
        (None, {"none": 3}, 3, "none: in the process that called study.optimize"),
        ("none", {"none": 3}, 0, "none: trials shared their worker's process"),
        (
            "auto",
            {"fork": 2, "none": 1},
            1,
            "a fork for each trial (2), none: in the process that called study.optimize (1)",
        ),
    ],
)
def test_how_trials_were_kept_apart_is_what_held_and_not_what_was_asked(
    asked: str | None, trials: dict[Isolation, int], unsupervised: int, text: str
) -> None:
    use = IsolationUse(asked, trials)
    assert (use.unsupervised, use.text) == (unsupervised, text)
    assert use.is_unsupervised == (0 < unsupervised == sum(trials.values()))


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        (float("nan"), "returned NaN"),
        ([1.0, float("nan")], "returned NaN"),
        (None, "returned None"),
        ([1.0, 2.0], "returned 2 values"),
        ("high", "returned no number"),
        (0.5, "failed"),  # whoever asked for the trial told that it failed
    ],
)
def test_a_trial_that_failed_for_what_it_returned_has_a_reason(
    tmp_path: Path, returned: object, reason: str
) -> None:
    storage = BookStorage(tmp_path / "book.db")
    study_id = storage.create_new_study([StudyDirection.MINIMIZE], "s")
    trial_id = storage.create_new_trial(study_id)
    attempt = storage.begin_attempt(trial_id, snapshots=[], seeds=Seeds(1))
    attempt.returned(returned)
    attempt.end(OutcomeState(EndReason.COMPLETE))
    storage.set_trial_state_values(trial_id, TrialState.FAIL)
    storage.flush()
    (group,) = failures("s", storage=storage).groups
    assert (group.reason, group.attempts) == (reason, 1)
    assert detail("s/0", storage=storage).unusable == ("" if reason == "failed" else reason)
    storage.close()


def test_trials_are_grouped_by_what_they_name_on_every_database(storage: BookStorage) -> None:
    study_id = storage.create_new_study([StudyDirection.MINIMIZE], "s")
    entry = EntryPoint("none", reason="typed")
    ways: tuple[Isolation, ...] = ("none", "fork", "none")
    names = []
    for pid, way in enumerate(ways):
        launch = LaunchState("host", None, pid, "", (), "", entry, {}, (), way)
        snapshot = Snapshot.of(Kind.EXECUTION, Coverage.of([]), launch)
        config = Snapshot.of(Kind.CONFIG, Coverage.of([]), ConfigState(resolved={"way": way}))
        names.append(config.digest)
        trial_id = storage.create_new_trial(study_id)
        storage.begin_attempt(trial_id, snapshots=[snapshot, config], seeds=Seeds(pid))
        storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
    storage.flush()
    assert [(one.isolation, one.trials) for one in launched(storage.book, study_id)] == [
        ("none", (0, 2)),
        ("fork", (1,)),
    ]
    found = named_coordinates(storage.book, study_id)
    assert [(one.digests.config, one.trials) for one in found] == [
        (names[0], (0, 2)),
        (names[1], (1,)),
    ]

    kept = schema.snapshot.c.document
    with storage.book.writing() as connection:
        connection.execute(
            update(schema.snapshot).where(kept.contains('"isolation":"fork"')).values(document="{")
        )
    (left,) = launched(storage.book, study_id)
    assert left.trials == (0, 2), "damaged, the other is of no known way"


def test_texts_that_look_like_the_end_of_a_coverage(storage: BookStorage) -> None:
    reason = 'said ,"kind":"code" and \\",\\"kind\\":'
    snapshot = Snapshot.of(Kind.CONFIG, Coverage.of([reason]), ConfigState())
    study_id = storage.create_new_study([StudyDirection.MINIMIZE], "odd")
    trial_id = storage.create_new_trial(study_id)
    attempt = storage.begin_attempt(trial_id, snapshots=[snapshot], seeds=Seeds(1))
    attempt.end(OutcomeState(EndReason.COMPLETE))
    storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
    storage.flush()
    gaps = gaps_of(Reader(storage.book), search("odd", storage=storage))
    by_kind = {use.kind: use.coverage for use in gaps.uses}
    assert by_kind[Kind.CONFIG] == Coverage.of([reason])
    assert by_kind[Kind.CODE] == Coverage.absent("nothing was captured")


def test_every_trial_is_selectable_or_excluded_for_one_reason(storage: BookStorage) -> None:
    study = optuna.create_study(storage=storage, study_name="s", direction="maximize")
    for value in (0.5, 2.0, 2.0, float("inf"), 1.0):
        study.add_trial(create_trial(value=value))
    for state in (TrialState.FAIL, TrialState.PRUNED, TrialState.RUNNING, TrialState.WAITING):
        study.add_trial(create_trial(state=state))
    broken = create_trial(value=9.0, system_attrs={"constraints": [0.5]})
    study.add_trial(broken)
    storage.flush()
    remove_trial(storage.book, Reader(storage.book).trial("s/3"))
    found = search("s", storage=storage)
    left = exclusions_of(Reader(storage.book), found)
    assert left.trials == 10
    excluded = [number for group in left.groups for number in group.trials]
    eligible = found.numbers[found.eligible].tolist()
    assert sorted(excluded + eligible) == list(range(10))
    assert left.eligible == len(eligible) == 4
    assert [one.number for one in left.deleted] == [3]
    chosen = selection(found)
    assert (chosen.number, chosen.value, chosen.ties) == (1, 2.0, (2,))
    assert (chosen.next_number, chosen.next_value, chosen.candidates) == (4, 1.0, 4)
    assert chosen.number == analysis.best("s", storage=storage)[0].number
    assert "highest" in chosen.rule[0]


@given(st.sets(st.integers(0, 60)), st.integers(1, 8))
def test_numbers_are_listed_in_runs(numbers: set[int], named: int) -> None:
    text = numbers_text(sorted(numbers), named)
    listed, _, more = text.partition(" and ")
    found = set()
    for part in filter(None, listed.split(", ")):
        low, _, high = part.partition("-")
        found |= set(range(int(low), int(high or low) + 1))
    assert found == set(sorted(numbers)[: len(found)])
    assert len(found) + (int(more.split()[0]) if more else 0) == len(numbers)


def test_numbers_as_people_read_them() -> None:
    assert numbers_text([]) == ""
    assert numbers_text([0, 3, 4, 5, 7, 8]) == "0, 3-5, 7, 8"
    assert numbers_text([1, 3, 5], named=2) == "1, 3 and 1 more"


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_a_study_without_candidates_selects_nothing(storage: BookStorage, direction: str) -> None:
    optuna.create_study(storage=storage, study_name="none", direction=direction)
    chosen = selection(search("none", storage=storage))
    assert (chosen.number, chosen.value, chosen.ties, chosen.candidates) == (None, None, (), 0)
