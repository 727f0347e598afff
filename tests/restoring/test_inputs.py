"""Inputs are found by what they hold: in a restored tree, where they were, or where one says."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from trialbook.capture.data import DataProbe
from trialbook.errors import InvalidInputError, RestoreDataError
from trialbook.records.canonical import digest_of_bytes
from trialbook.records.code import CodeState, FileEntry
from trialbook.records.data import DataFile, DataState
from trialbook.restoring.inputs import FoundInputs, found_inputs, place_inputs
from trialbook.restoring.places import CodePlaces


class Original:
    """A tree with data, recorded, and a restored tree that is empty."""

    def __init__(self, root: Path) -> None:
        self.root = root / "original"
        self.restored = root / "restored"
        self.restored.mkdir()
        for name in ("a", "b"):
            path = self.root / "data" / f"{name}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"content of {name}")
        inputs = {"file": "data/a.csv", "directory": "data", "glob": "data/*.csv"}
        probe = DataProbe(inputs, base=self.root)
        self.state = probe.observe().snapshot.state_as(DataState)

    def places(self, *files: FileEntry) -> CodePlaces:
        state = CodeState(None, files)
        return CodePlaces(state, {".": str(self.root)}, {".": self.restored})

    def found(self, code: CodePlaces | None = None, allow: bool = False, **mapping: Path):
        code = code or self.places()
        return found_inputs(self.state, code, mapping, allow_other=allow)


@pytest.fixture
def original(tmp_path: Path) -> Original:
    return Original(tmp_path)


def test_unchanged_inputs_are_where_they_were(original):
    found = original.found()
    assert found.paths["file"] == original.root / "data" / "a.csv"
    assert found.paths["directory"] == original.root / "data"
    assert found.differences == ()


def test_the_restored_tree_is_preferred_and_any_name_will_do(original):
    content = (original.root / "data" / "a.csv").read_bytes()
    shutil.copytree(original.root / "data", original.restored / "data")
    found = original.found()
    assert found.paths["directory"] == original.restored / "data"
    (original.restored / "data" / "a.csv").rename(original.restored / "moved.csv")
    entry = FileEntry("moved.csv", "100644", len(content), digest_of_bytes(content))
    shutil.rmtree(original.root)
    with pytest.raises(RestoreDataError) as caught:
        original.found(original.places(entry))
    assert "'file'" not in str(caught.value)
    assert "'directory' is missing" in str(caught.value)
    assert "'glob' is missing" in str(caught.value)


@pytest.mark.parametrize("name", ["file", "directory", "glob"])
def test_a_changed_file_is_found_out_in_every_kind_of_input(original, name):
    (original.root / "data" / "a.csv").write_text("content of z")
    with pytest.raises(RestoreDataError) as caught:
        original.found()
    assert f"'{name}' has changed: expected" in str(caught.value)
    allowed = original.found(allow=True)
    assert {item.what for item in allowed.differences} == {"file", "directory", "glob"}
    assert all(item.recorded != item.here is not None for item in allowed.differences)


def test_a_mapping_is_looked_at_and_nothing_else(original, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(original.root / "data", copy)
    found = original.found(directory=copy, file=copy / "a.csv", glob=copy / "*.csv")
    assert found.paths["directory"] == copy
    (copy / "b.csv").write_text("edited")
    with pytest.raises(RestoreDataError, match="'directory' has changed"):
        original.found(directory=copy)
    with pytest.raises(InvalidInputError, match="no input 'other'"):
        original.found(other=copy)


def test_inputs_are_linked_to_where_a_relative_path_would_find_them(original):
    code = original.places()
    assert place_inputs(original.state, code, original.found(code)) == ()
    assert (original.restored / "data" / "a.csv").read_text() == "content of a"


@pytest.mark.parametrize("exists", [True, False])
def test_nothing_is_put_where_a_link_of_the_code_leads_out_of_the_tree(
    original: Original, tmp_path: Path, exists: bool
) -> None:
    code = original.places()
    scratch = tmp_path / "scratch"
    (original.restored / "data").symlink_to(scratch)
    if exists:
        scratch.mkdir()
    undeclared = DataFile(str(original.root / "data" / "b.csv"), 1, digest_of_bytes(b"x"))
    (original.root / "data" / "b.csv").write_bytes(b"x")
    state = replace(original.state, inputs=original.state.inputs[:1], undeclared=(undeclared,))
    found = FoundInputs({"file": original.root / "data" / "a.csv"})
    assert place_inputs(state, code, found) == ()
    assert scratch.exists() is exists
    assert not exists or list(scratch.iterdir()) == []
