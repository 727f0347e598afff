"""How a difference reads, and the mark that a trial carries."""

from __future__ import annotations

import pytest

from trialbook.records.coordinates import Kind
from trialbook.records.marks import difference_text, mark_of, mark_summary, marked_kinds
from trialbook.records.verdict import CoordinateDifference

DIGEST, OTHER = "ab12cd34" + "0" * 56, "cd34ef56" + "0" * 56


@pytest.mark.parametrize(
    ("difference", "text"),
    [
        (CoordinateDifference("code", "train.py", DIGEST, OTHER), "train.py"),
        (CoordinateDifference("code", "train.py", DIGEST, None), "train.py (not here)"),
        (CoordinateDifference("code", "train.py", None, OTHER), "train.py (only here)"),
        (
            CoordinateDifference("data", "train/a.csv", DIGEST, OTHER),
            "train/a.csv (sha256:ab12cd34 -> sha256:cd34ef56)",
        ),
        (CoordinateDifference("data", "test", None, OTHER), "test (none -> sha256:cd34ef56)"),
        (CoordinateDifference("config", "model.lr", "0.1", "0.2"), "model.lr 0.1 -> 0.2"),
        (
            CoordinateDifference("environment", "package numpy", "2.1.0", "2.2.0"),
            "numpy 2.1.0 -> 2.2.0",
        ),
        (CoordinateDifference("environment", "package ray", None, "2.60"), "ray none -> 2.60"),
        (
            CoordinateDifference("environment", "files of package numpy", DIGEST, OTHER),
            "files of numpy",
        ),
        (
            CoordinateDifference("environment", "cpu flags", "avx512f", None),
            "cpu flags: without avx512f; with none",
        ),
        (
            CoordinateDifference("environment", "$LD_PRELOAD", "x" * 100, None),
            f"$LD_PRELOAD {'x' * 57}... -> none",
        ),
        (
            CoordinateDifference("environment", "$TZ", "UTC\ntrial 5 complete", "UTC"),
            "$TZ UTC\\ntrial 5 complete -> UTC",
        ),
    ],
)
def test_a_difference_reads_in_a_few_words(difference: CoordinateDifference, text: str) -> None:
    assert difference_text(difference) == text


def test_a_mark_names_each_difference_with_its_kind() -> None:
    mark = mark_of(
        [
            CoordinateDifference("code", "train.py", DIGEST, OTHER),
            CoordinateDifference("environment", "package numpy", "2.1.0", "2.2.0"),
            CoordinateDifference("environment", "python", "3.11.2", "3.12.0"),
        ]
    )

    assert mark == (
        "code: train.py",
        "environment: numpy 2.1.0 -> 2.2.0",
        "environment: python 3.11.2 -> 3.12.0",
    )
    expected = "code (train.py), environment (numpy 2.1.0 -> 2.2.0, python 3.11.2 -> 3.12.0)"
    assert mark_summary(mark) == expected
    assert marked_kinds(mark) == (Kind.CODE, Kind.ENVIRONMENT)


def test_a_long_mark_is_cut_and_says_how_much_is_left() -> None:
    files = [CoordinateDifference("code", f"f{i:03}.py", DIGEST, OTHER) for i in range(60)]

    mark = mark_of(files)

    assert len(mark) == 51
    assert mark[-1] == "code: 10 more"
    assert mark_summary(mark) == "code (f000.py, f001.py, f002.py, f003.py, f004.py and 46 more)"


def test_no_difference_is_no_mark() -> None:
    assert mark_of([]) == ()
    assert mark_summary(()) == ""
