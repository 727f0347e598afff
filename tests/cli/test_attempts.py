"""``show`` on trials that were tried again: the whole history, and what of it counts."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState

from trialbook import analysis
from trialbook.book.attempt import Attempt
from trialbook.book.storage import BookStorage
from trialbook.cli.main import exit_code_of_command
from trialbook.errors import NotFoundError, TrialbookWarning
from trialbook.records.checkpoints import Told
from trialbook.records.execution import EndReason, OutcomeState, Seeds
from trialbook.records.retries import RetryBudgets
from trialbook.records.study import StudySpec
from trialbook.records.workers import Claim, Holder, WorkerIdentity

ONE = WorkerIdentity("a" * 32, "one\x1b[31m", 11)
TWO = WorkerIdentity("b" * 32, "two", 12)
DEATH = OutcomeState(EndReason.LOST, signal="SIGKILL", died=True)


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[BookStorage]:
    storage = BookStorage(tmp_path / "book.db")
    yield storage
    storage.close()


@pytest.fixture
def study_id(storage: BookStorage) -> int:
    study_id = storage.create_new_study([StudyDirection.MINIMIZE], "digits")
    storage.set_study_spec(study_id, StudySpec(retries=RetryBudgets(backoff_s=0.0)))
    for worker in (ONE, TWO):
        storage.leases.register(worker, study_id)
    return study_id


@pytest.fixture
def elsewhere(storage: BookStorage, tmp_path: Path) -> Iterator[BookStorage]:
    elsewhere = BookStorage(tmp_path / "book.db")
    yield elsewhere
    elsewhere.close()


@pytest.fixture
def show(storage, tmp_path, capsys):
    def show(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        place = str(tmp_path / "book.db")
        code = exit_code_of_command(["show", *arguments, "--storage", place])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return show


def _begun(
    storage: BookStorage, study_id: int, worker: WorkerIdentity, lease_s: float = 60.0
) -> Attempt:
    claim = storage.claim(study_id, holder=Holder(worker, lease_s))
    assert isinstance(claim, Claim)
    return storage.begin_attempt(
        claim.trial_id, snapshots=[], seeds=Seeds(trial=1), claimed=claim.attempt
    )


@pytest.fixture
def late(storage: BookStorage, elsewhere: BookStorage, study_id: int) -> None:
    """Trial 0: attempt 1 was reaped and reported 7.0 late; attempt 2 made the result, 2.0."""
    first = _begun(storage, study_id, ONE, lease_s=-1.0)
    assert len(elsewhere.reap()) == 1
    second = _begun(elsewhere, study_id, TWO)
    first.log({"loss\x1b]0;": 7.5}, 4, 0.0)
    first.returned(7.0)
    with pytest.warns(TrialbookWarning, match="does not count"):
        storage.set_trial_state_values(first.trial_id, TrialState.COMPLETE, [7.0])
    second.log({"loss": 2.5}, 9, 0.0)
    second.returned(2.0)
    elsewhere.set_trial_state_values(second.trial_id, TrialState.COMPLETE, [2.0])


def test_a_late_report_is_shown_as_not_counted(late, show):
    code, out, err = show("digits/0")
    assert (code, err) == (0, "")
    assert re.search(r"values +2\.0\n", out)
    assert "shown" not in out
    history = out[out.index("ATTEMPTS") :]
    assert re.search(r"^ +1  .* lost +one\\x1b\[31m +11  its worker gave no sign", history, re.M)
    assert re.search(r"^ +2  .* complete +two +12$", history, re.M)
    line = "attempt 1 does not count; it reported: returned 7.0, loss\\x1b]0; 7.5 at step 4"
    assert line in history
    assert "attempt 2 does not count" not in out
    assert re.search(r"^  loss +1 +2\.5", out, re.M)
    assert "\x1b" not in out


def test_another_attempt_can_be_looked_at(late, show, storage):
    out = show("digits/0", "--attempt", "1")[1]
    assert "shown       attempt 1; its result is not the trial's" in out
    assert re.search(r"^  loss\\x1b\]0; +1 +7\.5", out, re.M)
    assert not re.search(r"^  loss +1 +2\.5", out, re.M)
    assert show("digits/0", "--attempt", "2")[1] == show("digits/0")[1]
    code, _, err = show("digits/0", "--attempt", "3")
    assert (code, err.splitlines()[0]) == (3, "error: digits/0 has no attempt 3")
    assert show("digits", "--attempt", "1")[0] == 2
    detail = analysis.detail("digits/0", attempt=1, storage=storage)
    assert (detail.attempt.number, detail.counts) == (1, False)
    with pytest.raises(NotFoundError, match="no attempt 3"):
        analysis.detail("digits/0", attempt=3, storage=storage)


def test_json_and_csv_say_the_same(late, show):
    document = json.loads(show("digits/0", "--format", "json")[1])
    first, second = document["trial"]["attempts"]
    assert (first["counts"], second["counts"]) == ("nothing", "all")
    assert (first["returned"], first["end_reason"]) == (7.0, "lost")
    assert (first["host"], first["pid"]) == ("one\x1b[31m", 11)
    assert document["attempt"] == 2
    rows = list(csv.DictReader(io.StringIO(show("digits/0", "--format", "csv")[1])))
    facts = {(row["section"], row["name"], row["field"]): row["value"] for row in rows}
    assert facts["attempt", "1", "counts"] == "nothing"
    assert facts["attempt", "1", "returned"] == "7.0"
    assert facts["attempt", "2", "end"] == "complete"
    assert facts["attempt", "1", "message"].startswith("its worker gave no sign")


def test_one_ordinary_attempt_is_one_line(storage, study_id, show):
    attempt = _begun(storage, study_id, TWO)
    attempt.log({"loss": 1.0}, 0, 0.0)
    storage.set_trial_state_values(attempt.trial_id, TrialState.COMPLETE, [1.0])
    out = show("digits/0")[1]
    history = out[out.index("ATTEMPTS") :].splitlines()
    assert history[1].split() == ["ATTEMPT", "STARTED", "DURATION", "END", "HOST", "DETAIL"]
    assert len(history) == 3
    study = show("digits")[1]
    assert "retries" not in study
    assert "quarantine" not in study


def test_retries_and_quarantine_are_told(storage, study_id, show):
    for _ in range(3):
        storage.end_dead_attempt(_begun(storage, study_id, ONE).trial_id, DEATH)
    preempted = OutcomeState(EndReason.PREEMPTED, signal="SIGTERM")
    storage.end_dead_attempt(_begun(storage, study_id, TWO).trial_id, preempted)
    died = "3 processes that ran this trial died without a word"

    out = show("digits")[1]
    assert "1 trial to be tried again; attempts without a result: 3 lost, 1 preempted" in out
    assert re.search(r"quarantine +trial 0\n", out)
    document = json.loads(show("digits", "--format", "json")[1])
    assert document["endings"] == {"lost": 3, "preempted": 1}
    assert document["quarantined"] == [{"number": 0, "reason": died}]
    assert [retry["number"] for retry in document["retries"]] == [1]
    out = show("digits/0")[1]
    assert re.search(rf"quarantine +{died}\n", out)
    assert len(re.findall(r" lost +one\S+ +11  SIGKILL$", out, re.M)) == 3
    # Trial 1 waits: its second attempt has not begun, so the first is shown.
    out = show("digits/1")[1]
    assert "shown       attempt 1; its result is not the trial's" in out
    assert re.search(r"preempted +two +12  SIGTERM$", out, re.M)


def test_what_is_said_of_an_end_is_said_once(storage, study_id, show):
    for message in ("its process was killed by SIGKILL", "no \x1b[5m word"):
        lost = OutcomeState(EndReason.LOST, signal="SIGKILL", message=message)
        storage.end_dead_attempt(_begun(storage, study_id, ONE).trial_id, lost)
    out = show("digits/0")[1]
    assert re.search(r" +11  its process was killed by SIGKILL$", out, re.M)
    assert re.search(r" +11  SIGKILL, no \\x1b\[5m word$", out, re.M)


def test_what_was_gone_on_from_counts_up_to_its_checkpoint(storage, study_id, show, tmp_path):
    first = _begun(storage, study_id, ONE)
    first.log({"loss": 3.0}, 0, 0.0)
    (tmp_path / "model").write_bytes(b"model")
    first.save_checkpoint(tmp_path / "model", Told({}, {}, {}))
    first.log({"loss": 9.0}, 1, 0.0)
    storage.flush()
    storage.end_dead_attempt(first.trial_id, DEATH)
    place = tmp_path / "restored"
    place.mkdir()
    second = _begun(storage, study_id, TWO)
    assert second.load_checkpoint(lambda: place).path is not None
    second.log({"loss": 2.0}, 1, 0.0)
    storage.set_trial_state_values(second.trial_id, TrialState.COMPLETE, [2.0])
    shutil.rmtree(place)

    out = show("digits/0")[1]
    assert "attempt 1 counts up to its checkpoint 1; it reported: loss 9.0 at step 1" in out
    assert re.search(r"^  loss +2 +2\.0 +2\.0 +3\.0 +0\.\.1$", out, re.M)
    assert re.search(r"^  loss +2 +9\.0", show("digits/0", "--attempt", "1")[1], re.M)
    attempts = json.loads(show("digits/0", "--format", "json")[1])["trial"]["attempts"]
    assert [a["counts"] for a in attempts] == ["up to its checkpoint 1", "all"]
