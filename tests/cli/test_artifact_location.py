"""``storage init --artifacts``, and what other commands say of an artifact location."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from trialbook.book.storage import BookStorage
from trialbook.cli.main import exit_code_of_command
from trialbook.records.execution import Seeds

Run = Callable[..., tuple[int, str, str]]
LARGE = b"large" * 20_000


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture) -> Run:
    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = exit_code_of_command([*arguments, "--storage", str(tmp_path / "book.db")])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def shared(tmp_path: Path, run: Run) -> Path:
    """A directory that is the location of a book with one artifact in it."""
    from optuna.study import StudyDirection
    from optuna.trial import TrialState

    shared = tmp_path / "shared"
    code, out, err = run("storage", "init", "--artifacts", str(shared))
    assert (code, out) == (0, f"sqlite:///{tmp_path / 'book.db'}\n")
    assert f"new contents over 64 KiB lie at file://{shared}" in err
    storage = BookStorage(tmp_path / "book.db")
    trial_id = storage.create_new_trial(
        storage.create_new_study([StudyDirection.MINIMIZE], "digits")
    )
    attempt = storage.begin_attempt(trial_id, snapshots=[], seeds=Seeds(trial=1))
    (tmp_path / "model.bin").write_bytes(LARGE)
    attempt.add_artifact("model.bin", tmp_path / "model.bin", "application/octet-stream")
    storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
    storage.close()
    return shared


def test_the_location_is_shown_and_changed(run: Run, shared: Path) -> None:
    code, _, err = run("storage", "init")
    assert code == 0
    assert f"contents over 64 KiB lie at file://{shared}" in err
    code, _, err = run("storage", "init", "--artifacts", "beside")
    assert code == 0
    assert "new contents over 64 KiB lie beside the SQLite file" in err
    assert f"older ones stay where they are (at file://{shared})" in err
    assert run("artifacts", "digits/0", "--get", "model.bin", "-o", "-")[0] == 0


def test_a_place_that_cannot_be_is_refused_before_a_book_is_made(run: Run, tmp_path: Path) -> None:
    code, _, err = run("storage", "init", "--artifacts", "databse:64MiB")
    assert code == 2
    assert "try: use beside, database, database:LIMIT" in err
    assert list(tmp_path.iterdir()) == []


def test_artifacts_are_fetched_and_verified(run: Run, shared: Path, tmp_path: Path) -> None:
    assert run("artifacts", "digits/0", "--get", "model.bin", "-o", str(tmp_path / "got"))[0] == 0
    assert (tmp_path / "got").read_bytes() == LARGE
    code, out, _ = run("verify")
    assert (code, "1 blob" in out) == (0, True)
    (file,) = (path for path in shared.rglob("*") if path.is_file())
    file.write_bytes(LARGE[:-1] + b"?")
    code, out, _ = run("verify", "--format", "json")
    assert code == 4
    (mismatch,) = json.loads(out)["mismatches"]
    assert mismatch["kind"] == "blob"
    assert "artifact model.bin of digits/0, attempt 1" in mismatch["where"]
    code, _, err = run("artifacts", "digits/0", "--get", "model.bin", "-o", str(tmp_path / "no"))
    assert code == 1
    assert not (tmp_path / "no").exists()
    assert "a blob is damaged" in err


def test_a_location_that_is_away_is_named(run: Run, shared: Path) -> None:
    shutil.move(shared, shared.with_name("moved"))
    code, _, err = run("verify")
    assert code == 1
    assert f"at: file://{shared}" in err
    assert "'trialbook verify --no-artifacts' reads the rest" in err
    code, _, err = run("verify", "--no-artifacts")
    assert code == 0
    assert "1 blob at an artifact location not read" in err
    code, out, _ = run("doctor", "--format", "json")
    assert code == 1
    (check,) = (check for check in json.loads(out) if check["name"] == "artifacts")
    assert check["standing"] == "failed"
    assert "mount" in check["hint"]
    _, _, err = run("gc", "--dry-run")
    assert f"the artifact location file://{shared} cannot be reached" in err


def test_doctor_tries_the_location(run: Run, shared: Path) -> None:
    before = sorted(shared.rglob("*"))
    _, out, _ = run("doctor", "--format", "json")
    (check,) = (check for check in json.loads(out) if check["name"] == "artifacts")
    assert check["standing"] == "ok"
    assert check["detail"] == f"contents over 64 KiB lie at file://{shared}"
    assert sorted(shared.rglob("*")) == before
