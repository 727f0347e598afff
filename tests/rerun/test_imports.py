"""A rerun imports the recorded siblings of the code, not what they are by now."""

from __future__ import annotations

from trialbook.records.verdict import Verdict

from .conftest import HEAD, SEARCH


def test_a_sibling_on_the_python_path_is_restored_too(project, tmp_path):
    sibling = tmp_path / "siblings"
    sibling.mkdir()
    (sibling / "shared_loss.py").write_text("factor = 3\n")
    project.write(
        "train.py",
        HEAD
        + """
import shared_loss

@tracked_objective
def objective(trial):
    return trial.suggest_float("x", 0, 1) * shared_loss.factor
"""
        + SEARCH,
    )
    project.run("train.py", env={"PYTHONPATH": str(sibling)})
    (sibling / "shared_loss.py").write_text("factor = 4\n")
    report = project.rerun()
    assert report.verdict is Verdict.IDENTICAL, report
