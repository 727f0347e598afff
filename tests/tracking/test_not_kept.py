"""What the book has no place for: the result is kept, and the gap recorded."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import trialbook
from trialbook.book.artifact_location import set_artifact_location
from trialbook.book.book import Book
from trialbook.book.reading import Reader
from trialbook.cli.main import exit_code_of_command
from trialbook.errors import TrialbookWarning
from trialbook.records.study import TrialRecord

if TYPE_CHECKING:
    from ..s3 import S3Server

LARGE = b"L" * (3 << 20)
DIGEST = hashlib.sha256(LARGE).hexdigest()


def objective(trial: trialbook.TrackedTrial) -> float:
    file = trial.dir / "model.bin"
    file.write_bytes(LARGE)
    assert trial.log_artifact(file).digest == DIGEST
    for _ in range(3):
        trial.save_checkpoint(file)
    file.write_bytes(b"small")
    trial.log_artifact(file, "small.bin")
    return 1.5


def run(url: str) -> tuple[TrialRecord, list[str]]:
    study = trialbook.create_study(study_name="s", storage=url)
    with pytest.warns(TrialbookWarning) as caught:
        study.optimize(trialbook.tracked_objective(objective), n_trials=1)
    study._storage.close()
    book = Book.open(url)
    try:
        return Reader(book).trial("s/0"), [str(warning.message) for warning in caught]
    finally:
        book.close()


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_what_is_too_large_costs_no_result(
    database: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture
) -> None:
    url = request.getfixturevalue("postgres_url" if database == "postgresql" else "url")
    book = Book.open(url)
    set_artifact_location(book, "database:2MiB")
    book.close()
    trial, warned = run(url)
    assert (trial.state, trial.values) == ("COMPLETE", (1.5,))
    assert trial.attempt is not None
    assert [artifact.name for artifact in trial.attempt.artifacts] == ["small.bin"]
    gaps = [gap for gap in trial.attempt.outcome.gaps if "not kept" in gap]
    assert len(gaps) == 2
    assert gaps[0].startswith(f"artifact model.bin (3.0 MiB, sha256 {DIGEST}) was not kept: ")
    assert "is too large: this book keeps contents in the database, up to 2.0 MiB each" in gaps[0]
    assert gaps[1].startswith("3 checkpoints were not kept: ")
    assert not any("not logged" in gap for gap in trial.attempt.outcome.gaps)
    about_it = [text for text in warned if "kept" in text]
    assert len(about_it) == 2
    assert all("trialbook storage init --artifacts URL --storage " in text for text in about_it)
    assert exit_code_of_command(["show", "s/0", "--storage", url]) == 0
    assert f"artifact model.bin (3.0 MiB, sha256 {DIGEST}) was not kept" in " ".join(
        capsys.readouterr().out.split()
    )


def test_a_location_that_is_away_costs_no_result(url: str, tmp_path: Path) -> None:
    book = Book.open(url)
    set_artifact_location(book, str(tmp_path / "shared"))
    book.close()
    shutil.rmtree(tmp_path / "shared")
    trial, _ = run(url)
    assert trial.state == "COMPLETE"
    assert trial.attempt is not None
    gaps = [gap for gap in trial.attempt.outcome.gaps if "not kept" in gap]
    assert len(gaps) == 2
    assert all("shared" in gap and "is not there" in gap for gap in gaps)


@pytest.mark.slow
def test_a_trial_that_waits_for_its_location_is_not_ended_for_want_of_progress(
    url: str, tmp_path: Path, s3: tuple[S3Server, str]
) -> None:
    server, place = s3
    book = Book.open(url)
    set_artifact_location(book, place)
    since: list[float] = []

    def away_for_a_while(method: str, path: str) -> tuple[int, str] | None:
        since.append(time.monotonic())
        return (500, "InternalError") if since[-1] - since[0] < 8 else None

    server.fault = away_for_a_while
    (tmp_path / "search.py").write_text(
        """
from trialbook import tracked_objective

@tracked_objective()
def objective(trial):
    (trial.dir / "model").write_bytes(b"M" * 200_000)
    trial.log_artifact(trial.dir / "model")
    return 1.0
"""
    )
    arguments = ["--study", "s", "--trials", "1", "--progress-limit", "4", "--grace", "0"]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "trialbook",
            "run",
            "search.py:objective",
            *arguments,
            "--storage",
            url,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert since[-1] - since[0] >= 8
    (attempt,) = Reader(book).trial("s/0").attempts
    assert str(attempt.end_reason) == "complete"
    assert len(attempt.artifacts) == 1
    book.close()


@pytest.mark.slow
def test_trials_in_processes_of_their_own_go_on_from_checkpoints_at_a_location(
    url: str, tmp_path: Path, s3: tuple[S3Server, str]
) -> None:
    """The supervisor, its forks and a killed child, with artifacts and checkpoints on S3."""
    book = Book.open(url)
    set_artifact_location(book, s3[1])
    book.close()
    (tmp_path / "search.py").write_text(
        """
import os, signal
from trialbook import tracked_objective

@tracked_objective()
def objective(trial):
    print("x" * 100_000)
    path = trial.load_checkpoint()
    if path is None:
        (trial.dir / "state").write_bytes(b"S" * 200_000)
        trial.save_checkpoint(trial.dir / "state")
        os.kill(os.getpid(), signal.SIGKILL)
    assert path.read_bytes() == b"S" * 200_000
    trial.log_artifact(path, "state")
    return 1.0
"""
    )
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "trialbook",
            "run",
            "search.py:objective",
            "--study",
            "s",
            "--trials",
            "1",
            "--storage",
            url,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    book = Book.open(url)
    trial = Reader(book).trial("s/0")
    assert [str(attempt.end_reason) for attempt in trial.attempts] == ["lost", "complete"]
    (artifact,) = trial.attempts[-1].artifacts
    assert Reader(book).blob(artifact.digest) == b"S" * 200_000
    book.close()
