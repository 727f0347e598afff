r"""Recorded names as words of a shell's command line.

Names hold what people and programs put into them. A command that is shown must be the one that is
run when it is copied, and must not steer the terminal that shows it: so what is not to be seen is
written as octal escapes within ``$'...'`` (POSIX.1-2024, 2.2.4; bash, ksh and zsh have it).
"""

from __future__ import annotations

import shlex

from trialbook.records.printable import printable


def shell_word(text: str) -> str:
    """The text as one word: as it is, in single quotes, or as ``$'...'``."""
    if printable(text) == text:
        return shlex.quote(text)
    return "$'" + "".join(map(_quoted, text)) + "'"


def argument(text: str) -> str:
    """The text as an argument that is no option, whatever it begins with."""
    word = shell_word(text)
    return f"-- {word}" if text.startswith("-") else word


def _quoted(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    if printable(character) == character:
        return character
    return "".join(f"\\{byte:03o}" for byte in character.encode("utf-8", "surrogateescape"))
