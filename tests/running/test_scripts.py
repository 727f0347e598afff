"""Which scripts can be imported for their objective, by their text alone."""

from __future__ import annotations

import pytest

from trialbook.running.scripts import script_obstacle

GUARDED = """
import trialbook
def objective(trial):
    return trial.suggest_float("x", 0, 1)
if __name__ == "__main__":
    trialbook.create_study(study_name="s").optimize(objective)
"""


@pytest.mark.parametrize(
    ("text", "obstacle"),
    [
        (GUARDED, None),
        (GUARDED.replace('__name__ == "__main__"', "'__main__' == __name__"), None),
        (GUARDED.replace("def objective", "def other"), "has no function objective at its top"),
        (GUARDED.replace('if __name__ == "__main__"', "if True"), "has no 'if __name__"),
        (GUARDED + "study.optimize(objective)\n", "importing the script would search (line 7)"),
        (GUARDED + "x = (\n", "the script cannot be read: "),
    ],
)
def test_a_script_is_imported_only_when_that_gives_the_objective_and_no_search(text, obstacle):
    found = script_obstacle(text.encode(), "objective")
    assert found is None if obstacle is None else obstacle in found
