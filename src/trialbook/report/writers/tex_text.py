r"""Plain text as LaTeX: escaped, in ASCII, with places where long words may break.

What has a spelling that every font encoding of LaTeX knows is written so (``é`` as ``\'{e}``). All
else becomes ``\TBchar{05D0}``, which ``trialbook.tex`` defines: LuaLaTeX and XeLaTeX print the
character where the font has it, and pdfLaTeX prints ``U+05D0`` in a frame. So fragments compile
whatever the names in a book are, and whatever input encoding the paper has.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate

from trialbook.analysis.columns import Cell, Holds
from trialbook.records.printable import printable
from trialbook.report.numbers import cell_text
from trialbook.report.writers.breaking import pieces

BREAK = r"\allowbreak{}"
_LONGEST_CAPTION = 2400

_ASCII = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\TBquote{}",
    "'": r"\TBapostrophe{}",
    "`": r"\TBgrave{}",
    # At the beginning of a row these would be options of the \\ before it.
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
}
_SYMBOLS = {
    "\u00a0": "~",
    "–": r"\textendash{}",
    "—": r"\textemdash{}",
    "‘": r"\textquoteleft{}",
    "’": r"\textquoteright{}",
    "“": r"\textquotedblleft{}",
    "”": r"\textquotedblright{}",
    "…": r"\ldots{}",
    "·": r"\ensuremath{\cdot}",
    "×": r"\ensuremath{\times}",
    "±": r"\ensuremath{\pm}",
    "¬": r"\ensuremath{\neg}",
    "÷": r"\ensuremath{\div}",
    "−": r"\ensuremath{-}",
    "≤": r"\ensuremath{\leq}",
    "≥": r"\ensuremath{\geq}",
    "≠": r"\ensuremath{\neq}",
    "≈": r"\ensuremath{\approx}",
    "∞": r"\ensuremath{\infty}",
    "→": r"\ensuremath{\rightarrow}",
    "←": r"\ensuremath{\leftarrow}",
    "√": r"\ensuremath{\surd}",
    "∈": r"\ensuremath{\in}",
    "∑": r"\ensuremath{\sum}",
    "∂": r"\ensuremath{\partial}",
    "°": r"\ensuremath{^\circ}",
    "²": r"\ensuremath{^2}",
    "³": r"\ensuremath{^3}",
    "ß": r"\ss{}",
    "æ": r"\ae{}",
    "Æ": r"\AE{}",
    "œ": r"\oe{}",
    "Œ": r"\OE{}",
    "ø": r"\o{}",
    "Ø": r"\O{}",
    "ł": r"\l{}",
    "Ł": r"\L{}",
    "ı": r"\i{}",
    "µ": r"\ensuremath{\mu}",
    "§": r"\S{}",
}
_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi - pi rho - sigma tau "
    "upsilon phi chi psi omega"
)
_SYMBOLS.update(
    (chr(0x3B1 + at), rf"\ensuremath{{\{name}}}")
    for at, name in enumerate(_GREEK.split())
    if name != "-"
)
_SYMBOLS.update(
    (unicodedata.lookup(f"GREEK CAPITAL LETTER {name.upper()}"), rf"\ensuremath{{\{name}}}")
    for name in ("Gamma", "Delta", "Theta", "Xi", "Pi", "Sigma", "Phi", "Psi", "Omega")
)
_SYMBOLS["Λ"] = r"\ensuremath{\Lambda}"
_ACCENTS = {
    "\u0300": "`",
    "\u0301": "'",
    "\u0302": "^",
    "\u0303": "~",
    "\u0304": "=",
    "\u0306": "u",
    "\u0307": ".",
    "\u0308": '"',
    "\u030a": "r",
    "\u030b": "H",
    "\u030c": "v",
    "\u0327": "c",
}
_LIGATURES = re.compile(r"(?<=-)(?=-)|(?<=,)(?=,)")


def tex(text: str) -> str:
    """Running text; control characters and those that turn the direction show as escapes."""
    return BREAK.join(_escaped(piece) for piece in pieces(printable(text)))


def tex_caption(caption: str, notes: Sequence[str] = ()) -> str:
    """A caption and the notes behind it; too long ones are cut.

    LaTeX sets a caption on one line first, to see whether it fits, and gives up on a line of six
    metres.
    """
    room = _LONGEST_CAPTION
    shown = []
    for text in (caption, *notes):
        fitting = _cut(printable(text), room)
        room -= _letters(fitting)
        if fitting:
            shown.append(tex(fitting))
    return shown[0] + "".join(rf"\TBnote{{{note}}}" for note in shown[1:]) if shown else ""


def tex_code(text: str) -> str:
    """Text that a reader may copy, in the typewriter font."""
    return rf"\TBcode{{{tex(text)}}}"


def tex_cell(value: Cell, holds: Holds, unit: str = "") -> str:
    r"""A value of a table or a macro, numbers by siunitx's ``\num``."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        number = siunitx(value, holds)
        text = rf"\num{{{number}}}" if number else tex(cell_text(value, holds))
    elif value is not None and holds is Holds.DIGEST and re.fullmatch(r"[0-9a-zA-Z]+", str(value)):
        text = rf"\TBdigest{{{value}}}"
    elif value is not None and holds in (Holds.CODE, Holds.DIGEST):
        text = tex_code(str(value))
    else:
        return tex(cell_text(value, holds, unit))
    return f"{text}~{tex(unit)}" if unit else text


def siunitx(value: float, holds: Holds) -> str:
    """A number as siunitx reads it; empty for NaN and infinities, which it does not know."""
    text = cell_text(value, holds)
    match = re.fullmatch(r"(-?\d+(?:\.\d+)?)(?:e([+-]?\d+))?", text)
    if match is None:
        return ""
    return match[1] if match[2] is None else f"{match[1]}e{int(match[2])}"


def comment_text(text: str) -> str:
    """Text for a comment: one line of ASCII."""
    return printable(text).encode("ascii", "backslashreplace").decode()


def _letters(text: str) -> int:
    """About how many letters a text takes; a code in a frame takes six."""
    return sum(1 if character.isascii() else 6 for character in text)


def _cut(text: str, room: int) -> str:
    if _letters(text) <= room:
        return text
    used = list(accumulate(1 if character.isascii() else 6 for character in text))
    end = bisect_right(used, room - 6)
    return f"{text[:end]}…" if end > 0 else ""


def _escaped(text: str) -> str:
    if text.isascii() and text.isalnum():
        return text
    joined = "".join(_character(character) for character in unicodedata.normalize("NFC", text))
    # Two hyphens would become a dash, and two commas a quotation mark.
    return _LIGATURES.sub("{}", joined)


@lru_cache(maxsize=4096)
def _character(character: str) -> str:
    if character.isascii():
        return _ASCII.get(character, character)
    known = _SYMBOLS.get(character)
    if known is not None:
        return known
    parts = unicodedata.normalize("NFD", character)
    if len(parts) == 2 and parts[0].isascii() and parts[0].isalpha() and parts[1] in _ACCENTS:
        letter = rf"\{parts[0]}" if parts[0] in "ij" else parts[0]
        return rf"\{_ACCENTS[parts[1]]}{{{letter}}}"
    return rf"\TBchar{{{ord(character):04X}}}"
