from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trialbook.report.writers.breaking import LONGEST_PART, pieces, runs


@given(st.text())
def test_pieces_are_the_text(text):
    assert "".join(pieces(text)) == text


@given(st.text(st.characters(exclude_categories=("Z", "C")), min_size=17))
def test_no_piece_of_a_long_word_is_long(word):
    assert all(len(piece) <= LONGEST_PART for piece in pieces(word))


def test_usual_words_stay_whole_and_paths_break_after_their_separators():
    assert runs("see the learning_rate of") == ("see the learning_rate of",)
    assert runs("in /scratch/projects/vision/run_17 now") == (
        "in ",
        ("/", "scratch/", "projects/", "vision/", "run_", "17"),
        " now",
    )


def test_a_digest_breaks_anywhere():
    assert pieces("0123456789abcdef" * 4)[:3] == ("0123", "4567", "89ab")
