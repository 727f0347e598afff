"""Recorded text on its way into a drawing."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from trialbook.report.labels import cells_of, distinct, one_line, shortened, wrapped

from .studies import HOSTILE


@given(st.text(), st.integers(3, 40))
def test_a_short_text_fits_and_hides_nothing(text, limit):
    short = shortened(text, limit)
    assert cells_of(short) <= limit
    kept = [c for c in short if c not in "\u200c\u200d"]
    assert not [c for c in kept if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
    if cells_of(one_line(text)) <= limit:
        assert short == one_line(text)


def test_both_ends_of_a_long_text_are_kept():
    assert shortened("optimizer.schedule.rate", 11) == "optim….rate"
    assert shortened("学習率" * 9, 9) == "学習…習率"


@given(st.lists(st.text(max_size=30), unique=True, max_size=6), st.integers(12, 30))
def test_different_texts_stay_different(texts, limit):
    lines = {one_line(text) for text in texts}
    assert len(set(distinct(texts, limit))) >= len(lines)
    assert all(cells_of(label) <= limit for label in distinct(texts, limit))


def test_long_names_are_shown_around_what_differs():
    names = [f"optimizer.schedule.parameter_group_{index}.coefficient" for index in range(3)]
    assert distinct(names, 16) == ("…_group_0.coeff…", "…_group_1.coeff…", "…_group_2.coeff…")


def test_a_label_is_broken_at_a_space_before_it_is_shortened():
    assert wrapped("objective (higher is better)", 19) == "objective\n(higher is better)"
    assert wrapped("objective (higher is better)", 40) == "objective (higher is better)"
    assert wrapped("x" * 50, 11) == "xxxxx…xxxxx"


@given(st.text(st.characters(codec="utf-8")), st.integers(4, 30))
def test_no_line_of_a_wrapped_label_is_too_long(text, limit):
    lines = wrapped(text, limit).split("\n")
    assert len(lines) <= 2
    assert all(cells_of(line) <= limit for line in lines)


def test_hostile_names_are_on_one_line():
    assert [name for name in HOSTILE if "\n" in one_line(name) or "\x1b" in one_line(name)] == []
    assert one_line("a\u202eb\x07") == "a\\u202eb\\x07"
