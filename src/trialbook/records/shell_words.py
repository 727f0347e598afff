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


def arguments(*texts: str) -> str:
    """The texts as the last words of a command, none of them an option whatever it begins with."""
    words = " ".join(map(shell_word, texts))
    return f"-- {words}" if any(text.startswith("-") for text in texts) else words


def _quoted(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    if printable(character) == character:
        return character
    return "".join(f"\\{byte:03o}" for byte in character.encode("utf-8", "surrogateescape"))
