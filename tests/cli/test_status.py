"""``status`` on a book that workers have left in every state, and while it is watched."""

from __future__ import annotations

import csv
import io
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState

from trialbook.book.storage import BookStorage
from trialbook.cli.main import exit_code_of_command
from trialbook.records.config import SearchSettings
from trialbook.records.execution import EndReason, OutcomeState, Seeds
from trialbook.records.retries import RetryBudgets
from trialbook.records.study import StudySpec
from trialbook.records.workers import Claim, Holder, WorkerIdentity

from ..terminals import OnTerminal

ODD = "a/\x1b[31m<script>\u202e =x"
ONE = WorkerIdentity("a" * 32, "=one\x1b]0;title\x07", 11, launcher="slurm", job="7\x1b7")
TWO = WorkerIdentity("b" * 32, "two", 12)
GONE = WorkerIdentity("c" * 32, "gone", 13)


@dataclass(frozen=True)
class Busy:
    """A study with work going on, and one without any."""

    path: Path
    storage: BookStorage
    study_id: int


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[Busy]:
    """Trial 0 complete, 1 in quarantine, 2 waits, 3 held by ONE, 4 by TWO, whose lease is over."""
    storage = BookStorage(tmp_path / "book.db")
    storage.create_new_study([StudyDirection.MINIMIZE], "empty")
    study_id = storage.create_new_study([StudyDirection.MINIMIZE], ODD)
    retries = RetryBudgets(backoff_s=0.0)
    spec = StudySpec(retries=retries, search=SearchSettings(trials=9))
    storage.set_study_spec(study_id, spec)
    for worker in (ONE, TWO, GONE):
        storage.leases.register(worker, study_id)

    def claimed(worker: WorkerIdentity, lease_s: float = 600.0) -> int:
        claim = storage.claim(study_id, holder=Holder(worker, lease_s))
        assert isinstance(claim, Claim)
        storage.begin_attempt(
            claim.trial_id, snapshots=[], seeds=Seeds(trial=1), claimed=claim.attempt
        )
        return claim.trial_id

    storage.set_trial_state_values(claimed(GONE), TrialState.COMPLETE, [1.0])
    died = OutcomeState(EndReason.LOST, signal="SIGKILL", died=True)
    for _ in range(3):
        storage.end_dead_attempt(claimed(GONE), died)
    storage.leases.leave(GONE.worker_id)
    storage.set_study_spec(study_id, replace(spec, retries=RetryBudgets(backoff_s=400.0)))
    memory = OutcomeState(EndReason.OUT_OF_MEMORY, exit_code=137, message="no \x1b[5m memory")
    storage.end_dead_attempt(claimed(ONE), memory)
    claimed(ONE)
    claimed(TWO, lease_s=-30.0)
    storage.create_new_trial(study_id)
    yield Busy(tmp_path / "book.db", storage, study_id)
    storage.close()


@pytest.fixture
def run(busy, capsys):
    """Runs ``status`` on the busy book; gives (exit code, stdout, stderr)."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = exit_code_of_command(["status", *arguments, "--storage", str(busy.path)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_the_page_says_what_goes_on_and_what_waits(run):
    code, out, err = run(ODD)
    assert (code, err) == (0, "")
    assert "6: 1 complete, 1 fail, 3 running, 1 waiting" in out
    assert re.search(r"budget +9 trials, 7 to go \(4 of them begun\)", out)
    assert re.search(r"workers +1 working, 1 silent, 1 left\n", out)
    assert re.search(r"=one\S+ +11  slurm 7\\x1b7 +working .* 3 +1 .* min \d\d s +0", out)
    assert re.search(r"^  two +12  local +silent .* 4 +1 .* over for 3\d s", out, re.MULTILINE)
    assert "  gone " not in out.partition("COMPUTE")[0]
    assert re.search(r"^ +2 +2  out_of_memory  1 of 1  in \d min .*exit 137", out, re.MULTILINE)
    assert "3 processes that ran this trial died without a word" in out
    assert "trial 5; only the program that asked for it ends it" in out
    assert "trial 4, attempt 1: process 12 on two gave no sign of life; over for 3" in out
    assert "trialbook reap 'a/\\x1b[31m<script>\\u202e =x'" in out
    assert re.search(r"^  gone +13 .* left", run(ODD, "--all")[1], re.MULTILINE)


def test_ls_hints_at_leases_that_are_over(busy, capsys):
    assert exit_code_of_command(["ls", "--storage", str(busy.path)]) == 0
    (hint,) = capsys.readouterr().err.splitlines()
    assert "=x': 1 trial RUNNING without a sign of life from the worker; 'trialbook reap'" in hint


def test_json_and_csv_have_everything(run):
    document = json.loads(run(ODD, "--format", "json")[1])
    assert document["study"] == ODD
    assert document["states"]["RUNNING"] == 3
    workers = {worker["worker"]["pid"]: worker for worker in document["workers"]}
    assert {pid: worker["state"] for pid, worker in workers.items()} == {
        11: "working", 12: "silent", 13: "left",
    }  # fmt: skip
    assert workers[11]["holds"][0]["number"] == 3
    assert workers[13]["finished"] == 1
    assert document["retries"][0]["use"] == {"cause": "out_of_memory", "used": 1, "budget": 1}
    assert document["retries"][0]["last"]["message"] == "no \x1b[5m memory"
    assert [trial["number"] for trial in document["expired"]] == [4]
    assert (document["unleased"], document["quarantined"][0]["number"]) == ([5], 1)
    assert document["endings"] == {"lost": 3, "complete": 1, "out_of_memory": 1}
    rows = list(csv.DictReader(io.StringIO(run(ODD, "--format", "csv")[1])))
    facts = {(row["section"], row["name"], row["field"]): row["value"] for row in rows}
    assert (
        facts["budget", ODD.replace("\x1b", "\\x1b").replace("\u202e", "\\u202e"), "to_go"] == "7"
    )
    assert facts["worker", TWO.worker_id, "state"] == "silent"
    assert facts["worker", ONE.worker_id, "host"] == "'=one\\x1b]0;title\\x07"
    assert float(facts["held", "4", "lease_left_s"]) <= -30
    assert facts["retry", "2", "reason"] == "out_of_memory"


@pytest.mark.parametrize("form", ["table", "json", "csv"])
@pytest.mark.parametrize("study", ["empty", ODD])
def test_nothing_recorded_reaches_a_terminal_raw(run, study, form):
    code, out, err = run(study, "--all", "--format", form)
    assert (code, err) == (0, "")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", out)


def test_an_empty_study_is_one_short_page(run):
    _, out, _ = run("empty")
    assert out.splitlines() == [
        "empty",
        "  trials      none",
        "  budget      none",
        "  throughput  no tracked trial has finished",
    ]


def test_what_cannot_be_asked_is_usage(run):
    assert run("nothing")[0] == 3
    code, _, err = run("--watch", "empty")
    assert (code, "write the study before --watch" in err) == (2, True)
    assert run("empty", "--watch=0")[0] == 2
    assert run("empty", "--watch", "--format", "csv")[0] == 2


def _finish_one(busy: Busy) -> None:
    claim = busy.storage.claim(busy.study_id, holder=Holder(ONE, 600.0))
    assert isinstance(claim, Claim)
    busy.storage.begin_attempt(
        claim.trial_id, snapshots=[], seeds=Seeds(trial=1), claimed=claim.attempt
    )
    busy.storage.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, [0.0])


def _watch(busy: Busy) -> tuple[str, ...]:
    return ("status", ODD, "--watch=0.1", "--storage", str(busy.path))


def test_watching_as_json_is_an_object_a_line_until_interrupted(busy):
    process = subprocess.Popen(
        [sys.executable, "-m", "trialbook", *_watch(busy), "--format", "json"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    assert first["states"]["COMPLETE"] == 1
    _finish_one(busy)
    deadline = time.monotonic() + 120
    while json.loads(process.stdout.readline())["states"]["COMPLETE"] != 2:
        assert time.monotonic() < deadline
    process.send_signal(signal.SIGINT)
    rest, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, b"")
    assert all(json.loads(line)["study"] == ODD for line in rest.splitlines())


def test_watching_changes_one_page_on_a_terminal(busy):
    with OnTerminal(*_watch(busy), columns=100) as terminal:
        assert "1 complete" in terminal.shows("Ctrl-C ends the watch")
        _finish_one(busy)
        shown = terminal.shows("2 complete")
        assert "\x1b[1A" in shown
        for raw in ("\x1b]0;", "\x1b[5m", "\x1b7", "\u202e"):
            assert raw not in shown
        terminal.type("\x03")
        assert terminal.ends()[0] == 0
