"""Trials that ran with other code, data or configuration, as records say it and pages tell it.

The study ``digits`` was run twice by ``study.optimize``; between, a file of the code, the data and
the configuration were edited. No worker was there, so no trial carries a mark of itself.
"""

from __future__ import annotations

import csv
import io
import json

import pytest

from trialbook import analysis
from trialbook.book.storage import BookStorage
from trialbook.cli.main import exit_code_of_command
from trialbook.records.code import EntryPoint
from trialbook.records.coordinates import Kind, Snapshot
from trialbook.records.coverage import Coverage
from trialbook.records.data import DataState, InputState
from trialbook.records.execution import LaunchState, Seeds

EDITED = {"code: search.py", "config: model.epochs 5 -> 6"}
KINDS = ("code (", "data (", "config (")


def _page(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert exit_code_of_command([*arguments]) == 0
    return capsys.readouterr().out


def test_edits_between_two_runs_are_found_in_the_records(recorded):
    found = analysis.coordinate_changes("digits", storage=recorded.storage)

    assert analysis.differing("digits", storage=recorded.storage) == ()
    assert found.reference is not None
    assert found.reference.text == "trial 3, the best"
    assert found.tracked == 8
    (group,) = found.groups
    assert group.trials == (4, 5, 6, 7)
    assert set(group.texts) >= EDITED
    assert group.weighs
    assert group.said(Kind.DATA).startswith("train (sha256:")
    assert group.said(Kind.CODE, anonymous=True) == "1 difference"
    assert found.unknown == {}
    assert found.changed((Kind.DATA,)) == 4
    assert found.changed((Kind.ENVIRONMENT,)) == 0
    for kind in (Kind.CODE, Kind.DATA, Kind.CONFIG):
        versions = found.versions[kind]
        assert [version.trials for version in versions] == [(0, 1, 2, 3), (4, 5, 6, 7)]
        assert not versions[0].differences
    assert len(found.versions[Kind.ENVIRONMENT]) == 1


def test_every_page_tells_them(recorded, capsys):
    at = ("--storage", recorded.storage)

    page = _page(capsys, "show", "digits", *at)
    assert "differing   4 trials: code (search.py)" in page
    assert "against trial 3, the best" in page
    assert "differs     from trial 3, the best: code (search.py)" in _page(
        capsys, "show", "digits/5", *at
    )
    assert "differs" not in _page(capsys, "show", "digits/0", *at)
    rows = list(
        csv.DictReader(io.StringIO(_page(capsys, "show", "digits", "--format", "csv", *at)))
    )
    assert [bool(row["differs"]) for row in rows] == [False] * 4 + [True] * 4
    assert all(kind in rows[4]["differs"] for kind in KINDS)
    ranked = csv.DictReader(io.StringIO(_page(capsys, "best", "digits", "--format", "csv", *at)))
    assert [bool(row["differs"]) for row in ranked] == [False] * 2 + [True] * 3
    document = json.loads(_page(capsys, "show", "digits", "--format", "json", *at))
    assert document["changes"]["against"] == 3
    assert document["changes"]["groups"][0]["trials"] == [4, 5, 6, 7]


def test_a_frame_has_them(recorded):
    frame = analysis.frame("digits", storage=recorded.storage)

    assert [bool(text) for text in frame["differs"]] == [False] * 4 + [True] * 4


def test_a_comparison_tells_them(recorded):
    found = analysis.compare(["digits", "empty"], storage=recorded.storage)

    assert found.studies[0].mixed == 4
    assert (
        "Trials ran with another objective, code, data or configuration than the best one of "
        "their study: "
        "4 of digits."
    ) in found.notes


def _data(digest: str, name: str = "train") -> Snapshot:
    state = InputState(name, "file", f"/{name}.csv", f"/{name}.csv", digest * 64, 1)
    return Snapshot.of(Kind.DATA, Coverage.of(()), DataState((state,)))


def test_without_a_best_trial_the_first_is_held_against(storage: BookStorage):
    from optuna.study import StudyDirection

    study_id = storage.create_new_study([StudyDirection.MINIMIZE], "running")
    for digest in ("a", "b", "b", "a"):
        trial_id = storage.create_new_trial(study_id)
        storage.begin_attempt(trial_id, snapshots=[_data(digest)], seeds=Seeds(trial=1))
    storage.begin_attempt(storage.create_new_trial(study_id), snapshots=[], seeds=Seeds(trial=1))
    storage.create_new_trial(study_id)
    storage.flush()

    found = analysis.coordinate_changes("running", storage=storage.url)
    assert found.reference is not None
    assert found.reference.text == "trial 0, the first that was tracked"
    assert [group.trials for group in found.groups] == [(1, 2)]
    assert found.groups[0].texts == ("data: train (sha256:aaaaaaaa -> sha256:bbbbbbbb)",)
    assert found.tracked == 5
    assert found.unknown[Kind.DATA] == (4,)
    assert found.unknown[Kind.CODE] == found.unknown[Kind.EXECUTION] == (0, 1, 2, 3, 4)


def test_objectives_of_one_file_and_arguments_of_a_program_are_told_apart(
    storage: BookStorage, capsys: pytest.CaptureFixture[str]
):
    from optuna.study import StudyDirection
    from optuna.trial import TrialState

    study_id = storage.create_new_study([StudyDirection.MINIMIZE], "scripts")
    script = ("python", "tune.py", "--model", "a", "--trials", "3")
    runs = [
        ("easy", script),
        ("easy", (*script[:-1], "9")),
        ("hard", script),
        ("easy", ("python", "/lib/trialbook/running/start.py", "child", "6", "1107")),
        ("easy", script),
    ]
    for pid, (name, argv) in enumerate(runs):
        entry = EntryPoint("script", path="tune.py", name=name)
        launch = LaunchState("host", None, pid, "", argv, "", entry, {}, (), "none")
        trial_id = storage.create_new_trial(study_id)
        snapshot = Snapshot.of(Kind.EXECUTION, Coverage.of(()), launch)
        storage.begin_attempt(trial_id, snapshots=[snapshot], seeds=Seeds(trial=pid))
        storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [float(pid)])
    storage.flush()

    found = analysis.coordinate_changes("scripts", storage=storage.url)
    assert found.reference is not None
    assert found.reference.text == "trial 0, the best"
    assert [(group.trials, group.texts, group.weighs) for group in found.groups] == [
        ((1,), ("execution: arguments --trials 3 -> --trials 9",), False),
        ((2,), ("execution: objective tune.py:easy -> tune.py:hard",), True),
    ]
    assert found.of_another_problem((Kind.CODE,)) == 1
    assert Kind.EXECUTION not in found.unknown
    assert [row.differs for row in analysis.trial_rows("scripts", storage=storage.url)] == [
        (),
        ("execution: arguments --trials 3 -> --trials 9",),
        ("execution: objective tune.py:easy -> tune.py:hard",),
        (),
        (),
    ]
    page = _page(capsys, "show", "scripts/2", "--storage", storage.url)
    assert "differs     from trial 0, the best: execution (objective tune.py:easy ->" in page


def test_of_a_study_that_nobody_tracked_nothing_is_known(recorded):
    found = analysis.coordinate_changes("empty", storage=recorded.storage)

    assert (found.reference, found.tracked, found.groups) == (None, 0, ())
