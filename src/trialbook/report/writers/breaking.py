"""Where long words may break: names, paths and digests of hundreds of characters fit any column.

Text is cut into pieces, and a writer lets a line end between two of them. Words of usual length are
one piece with the spaces around them.
"""

from __future__ import annotations

import re

LONGEST_WORD = 16
"""Characters of a word that stays whole."""
LONGEST_PART = 12
"""Characters of a part of a longer word, between punctuation, that stays whole."""
LONGEST_PIECE = 4
"""Characters between two places where a longer part may break."""

_WORD = re.compile(r"\S+")
_AFTER = re.compile(r"(?<=[^\w\s])(?=\w)|(?<=_)(?=[^\W_])")


def runs(text: str, longest_word: int = LONGEST_WORD) -> tuple[str | tuple[str, ...], ...]:
    """A text as stretches of usual words, and the pieces of each longer word.

    Args:
        text: Plain text.
        longest_word: Words up to this many characters stay whole.

    Returns:
        Text that breaks at its spaces, and tuples of pieces between which a line may end too;
        joined they are the text.
    """
    found: list[str | tuple[str, ...]] = []
    whole = 0
    for match in _WORD.finditer(text):
        if len(match[0]) <= longest_word:
            continue
        if match.start() > whole:
            found.append(text[whole : match.start()])
        found.append(_of_word(match[0]))
        whole = match.end()
    if whole < len(text):
        found.append(text[whole:])
    return tuple(found)


def pieces(text: str, longest_word: int = LONGEST_WORD) -> tuple[str, ...]:
    """The same without telling words from pieces: a line may end between any two."""
    found: list[str] = []
    for run in runs(text, longest_word):
        found += [run] if isinstance(run, str) else run
    return tuple(found)


def _of_word(word: str) -> tuple[str, ...]:
    """Breaks after punctuation, as in paths, and inside of what is long without any."""
    found: list[str] = []
    for part in _AFTER.split(word):
        step = LONGEST_PIECE if len(part) > LONGEST_PART else LONGEST_PART
        found += [part[at : at + step] for at in range(0, len(part), step)]
    return tuple(found)
