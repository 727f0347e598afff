"""The facade: at most fifteen names, all of them there, and nothing heavy behind the import."""

from __future__ import annotations

import subprocess
import sys
import types

import pytest

import trialbook


def test_every_name_of_the_facade_exists():
    assert len(trialbook.__all__) <= 15
    assert len(set(trialbook.__all__)) == len(trialbook.__all__)
    for name in trialbook.__all__:
        assert getattr(trialbook, name) is not None
    assert set(trialbook.__all__) <= set(dir(trialbook))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = trialbook.nothing


def test_rerun_is_a_package_and_a_call():
    assert isinstance(trialbook.rerun, types.ModuleType)
    assert callable(trialbook.rerun)


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import trialbook", ["optuna", "numpy", "sqlalchemy", "click", "rich", "plotly"]),
        (
            "import trialbook; trialbook.tracked_objective; trialbook.create_study",
            ["click", "rich", "plotly", "matplotlib", "pandas", "trialbook.cli"],
        ),
    ],
)
def test_imports_are_lazy(statement, absent):
    program = f"import sys; {statement}; print([m for m in {absent!r} if m in sys.modules])"
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == "[]"
