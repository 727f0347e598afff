"""Names in a command that is shown: the shell gets the name, the terminal nothing."""

from __future__ import annotations

import shlex
import subprocess

import pytest

from trialbook.records.printable import printable
from trialbook.records.shell_words import arguments, shell_word

NAMES = [
    "digits/3",
    "a b",
    "it's",
    "$(rm -rf x)",
    "\x1b[31mred",
    "\u202eodd\\'",
    "tab\tnew\nline",
    "é\x07é",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_shell_reads_the_name_and_a_terminal_is_not_steered(name):
    word = shell_word(name)
    read = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, check=True)

    assert read.stdout.decode() == name
    assert printable(word) == word


def test_a_plain_name_is_quoted_as_usual():
    assert shell_word("it's") == shlex.quote("it's")
    assert shell_word("digits/3") == "digits/3"


def test_no_argument_is_an_option():
    assert arguments("-rf") == "-- -rf"
    assert arguments("a b", "-c") == "-- 'a b' -c"
    assert arguments("a b", "\x1b[2J") == f"'a b' {shell_word(chr(27) + '[2J')}"
