"""Which coordinate a file belongs to: code, declared data, or data that nobody declared."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from trialbook.capture.imports import unwatched
from trialbook.records.code import CodeState
from trialbook.records.config import SearchSettings
from trialbook.records.coordinates import Kind
from trialbook.records.data import DataState
from trialbook.tracking.session import Inputs, Session


def test_each_file_belongs_to_one_coordinate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree, elsewhere = tmp_path / "tree", tmp_path / "elsewhere"
    with unwatched():  # somebody else wrote these
        (tree / ".git").mkdir(parents=True)  # marks the root; no repository, so the tree is walked
        elsewhere.mkdir()
        (tree / "train.csv").write_text("1\n")
        (tree / "layers.yaml").write_text("width: 1\n")
        (elsewhere / "other.csv").write_text("2\n")
        (tree / "model.py").write_text("def objective(trial):\n    return 1.0\n")
    spec = importlib.util.spec_from_file_location("model_of_session_test", tree / "model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    session = Session(
        module.objective,
        Inputs(data={"train": "train.csv"}, base=tree),
        search=SearchSettings(),
        exclude=(),
    )
    session.observe()
    begun = session.snapshots
    for path in (tree / "train.csv", tree / "layers.yaml", elsewhere / "other.csv"):
        path.read_text()
    changed = {o.snapshot.kind: o.snapshot for o in session.changed_since_start(begun)}
    code = changed[Kind.CODE].state_as(CodeState)
    assert {e.path for e in code.loaded if e.base == "."} == {"model.py", "layers.yaml"}
    data = changed[Kind.DATA].state_as(DataState)
    assert [item.name for item in data.inputs] == ["train"]
    undeclared = {file.path for file in data.undeclared}
    assert not undeclared & {str(tree / "train.csv"), str(tree / "layers.yaml")}
