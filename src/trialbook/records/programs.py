"""What a trial was run by: which objective, and the arguments that its program was given.

Two objectives of one file load the same code, and so does a program that is run with other
arguments: the coordinate of the code is the same, and only the launch tells them apart.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import PurePosixPath

import msgspec

from trialbook.records.canonical import parsed
from trialbook.records.code import EntryPoint
from trialbook.records.coordinates import Kind
from trialbook.records.execution import Isolation
from trialbook.records.recorded_command import recorded_command
from trialbook.records.verdict import CoordinateDifference

OBJECTIVE = "objective"
ARGUMENTS = "arguments"


@dataclass(frozen=True, slots=True)
class Program:
    """What a trial was run by.

    Args:
        module: Dotted name of the objective's module, ``None`` when it is a file.
        path: Its file, ``None`` when it is a module.
        name: Qualified name of the objective there; ``None`` when it was not found out.
        arguments: What the user gave the interpreter and the program on the command line. ``None``
            where a worker or a notebook ran the trial: no argument of the user's reaches an
            objective there.
    """

    module: str | None
    path: str | None
    name: str | None
    arguments: tuple[str, ...] | None

    @property
    def objective(self) -> str | None:
        """As in ``train.py:objective``; ``None`` when it was not found out."""
        if self.name is None:
            return None
        return f"{self.module or self.path or '?'}:{self.name}"


@dataclass(frozen=True, slots=True)
class BriefLaunch:
    """Of the launch part of an execution what is asked of many trials at once, as it has it."""

    isolation: Isolation
    argv: tuple[str, ...]
    entry: EntryPoint
    differs: tuple[str, ...] = ()

    @property
    def program(self) -> Program:
        """What it ran."""
        command = recorded_command(self.argv)
        given = None
        if not (command.is_worker or command.is_kernel):
            given = (*command.options, *command.arguments)
        return Program(self.entry.module, self.entry.path, self.entry.name, given)


@dataclass(frozen=True, slots=True)
class _Execution:
    state: BriefLaunch


def brief_launch(document: str | bytes) -> BriefLaunch | None:
    """The launch that the document of an execution's snapshot holds; ``None`` when damaged."""
    try:
        return msgspec.json.decode(document, type=_Execution).state
    except msgspec.ValidationError:
        return _tagged_launch(document)
    except msgspec.DecodeError:
        return None


def _tagged_launch(document: str | bytes) -> BriefLaunch | None:
    """The same where a text is in its tagged form, as an argument that is no UTF-8."""
    try:
        return msgspec.convert(parsed(document), _Execution).state
    except (msgspec.MsgspecError, ValueError, TypeError):
        return None


def program_differences(before: Program, here: Program) -> tuple[CoordinateDifference, ...]:
    """In what two trials were run by something else; empty where that is not known of both."""
    found = []
    if None not in (before.name, here.name) and not is_same_objective(before, here):
        found.append((OBJECTIVE, before.objective, here.objective))
    first, second = before.arguments, here.arguments
    if first is not None and second is not None and first != second:
        found.append((ARGUMENTS, *_apart(first, second)))
    return tuple(CoordinateDifference(str(Kind.EXECUTION), *one) for one in found)


def is_same_objective(before: Program, here: Program) -> bool:
    """Whether two programs name one objective; not so where one of them names none.

    A worker names a file where a program that imports it names a module: then the last part counts.
    """
    if before.name is None or before.name != here.name:
        return False
    if before.path is not None and here.path is not None:
        return before.path == here.path
    if before.module is not None and here.module is not None:
        return before.module == here.module
    return _last_part(before) == _last_part(here)


def _last_part(program: Program) -> str:
    if program.path is not None:
        return PurePosixPath(program.path).stem
    return (program.module or "").rpartition(".")[2]


def _apart(before: tuple[str, ...], here: tuple[str, ...]) -> tuple[str | None, str | None]:
    """What is between the arguments that both have in front and behind, with an option's name."""
    shorter = min(len(before), len(here))
    front = 0
    while front < shorter and before[front] == here[front]:
        front += 1
    behind = 0
    while behind < shorter - front and before[-1 - behind] == here[-1 - behind]:
        behind += 1
    if front and before[front - 1].startswith("-") and len(before) == len(here):
        front -= 1
    parts = (side[front : len(side) - behind] for side in (before, here))
    first, second = (shlex.join(part) or None for part in parts)
    return first, second
