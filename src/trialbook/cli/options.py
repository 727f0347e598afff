"""Options that many commands share, and how a question is asked."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from trialbook.cli.output import Format

_Command = TypeVar("_Command", bound=Callable[..., Any])

_STORAGE_HELP = (
    "The book: a storage URL or the path of an SQLite file. "
    "Default: TRIALBOOK_STORAGE, else [tool.trialbook] storage in pyproject.toml, "
    "else .trialbook/book.db here or in a directory above."
)


@dataclass(slots=True)
class Invocation:
    """What holds for one call of the program, whichever command takes it.

    Args:
        storage: ``--storage`` given before the command's name.
        debug: Whether ``--debug`` was given, before or after it.
    """

    storage: str | None = None
    debug: bool = False


def _invocation(ctx: click.Context) -> Invocation:
    return ctx.find_root().ensure_object(Invocation)


def _group_storage(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    _invocation(ctx).storage = value


def _storage(ctx: click.Context, _: click.Parameter, value: str | None) -> str | None:
    return value if value is not None else _invocation(ctx).storage


def _debug(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        _invocation(ctx).debug = True


def group_storage_option(command: _Command) -> _Command:
    """``--storage`` before the command's name."""
    return click.option(
        "--storage", metavar="URL", callback=_group_storage, expose_value=False, help=_STORAGE_HELP
    )(command)


def storage_option(command: _Command) -> _Command:
    """``--storage``; the parameter ``storage`` is ``None`` when neither place has it."""
    return click.option("--storage", metavar="URL", callback=_storage, help=_STORAGE_HELP)(command)


def debug_option(command: _Command) -> _Command:
    """``--debug``: a traceback below an error. The command does not receive it."""
    return click.option(
        "--debug",
        is_flag=True,
        is_eager=True,
        envvar="TRIALBOOK_DEBUG",
        expose_value=False,
        callback=_debug,
        help="Show the traceback of an error.",
    )(command)


def format_option(command: _Command) -> _Command:
    """``--format``; the parameter ``format`` is a ``Format``."""
    return click.option(
        "--format",
        "format",
        type=click.Choice(Format, case_sensitive=False),
        default=Format.TABLE,
        envvar="TRIALBOOK_FORMAT",
        show_default="table",
        help="How data is printed.",
    )(command)


def yes_option(command: _Command) -> _Command:
    """``--yes``: do not ask."""
    return click.option("--yes", "-y", is_flag=True, help="Do it without asking.")(command)


def dry_run_option(command: _Command) -> _Command:
    """``--dry-run``: say what would be done."""
    return click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")(
        command
    )


def common_options(command: _Command) -> _Command:
    """``--storage`` and ``--debug``, which every command has."""
    return storage_option(debug_option(command))


def confirmed(question: str, *, yes: bool, flag: str = "--yes") -> bool:
    """Ask, unless the answer was given with the command.

    Args:
        question: A question that ends in a question mark; printed to stderr.
        yes: Whether the answer was given.
        flag: The option that gives it.

    Raises:
        click.UsageError: There is no terminal to ask on: exit code 2.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} There is no terminal to ask on: add {flag} to do it.")
    return click.confirm(question, default=False, err=True)


def comma_separated(*texts: str) -> tuple[str, ...]:
    """The names in lists such as ``html, pdf``, without blanks; empty ones are left out."""
    return tuple(name.strip() for text in texts for name in text.split(",") if name.strip())


def mapped_inputs(inputs: Sequence[str], flag: str = "--data") -> dict[str, str]:
    """Input name to path, from ``NAME=PATH`` after a flag.

    Raises:
        click.UsageError: One has another form.
    """
    mapped: dict[str, str] = {}
    for text in inputs:
        name, equals, path = text.partition("=")
        if not equals or not name or not path:
            raise click.UsageError(f"{flag} {text!r} maps nothing; write NAME=PATH")
        mapped[name] = path
    return mapped
