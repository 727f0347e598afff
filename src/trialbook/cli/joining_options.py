"""Options of the commands that join a study on this machine: with which code, data and settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])

_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--data", "inputs", metavar="NAME=PATH", multiple=True, help="Where input NAME lies."
    ),
    click.option(
        "--code",
        type=click.Choice(["book", "here"]),
        default="book",
        show_default=True,
        help="Run the code that the book holds, or that of this directory if it is the same.",
    ),
    click.option(
        "--env",
        type=click.Choice(["here", "recreate"]),
        default="here",
        show_default=True,
        help="Run in this environment, or build the recorded one first.",
    ),
    click.option(
        "--allow",
        type=click.Choice(["environment", "code", "data", "settings"]),
        multiple=True,
        help="Run although this differs from what is recorded; every trial says so.",
    ),
    click.option(
        "--supply",
        "supplies",
        metavar="FILE=PATH",
        multiple=True,
        help="A copy of recorded FILE, which the book holds by digest only.",
    ),
    click.option(
        "--config",
        metavar="FILE",
        help="The configuration file, for credentials that no record holds.",
    ),
    click.option("--set", "settings", metavar="KEY=VALUE", multiple=True, help="Set config KEY."),
    click.option(
        "--paranoid", is_flag=True, help="Hash the data again even when its stat is equal."
    ),
    click.option(
        "--grace",
        metavar="SECONDS",
        type=click.FloatRange(min=0),
        default=20.0,
        show_default="20",
        help="After a signal, how long a trial that does not ask may go on.",
    ),
    click.option("--trust", is_flag=True, help="Run code of a study that was not created here."),
)


def joining_options(command: _Command) -> _Command:
    """``--data``, ``--code``, ``--env``, ``--allow``, ``--supply`` and those below, in this order.

    The command takes them as ``inputs``, ``code``, ``env``, ``allow``, ``supplies``, ``config``,
    ``settings``, ``paranoid``, ``grace`` (seconds) and ``trust``.
    """
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
