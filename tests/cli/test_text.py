"""Recorded text on its way to a terminal."""

from __future__ import annotations

import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trialbook.cli.text import coloured, printable, styled


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text", "plain text"),
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("a\rb\tc\nd", r"a\rb\tc\nd"),
        ("abc\u202edef", r"abc\u202edef"),
        ("\u2066\u200f\ufeff", r"\u2066\u200f\ufeff"),
        ("\x9b31m", r"\x9b31m"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
        ("Größe 大 😀 <script>", "Größe 大 😀 <script>"),
        ("line\u2028separator", r"line\u2028separator"),
    ],
)
def test_what_would_steer_a_terminal_is_shown_as_an_escape(text, shown):
    assert printable(text) == shown


@given(st.text())
def test_nothing_hidden_is_left_and_lines_are_kept_only_when_asked(text):
    assert all(unicodedata.category(c)[0] != "C" for c in printable(text))
    assert printable(text, keep_newlines=True).count("\n") == text.count("\n")


def test_colours_go_to_terminals_only_and_not_where_they_are_unwanted(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert styled("x", "red", Terminal()) == "\x1b[31;1mx\x1b[0m"
    assert styled("x", "red", io.StringIO()) == "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert not coloured(Terminal())
    assert styled("x", "red", Terminal()) == "x"
