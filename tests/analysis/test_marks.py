"""Trials that differ from their study, as every page tells them, on both databases."""

from __future__ import annotations

import csv
import io
import json

import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState

from trialbook import analysis
from trialbook.book.marks import MarkedTrial
from trialbook.book.storage import BookStorage
from trialbook.cli.main import exit_code_of_command
from trialbook.errors import NotFoundError
from trialbook.records.code import EntryPoint
from trialbook.records.coordinates import Kind, Snapshot
from trialbook.records.coverage import Coverage
from trialbook.records.execution import EndReason, LaunchState, OutcomeState, Seeds
from trialbook.records.workers import Claim, Holder, WorkerIdentity

RIGHT, WRONG = WorkerIdentity("a" * 32, "one", 11), WorkerIdentity("b" * 32, "two", 12)
MARK = ("code: train.py", "environment: numpy 2.1.0 -> 2.2.0")
SHOWN = "code (train.py), environment (numpy 2.1.0 -> 2.2.0)"


def _launch(pid: int, *differs: str) -> Snapshot:
    state = LaunchState(
        host="here",
        user=None,
        pid=pid,
        python="/python",
        argv=('--say "differs":["code: nothing"]',),
        cwd="/",
        entry=EntryPoint("none"),
        bases={},
        sys_path=(),
        isolation="fork",
        differs=differs,
    )
    return Snapshot.of(Kind.EXECUTION, Coverage.of(()), state)


def _trial(storage: BookStorage, study_id: int, worker: WorkerIdentity, *differs: str) -> int:
    claim = storage.claim(study_id, holder=Holder(worker, 600.0))
    assert isinstance(claim, Claim)
    storage.begin_attempt(
        claim.trial_id,
        snapshots=[_launch(100 + claim.number, *differs)],
        seeds=Seeds(trial=1),
        claimed=claim.attempt,
    )
    return claim.trial_id


def _finished(storage: BookStorage, trial_id: int, value: float) -> None:
    attempt = storage.held_attempt(trial_id)
    assert attempt is not None
    attempt.end(OutcomeState(EndReason.COMPLETE), ())
    storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [value])


@pytest.fixture
def url(storage: BookStorage) -> str:
    """A study of four trials, of which 1 and 3 differ; 3 still runs."""
    study_id = storage.create_new_study([StudyDirection.MINIMIZE], "digits")
    other_id = storage.create_new_study([StudyDirection.MINIMIZE], "other")
    for worker in (RIGHT, WRONG):
        storage.leases.register(worker, study_id)
    _finished(storage, _trial(storage, study_id, RIGHT), 2.0)
    _finished(storage, _trial(storage, study_id, WRONG, *MARK), 1.0)
    _finished(storage, _trial(storage, study_id, RIGHT), 3.0)
    _trial(storage, study_id, WRONG, *MARK)
    _finished(storage, _trial(storage, other_id, RIGHT), 3.0)
    storage.flush()
    return storage.url


def _command(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert exit_code_of_command([*arguments]) == 0
    return capsys.readouterr().out


def test_the_trials_that_differ_are_named_with_what(url: str) -> None:
    expected = (
        MarkedTrial(1, WRONG.worker_id, MARK),
        MarkedTrial(3, WRONG.worker_id, MARK),
    )

    assert analysis.differing("digits", storage=url) == expected
    assert analysis.status("digits", storage=url).differing == expected
    assert analysis.differing("other", storage=url) == ()
    with pytest.raises(NotFoundError):
        analysis.differing("nothing", storage=url)


def test_rows_details_and_differences_say_it(url: str) -> None:
    rows = {row.number: row.differs for row in analysis.trial_rows("digits", storage=url)}

    assert rows == {0: (), 1: MARK, 2: (), 3: MARK}
    assert analysis.detail("digits/1", storage=url).differs == MARK
    assert analysis.detail("digits/0", storage=url).differs == ()
    found = analysis.diff("digits/0", "digits/1", storage=url).execution
    assert [(d.what, d.recorded, d.here) for d in found] == [
        ("differs from the study", None, "; ".join(MARK))
    ]


def test_a_frame_has_it_in_a_column(url: str) -> None:
    frame = analysis.frame("digits", storage=url)

    assert frame["differs"].tolist() == ["", SHOWN, "", SHOWN]


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (("show", "digits/1"), f"differs     from the study: {SHOWN}"),
        (("show", "digits"), f"differing   2 trials: {SHOWN}"),
        (("status", "digits"), f"differing   2 trials: {SHOWN}"),
        (("best", "digits"), SHOWN),
        (("diff", "digits/0", "digits/1"), "code: train.py; environment: numpy 2.1.0 -> 2.2.0"),
    ],
)
def test_pages_say_it_plainly(
    arguments: tuple[str, ...], shown: str, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    page = _command(capsys, *arguments, "--storage", url)

    assert shown in page


@pytest.mark.parametrize("arguments", [("show", "other"), ("best", "other"), ("status", "other")])
def test_pages_of_a_study_without_such_trials_say_nothing(
    arguments: tuple[str, ...], url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "differ" not in _command(capsys, *arguments, "--storage", url).lower()


def test_json_and_csv_have_it_too(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    def loaded(*arguments: str) -> object:
        return json.loads(_command(capsys, *arguments, "--format", "json", "--storage", url))

    assert loaded("show", "digits/1")["differs"] == list(MARK)
    study = loaded("show", "digits")
    assert [trial["differs"] for trial in study["trials"]] == [[], list(MARK), [], list(MARK)]
    assert [trial["number"] for trial in study["differing"]] == [1, 3]
    assert loaded("status", "digits")["differing"] == study["differing"]
    assert loaded("best", "digits")[0]["differs"] == list(MARK)
    table = _command(capsys, "show", "digits", "--format", "csv", "--storage", url)
    assert [row["differs"] for row in csv.DictReader(io.StringIO(table))] == ["", SHOWN, "", SHOWN]
    facts = _command(capsys, "show", "digits/1", "--format", "csv", "--storage", url)
    assert f"trial,digits/1,differs,{MARK[0]}" in facts
    facts = _command(capsys, "status", "digits", "--format", "csv", "--storage", url)
    assert f"differing,3,differs,{MARK[1]}" in facts
