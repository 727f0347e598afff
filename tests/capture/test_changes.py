"""Whether a tracked file is as git last saw it: git's own rule for stat data, racy ones included.

Whole repositories are compared with ``git status`` in ``tests/rerun/test_restore_git.py``.
"""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from trialbook.capture.changes import Suspect, is_as_in_index, modified_files
from trialbook.capture.git import Repository, TrackedFile, repository_at


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    (tmp_path / "a.py").write_text("a = 1\n")
    deadline = (tmp_path / "a.py").stat().st_mtime_ns + 1_100_000_000
    while time.time_ns() < deadline:  # so that the index is a second younger than the file
        time.sleep(0.05)
    for arguments in (["init", "-q"], ["add", "a.py"]):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
    found = repository_at(tmp_path)
    assert found is not None
    return found


def entry_of(repository: Repository) -> TrackedFile:
    (entry,) = repository.tracked
    return entry


def test_stat_of_the_index_is_believed(repository: Repository) -> None:
    status = (repository.top / "a.py").lstat()
    assert is_as_in_index(entry_of(repository), "100644", status, repository)
    assert not is_as_in_index(entry_of(repository), "100755", status, repository)
    quiet = replace(repository, file_mode=False)
    assert is_as_in_index(entry_of(repository), "100755", status, quiet)
    assert not is_as_in_index(entry_of(repository), "120000", status, quiet)


@pytest.mark.parametrize("part", ["size_bytes", "mtime_s", "mtime_part_ns", "ctime_s"])
def test_any_other_stat_is_not(part: str, repository: Repository) -> None:
    entry = entry_of(repository)
    other = replace(entry, **{part: getattr(entry, part) + 1})
    status = (repository.top / "a.py").lstat()
    assert not is_as_in_index(other, "100644", status, repository)


def test_racy_entries_are_not_believed(repository: Repository) -> None:
    """Written in the same instant as the index: the times prove nothing."""
    status = (repository.top / "a.py").lstat()
    entry = entry_of(repository)
    for late, believed in ((0, False), (1, True), (10**9, True)):
        tree = replace(repository, index_mtime_ns=status.st_mtime_ns + late)
        assert is_as_in_index(entry, "100644", status, tree) is believed
    # Where git keeps whole seconds only, the whole second is an instant.
    coarse = replace(entry, mtime_part_ns=0)
    second = entry.mtime_s * 10**9
    for index, believed in ((second + 10**9, False), (second + 10**9 + 1, True)):
        tree = replace(repository, index_mtime_ns=index)
        assert is_as_in_index(coarse, "100644", status, tree) is believed


def test_content_decides_about_suspects(repository: Repository) -> None:
    entry = entry_of(repository)
    assert modified_files([Suspect(entry, "100644", b"a = 1\n")], repository) == ((), ())
    assert modified_files([Suspect(entry, "100644", b"a = 2\n")], repository) == ((b"a.py",), ())
    assert modified_files([Suspect(entry, "100755", b"a = 1\n")], repository) == ((b"a.py",), ())
