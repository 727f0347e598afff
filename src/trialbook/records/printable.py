r"""Recorded text as it is shown: nothing in it steers a terminal, a spreadsheet or a reader's eye.

Names, console output and attributes come from other people's programs. Control characters, escape
sequences and the marks that reverse the direction of writing are shown as escapes, never sent. What
a spreadsheet would take for a formula is marked as text.
"""

from __future__ import annotations

import unicodedata

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_FORMULA = frozenset("=+-@＝＋－＠")
_LINE = ("\t", "\r", "\n")


def is_hidden(character: str) -> bool:
    """Whether a character is a control, format, surrogate or unassigned one, or ends a line."""
    return unicodedata.category(character) in _HIDDEN


def printable(text: str, *, keep_newlines: bool = False) -> str:
    r"""The text with everything that a terminal would act upon written as an escape.

    Args:
        text: Any text.
        keep_newlines: Leave line feeds, for text that is meant to have lines.

    Returns:
        The text with control, format and surrogate characters as ``\x1b``, ``\u202e`` and so on;
        a backslash that is there already is left alone, so the form is for reading, not undoing.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character
        if character == "\n" and keep_newlines
        else escaped(character)
        if is_hidden(character)
        else character
        for character in text
    )


def spreadsheet_text(text: str) -> str:
    """The text as ``printable`` shows it, and with ``'`` in front where it could be a formula.

    A formula begins with ``=``, ``+``, ``-``, ``@`` or their full-width forms, also after blanks,
    a byte order mark or other characters that are not seen; text that begins with a tab or an end
    of line is treated alike (OWASP, "CSV Injection").
    """
    shown = printable(text)
    if text.startswith(_LINE):
        return f"'{shown}"
    for character in text:
        if character in _FORMULA:
            return f"'{shown}"
        if not character.isspace() and not is_hidden(character):
            break
    return shown


def escaped(character: str) -> str:
    r"""One character as an escape: ``\n``, ``\x1b``, ``\u202e``, ``\U000e0001``."""
    if character in _SHORT:
        return _SHORT[character]
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
