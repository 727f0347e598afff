"""``trialbook reap``: what it ends, and what it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from trialbook.book.storage import BookStorage
from trialbook.capture.process import process_identity
from trialbook.cli.main import exit_code_of_command
from trialbook.records.workers import Claim, Holder
from trialbook.running.study import create_study

Reap = Callable[..., tuple[int, str, str]]


@pytest.fixture
def reap(capsys: pytest.CaptureFixture[str]) -> Reap:
    """Runs ``reap``; gives (exit code, stdout, stderr)."""

    def reap(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = exit_code_of_command(["reap", *arguments])
        return code, *capsys.readouterr()

    return reap


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A book with a trial of a process that has ended, and one of a process that lives."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRIALBOOK_STORAGE", raising=False)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    storage = BookStorage()
    study = create_study(storage=storage, study_name="s")
    for pid in (os.getpid(), ended.pid):
        worker = replace(process_identity(), pid=pid)
        storage.leases.register(worker, study._study_id)
        claim = storage.claim(study._study_id, holder=Holder(worker))
        assert isinstance(claim, Claim)
    storage.close()
    return tmp_path


def test_the_trial_of_an_ended_process_is_given_back(place: Path, reap: Reap) -> None:
    code, out, err = reap("s", "--format", "json")
    assert code == 0, err
    (only,) = json.loads(out)
    assert (only["study"], only["number"], only["attempt"], only["fate"]) == ("s", 1, 1, "retried")
    assert reap() == (0, "", "no worker is lost\n")


def test_it_is_shown_as_a_table(place: Path, reap: Reap) -> None:
    code, out, err = reap()
    assert code == 0, err
    header, row = out.splitlines()
    assert header.split() == ["TRIAL", "ATTEMPT", "WORKER", "FATE"]
    assert (row.split()[0], row.split()[-1]) == ("s/1", "retried")


def test_a_study_that_is_not_there_is_not_found(place: Path, reap: Reap) -> None:
    code, _, err = reap("t")
    assert code == 3
    assert "there is no study 't'" in err


def test_a_book_that_is_not_there_is_not_made(tmp_path: Path, reap: Reap) -> None:
    assert reap("--storage", str(tmp_path / "none.db"))[0] == 3
    assert not (tmp_path / "none.db").exists()
