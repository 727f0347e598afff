"""Names of macros: letters only, each different, whatever params are called."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trialbook.report.macro_names import best_names

from .studies import HOSTILE


def test_names_are_made_of_the_params() -> None:
    names = ["learning_rate", "units_1", "l2", "units-1", "value", "学習率", "lr", "LR", ""]
    assert best_names(names) == [
        "BestLearningRate",
        "BestUnitsOne",
        "BestLTwo",
        "BestUnitsOneAgainTwo",
        "BestValueAgainTwo",
        "BestParamSix",
        "BestLr",
        "BestLRAgainTwo",
        "BestParamNine",
    ]


@given(st.lists(st.text(max_size=60) | st.sampled_from(HOSTILE), max_size=30, unique=True))
def test_names_are_letters_and_different(names: list[str]) -> None:
    found = best_names(names)
    assert len(found) == len(names)
    assert all(name.isascii() and name.isalpha() for name in found)
    lowered = [name.lower() for name in found]
    assert len(set(lowered)) == len(lowered)
    assert not {"bestvalue", "besttrial", "bestvalueexact"} & set(lowered)
