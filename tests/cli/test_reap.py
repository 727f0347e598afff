"""``trialbook reap``: what it ends, and what it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from trialbook.book.storage import BookStorage
from trialbook.capture.process import process_identity
from trialbook.records.workers import Claim, Holder
from trialbook.running.study import create_study

START = [sys.executable, "-c", "from trialbook.cli.main import main; main()", "reap"]


def reap(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*START, *arguments], capture_output=True, text=True, check=False)


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


def test_the_trial_of_an_ended_process_is_given_back(place: Path) -> None:
    found = reap("s", "--format", "json")
    assert found.returncode == 0, found.stderr
    (only,) = json.loads(found.stdout)
    assert (only["study"], only["number"], only["attempt"], only["fate"]) == ("s", 1, 1, "retried")
    again = reap()
    assert (again.returncode, again.stdout) == (0, "")
    assert again.stderr == "no worker is lost\n"


def test_it_is_shown_as_a_table(place: Path) -> None:
    found = reap()
    assert found.returncode == 0, found.stderr
    header, row = found.stdout.splitlines()
    assert header.split() == ["TRIAL", "ATTEMPT", "WORKER", "FATE"]
    assert (row.split()[0], row.split()[-1]) == ("s/1", "retried")


def test_a_study_that_is_not_there_is_not_found(place: Path) -> None:
    found = reap("t")
    assert found.returncode == 3
    assert "there is no study 't'" in found.stderr


def test_a_book_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    found = reap("--storage", str(tmp_path / "none.db"))
    assert found.returncode == 3
    assert not (tmp_path / "none.db").exists()
