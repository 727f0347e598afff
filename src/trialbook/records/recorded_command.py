"""The recorded command line taken apart: interpreter options, what was run, its arguments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_WITH_VALUE = ("W", "X", "c", "m")
_KEPT_FLAGS = "bBOu"
_KEPT_WITH_VALUE = ("W", "X")
_START = "/trialbook/running/start.py"
_KERNELS = ("ipykernel_launcher", "ipykernel", "colab_kernel_launcher")


@dataclass(frozen=True, slots=True)
class RecordedCommand:
    """A command line of the form of ``sys.orig_argv``.

    Args:
        options: Interpreter options that can change results or warnings (``-O``, ``-W ...``,
            ``-X ...``, ``-b``, ``-B``, ``-u``); those that would keep the recorded environment
            variables from being seen (``-E``, ``-I``) are left out.
        module: The module of ``-m``, else ``None``.
        target: The script as it was named, ``""`` for standard input and interactive use.
        arguments: What came after it.
    """

    options: tuple[str, ...] = ()
    module: str | None = None
    target: str = ""
    arguments: tuple[str, ...] = ()

    @property
    def argv(self) -> tuple[str, ...]:
        """``sys.argv`` as the program saw it; with ``-m`` the first item is filled in later."""
        return (self.target, *self.arguments)

    @property
    def is_worker(self) -> bool:
        """Whether it started a process of Trialbook: its arguments are not the user's."""
        return self.target.endswith(_START)

    @property
    def is_kernel(self) -> bool:
        """Whether it started a notebook's kernel: its arguments are others in every session."""
        return self.module in _KERNELS


def recorded_command(argv: Sequence[str]) -> RecordedCommand:
    """Take a command line apart.

    Args:
        argv: As in ``sys.orig_argv``; the first item is the interpreter.
    """
    rest = list(argv[1:])
    options: list[str] = []
    while rest:
        item = rest[0]
        if item == "-" or not item.startswith("-"):
            return RecordedCommand(tuple(options), None, item, tuple(rest[1:]))
        rest.pop(0)
        if item.startswith("--"):
            if "=" not in item and item == "--check-hash-based-pycs" and rest:
                rest.pop(0)
            continue
        for index, letter in enumerate(item[1:], start=1):
            if letter not in _WITH_VALUE:
                if letter in _KEPT_FLAGS:
                    options.append(f"-{letter}")
                continue
            value = item[index + 1 :] or (rest.pop(0) if rest else "")
            if letter == "m":
                return RecordedCommand(tuple(options), value, "", tuple(rest))
            if letter == "c":
                return RecordedCommand(tuple(options), None, "-c", tuple(rest))
            if letter in _KEPT_WITH_VALUE:
                options += [f"-{letter}", value]
            break
    return RecordedCommand(tuple(options))
