"""A worker's own directory: gone with the worker, however that one ends."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from trialbook.restoring.workplace import PREFIX, remove_left_behind, workplace

_KILLED = """
import os, signal
from trialbook.restoring.workplace import workplace
with workplace() as directory:
    (directory / "file").write_text("left behind")
    print(directory, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_it_is_removed_with_everything_in_it(temporary: Path) -> None:
    with workplace() as directory:
        (directory / "a" / "b").mkdir(parents=True)
        (directory / "a" / "b" / "c").write_text("c")
        assert directory.parent == temporary
    assert list(temporary.iterdir()) == []


def test_what_a_killed_process_left_is_removed_and_what_is_held_is_not(temporary: Path) -> None:
    left = subprocess.run([sys.executable, "-c", _KILLED], capture_output=True, text=True)
    directory = Path(left.stdout.strip())
    assert (directory / "file").exists()
    (temporary / "another's").mkdir()
    with workplace() as held:
        remove_left_behind(temporary)
        assert directory.exists(), "it is young: its maker might be about to lock it"
        remove_left_behind(temporary, young_s=0)
        assert sorted(temporary.iterdir()) == sorted([temporary / "another's", held])


def test_a_link_of_that_name_is_not_followed(temporary: Path) -> None:
    target = temporary / "target"
    target.mkdir()
    (target / "file").write_text("kept")
    (temporary / f"{PREFIX}x").symlink_to(target)
    remove_left_behind(temporary, young_s=0)
    assert (target / "file").read_text() == "kept"
