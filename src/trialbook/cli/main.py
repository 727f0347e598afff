"""The command line: which commands there are, and what becomes of their errors.

A command is loaded by name when it is called, so that ``trialbook --help`` imports none. What the
commands do lies in their own files; how they print in ``output.py``; which exit code an error has
in ``failures.py``.
"""

from __future__ import annotations

import atexit
import gc
import io
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module

import click

from trialbook.cli.failures import ExitCode, exit_code_of, reported, say_warnings
from trialbook.cli.options import Invocation, debug_option, group_storage_option
from trialbook.running.garbage import look_seldom


@dataclass(frozen=True, slots=True)
class CommandEntry:
    """A command: its name, where it is found as ``module:attribute``, and one line about it."""

    name: str
    target: str
    summary: str


COMMANDS = (
    CommandEntry(
        "run", "trialbook.cli.run:run", "Run a search up to its budget, every trial recorded."
    ),
    CommandEntry(
        "worker",
        "trialbook.cli.worker:worker",
        "Join a study and run trials of it, with nothing but its book.",
    ),
    CommandEntry(
        "launch",
        "trialbook.cli.launch:launch",
        "Place workers for a study: here, or through SSH, SLURM or Ray.",
    ),
    CommandEntry(
        "jobs", "trialbook.cli.jobs:jobs", "List placed workers: what engine and book say of them."
    ),
    CommandEntry(
        "logs", "trialbook.cli.logs:logs", "Show what the workers of a launch have printed."
    ),
    CommandEntry(
        "drain", "trialbook.cli.drain:drain", "Ask workers to finish the trial they run, and leave."
    ),
    CommandEntry(
        "cancel", "trialbook.cli.cancel:cancel", "End the jobs of a launch; trials are given back."
    ),
    CommandEntry(
        "rerun",
        "trialbook.cli.rerun:rerun",
        "Run a recorded trial again and say whether it came out the same.",
    ),
    CommandEntry(
        "replicate",
        "trialbook.cli.replicate:replicate",
        "Run a chosen configuration again under fresh seeds, in a linked study.",
    ),
    CommandEntry(
        "reap",
        "trialbook.cli.reap:reap",
        "End what lost workers held, so that their trials are tried again.",
    ),
    CommandEntry("ls", "trialbook.cli.ls:ls", "List the studies of the book."),
    CommandEntry(
        "status",
        "trialbook.cli.status:status",
        "Show how a study is doing: its workers, pace, budget and retries.",
    ),
    CommandEntry("show", "trialbook.cli.show:show", "Show what is recorded of a study or trial."),
    CommandEntry("best", "trialbook.cli.best:best", "Show the best trials of a study."),
    CommandEntry("diff", "trialbook.cli.diff:diff", "Show how two trials differ, and in what."),
    CommandEntry(
        "compare",
        "trialbook.cli.compare:compare",
        "Compare studies: settings, best values over budget, tests.",
    ),
    CommandEntry(
        "artifacts",
        "trialbook.cli.artifacts:artifacts",
        "List the files a trial kept, or fetch one.",
    ),
    CommandEntry(
        "plot",
        "trialbook.cli.plot:plot",
        "Draw a figure of a study: a page to explore, or a picture for a paper.",
    ),
    CommandEntry(
        "report",
        "trialbook.cli.report:report",
        "Write a study's report: what a paper needs, and what is missing.",
    ),
    CommandEntry(
        "locate",
        "trialbook.cli.locate:locate",
        "Find the run behind a figure, a paper, an artifact or another file.",
    ),
    CommandEntry(
        "verify", "trialbook.cli.verify:verify", "Recompute digests and seals; name every mismatch."
    ),
    CommandEntry("rm", "trialbook.cli.rm:rm", "Delete studies or trials, leaving tombstones."),
    CommandEntry("gc", "trialbook.cli.gc:gc", "Remove contents that nothing refers to any more."),
    CommandEntry(
        "storage",
        "trialbook.cli.storage:storage",
        "Create a book, bring an older one up to date, or move studies between books.",
    ),
    CommandEntry(
        "doctor", "trialbook.cli.doctor:doctor", "Check this machine and show which settings won."
    ),
)


class LazyGroup(click.Group):
    """A group whose commands are imported when one of them is called."""

    def __init__(self, entries: Sequence[CommandEntry], **settings: object) -> None:
        super().__init__(**settings)  # type: ignore[arg-type]
        self._entries = {entry.name: entry for entry in entries}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order in which people need them."""
        return list(self._entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now."""
        entry = self._entries.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.target.partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As in click, with a suggestion for a name that is misspelt."""
        if args and args[0] not in self._entries and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], self._entries, n=1)
            hint = f"did you mean '{near[0]}'?" if near else "see 'trialbook --help'"
            ctx.fail(f"there is no command {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in the help, without importing what it lists."""
        with formatter.section("Commands"):
            formatter.write_dl([(entry.name, entry.summary) for entry in self._entries.values()])


def _version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        click.echo(f"trialbook {version('trialbook')}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    entries=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@group_storage_option
@debug_option
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Show the version and exit.",
)
def trialbook() -> None:
    """Hyperparameter search you can defend.

    A trial is named STUDY/NUMBER, STUDY/best or STUDY/best~1 (the second best).
    """


def exit_code_of_command(argv: Sequence[str] | None = None) -> int:
    """Run one command line; everything it has to say is printed.

    Args:
        argv: The arguments after the program's name, ``None`` for those of the process.

    Returns:
        The exit code (see ``failures.ExitCode``).
    """
    invocation = Invocation()
    try:
        result = trialbook.main(
            None if argv is None else list(argv),
            prog_name="trialbook",
            standalone_mode=False,
            obj=invocation,
        )
        sys.stdout.flush()
    except SystemExit as error:
        return _status(error.code)
    except BrokenPipeError:
        _silence_stdout()
        return ExitCode.FAILED
    except (click.Abort, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        return ExitCode.INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except Exception as error:
        reported(error, debug=invocation.debug)
        return exit_code_of(error)
    return _status(result)


def _status(result: object) -> int:
    """What a command returned, or left with, as an exit code."""
    if result is None:
        return ExitCode.DONE
    if isinstance(result, int):
        return int(result)
    print(result, file=sys.stderr)
    return ExitCode.FAILED


def _silence_stdout() -> None:
    """Let the interpreter's last flush go nowhere: the reader of the pipe has left."""
    descriptor = os.open(os.devnull, os.O_WRONLY)
    os.dup2(descriptor, sys.stdout.fileno())
    os.close(descriptor)


def _spare_garbage() -> None:
    """Look for garbage seldom, and not at the end (``running/garbage.py`` says why).

    A command imports what it needs at any time, so this holds until its end.
    """
    look_seldom()
    atexit.register(gc.freeze)


def main() -> None:
    """The console script."""
    _spare_garbage()
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a recorded name gets its escapes, not an error.
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
    say_warnings()
    sys.exit(exit_code_of_command())
