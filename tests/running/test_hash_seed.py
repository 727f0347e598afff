"""The hash seed of the processes that run trials: the one that is set, else a fixed one."""

from __future__ import annotations

import pytest

from trialbook.running.hash_seed import hash_seed


@pytest.mark.parametrize(
    ("environ", "recorded", "expected"),
    [
        ({}, "0", "0"),
        ({}, "7", "7"),
        ({}, "random", "0"),
        ({"PYTHONHASHSEED": "9"}, "7", "9"),
        ({"PYTHONHASHSEED": "random"}, "7", "random"),
    ],
)
def test_what_is_set_stands_and_else_what_is_recorded(
    environ: dict[str, str], recorded: str, expected: str
) -> None:
    assert hash_seed(environ, recorded) == {"PYTHONHASHSEED": expected}
