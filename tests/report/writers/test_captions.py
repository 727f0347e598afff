"""Captions and notes are whole sentences in every format."""

from __future__ import annotations

import pytest

from trialbook.report.writers.captions import sentence


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no confidence band: too few trials", "No confidence band: too few trials."),
        ("a worker has several rows.", "A worker has several rows."),
        ("40 of 80 points are drawn", "40 of 80 points are drawn."),
        ("fANOVA leaves out momentum", "fANOVA leaves out momentum."),
        ("x_1 is left out", "x_1 is left out."),
        ("", ""),
    ],
)
def test_a_note_is_a_sentence_and_a_name_keeps_its_letters(text: str, said: str) -> None:
    assert sentence(text) == said
