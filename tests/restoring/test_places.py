"""Restored directories stand to each other as the original ones did, and lead nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from trialbook.errors import RestoreError
from trialbook.records.code import CodeState
from trialbook.restoring.code import RestoredCode
from trialbook.restoring.places import CodePlaces, placed_code


def placed(directory: Path, originals: dict[str, str]) -> CodePlaces:
    root = directory / "root"
    root.mkdir(parents=True)
    return placed_code(CodeState(None, ()), originals, RestoredCode({".": root}), directory)


def test_no_path_leads_out_of_the_restored_directories(tmp_path: Path) -> None:
    code = placed(tmp_path / "code", {".": "/home/ann/project"})
    assert code.counterpart("/home/ann/project/a/../b") == tmp_path / "code" / "root" / "b"
    assert code.counterpart("/home/ann/project/../../b") is None
    assert code.counterpart("/home/ann/other") is None


@pytest.mark.parametrize("label", ["../outside", "/outside", "a/b", "..", "root", ""])
def test_a_label_that_is_no_plain_name_is_refused(tmp_path: Path, label: str) -> None:
    with pytest.raises(RestoreError, match="outside the code's"):
        placed(tmp_path / "code", {".": "/home/ann/project", label: "/home/ann/library"})
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["code", "root"]


def test_a_base_inside_another_one_is_found_there(tmp_path: Path) -> None:
    inner = {".": "/home/ann/lib/project", "outside-1": "/home/ann/lib"}
    code = placed(tmp_path / "code", inner)
    link = tmp_path / "code" / "outside-1" / "project"
    assert link.resolve() == (tmp_path / "code" / "root").resolve()
    assert code.counterpart("/home/ann/lib/project/a") == tmp_path / "code" / "root" / "a"


def test_a_base_that_seems_to_be_inside_another_one_is_linked_nowhere(tmp_path: Path) -> None:
    bases = {".": "/home/ann/lib/../../elsewhere", "outside-1": "/home/ann/lib"}
    placed(tmp_path / "code", bases)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["code", "outside-1", "root"]
