"""Exit codes, and the one place where errors and warnings become messages and codes."""

from __future__ import annotations

import sys
import traceback
import warnings
from enum import IntEnum
from pathlib import Path

from trialbook import errors
from trialbook.cli.text import printable, styled


class ExitCode(IntEnum):
    """What the shell learns."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    DIFFERENT = 4
    INCOMPLETE = 5
    INTERRUPTED = 130


_CODES: tuple[tuple[type[errors.TrialbookError], ExitCode], ...] = (
    (errors.NotFoundError, ExitCode.NOT_FOUND),
    (errors.BookNotFoundError, ExitCode.NOT_FOUND),
    (errors.ObjectiveNotFoundError, ExitCode.NOT_FOUND),
    (errors.DataMissingError, ExitCode.NOT_FOUND),
    (errors.InvalidInputError, ExitCode.USAGE),
    (errors.NotApplicableError, ExitCode.USAGE),
    (errors.SettingsDifferError, ExitCode.USAGE),
    (errors.InputsChangedError, ExitCode.USAGE),
    (errors.UntrustedCodeError, ExitCode.USAGE),
    (errors.TrialbookError, ExitCode.FAILED),
)


def exit_code_of(error: BaseException) -> ExitCode:
    """The exit code of an error: that of the first entry it is an instance of."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return ExitCode.FAILED


def message_of(error: BaseException) -> str:
    """The error on one to three lines, safe for a terminal."""
    if isinstance(error, errors.TrialbookError):
        text = str(error)
    elif isinstance(error, FileNotFoundError) and error.filename is None and _is_nowhere():
        text = "the directory that this command works in is gone\n  try: change to another one"
    elif isinstance(error, OSError) and error.strerror:
        place = f": {error.filename}" if error.filename else ""
        text = f"{error.strerror}{place}"
    else:
        text = f"unexpected {type(error).__name__}: {error}\n  try: the same command with --debug"
    return printable(text, keep_newlines=True)


def _is_nowhere() -> bool:
    """Whether the current directory has been removed."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False


def reported(error: BaseException, *, debug: bool) -> None:
    """Print an error to stderr, after its traceback when ``debug``."""
    if debug:
        print(
            printable("".join(traceback.format_exception(error)), keep_newlines=True),
            end="",
            file=sys.stderr,
        )
    print(styled("error:", "red", sys.stderr), message_of(error), file=sys.stderr)


def say_warnings() -> None:
    """Print warnings of Trialbook as messages from now on: their place in its code is noise."""
    usual = warnings.formatwarning

    def said(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        line: str | None = None,
    ) -> str:
        if not issubclass(category, errors.TrialbookWarning):
            return usual(message, category, filename, lineno, line)
        text = printable(str(message), keep_newlines=True)
        return f"{styled('warning:', 'yellow', sys.stderr)} {text}\n"

    warnings.formatwarning = said
