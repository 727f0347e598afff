"""The frame of the command line: lazy commands, errors, exit codes, pipes and signals."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import warnings

import click
import pytest

import trialbook.errors as tree
from trialbook.cli import failures
from trialbook.cli.failures import ExitCode, exit_code_of, message_of, say_warnings
from trialbook.cli.main import COMMANDS, exit_code_of_command, trialbook


def test_help_lists_every_command_and_imports_none():
    code = (
        "import sys; from trialbook.cli.main import exit_code_of_command as run\n"
        "code = run(['--help'])\n"
        "heavy = {'optuna', 'numpy', 'sqlalchemy', 'rich', 'msgspec', 'trialbook.book'}\n"
        "print(sorted(heavy & set(sys.modules)), code, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stderr == "[] 0\n"
    for entry in COMMANDS:
        assert re.search(rf"^  {entry.name} +\S", done.stdout, re.MULTILINE)


def _processor_s() -> float:
    """CPU seconds of ended children: unlike wall time, no matter of what else runs here."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_help_takes_no_longer_than_a_bare_interpreter_and_click_with_some_room():
    def best_of(*arguments: str) -> float:
        times = []
        for _ in range(5):
            begun = _processor_s()
            subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
            times.append(_processor_s() - begun)
        return min(times)

    bare = best_of("-c", "import click")
    program = best_of("-c", "from trialbook.cli.main import main; main()", "--help")
    assert program < bare + 0.1


@pytest.mark.parametrize("entry", COMMANDS, ids=lambda entry: entry.name)
def test_every_command_is_found_and_its_help_begins_with_its_summary(entry):
    context = click.Context(trialbook)
    command = trialbook.get_command(context, entry.name)
    assert command is not None
    assert command.get_short_help_str(200) == entry.summary
    names = {option for parameter in command.params for option in parameter.opts}
    commands = list(command.commands.values()) if isinstance(command, click.Group) else [command]
    for each in commands:
        names = {option for parameter in each.params for option in parameter.opts}
        assert {"--storage", "--debug"} <= names


def test_a_misspelt_command_is_suggested(capsys):
    assert exit_code_of_command(["sho"]) == ExitCode.USAGE
    assert "did you mean 'show'?" in capsys.readouterr().err
    assert exit_code_of_command(["qqq"]) == ExitCode.USAGE
    assert "trialbook --help" in capsys.readouterr().err


def _errors():
    return [
        kind
        for kind in vars(tree).values()
        if isinstance(kind, type) and issubclass(kind, tree.TrialbookError)
    ]


@pytest.mark.parametrize("kind", _errors(), ids=lambda kind: kind.__name__)
def test_every_error_of_the_tree_has_a_code_and_a_message_of_one_to_three_lines(kind):
    error = kind("it broke", where="here", hint="mend it")
    assert exit_code_of(error) in (ExitCode.FAILED, ExitCode.USAGE, ExitCode.NOT_FOUND)
    assert message_of(error) == "it broke\n  at: here\n  try: mend it"


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (tree.NotFoundError, 3),
        (tree.BookNotFoundError, 3),
        (tree.ObjectiveNotFoundError, 3),
        (tree.BadReferenceError, 2),
        (tree.SpecError, 2),
        (tree.UntrustedCodeError, 2),
        (tree.BookCorruptError, 1),
        (tree.CaptureError, 1),
        (tree.RerunError, 1),
        (tree.TooManyFailuresError, 1),
    ],
)
def test_the_code_says_what_kind_of_error_it_was(kind, code):
    assert exit_code_of(kind("x")) == code


def test_recorded_text_in_an_error_does_not_reach_the_terminal():
    error = tree.NotFoundError("no \x1b[31mstudy\x1b[0m", hint="a\rb")
    assert message_of(error) == "no \\x1b[31mstudy\\x1b[0m\n  try: a\\rb"


def test_a_warning_is_a_message_and_tells_no_place_in_the_program(monkeypatch):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    say_warnings()
    ours, other = tree.TrialbookWarning("a\x1bb"), UserWarning("c")
    assert warnings.formatwarning(ours, type(ours), "x.py", 1) == "warning: a\\x1bb\n"
    assert warnings.formatwarning(other, type(other), "x.py", 1).startswith("x.py:1: UserWarning")


def test_a_traceback_is_printed_only_with_debug(tmp_path, monkeypatch, capsys):
    missing = str(tmp_path / "no.db")
    plain = subprocess.run(
        [sys.executable, "-c", "from trialbook.cli.main import main; main()", "ls"],
        env={**os.environ, "TRIALBOOK_STORAGE": missing},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert plain.returncode == 3
    assert plain.stdout == ""
    assert plain.stderr.startswith("error: there is no book\n")
    assert len(plain.stderr.splitlines()) <= 3
    for arguments in (["--debug", "ls"], ["ls", "--debug"]):
        assert exit_code_of_command([*arguments, "--storage", missing]) == 3
        assert "Traceback" in capsys.readouterr().err
    monkeypatch.setenv("TRIALBOOK_DEBUG", "1")
    assert exit_code_of_command(["ls", "--storage", missing]) == 3
    assert "Traceback" in capsys.readouterr().err


def test_an_error_that_nobody_foresaw_is_one_message_and_code_1(monkeypatch, capsys):
    def broken(**_):
        raise ZeroDivisionError("by \x1b zero")

    monkeypatch.setattr("trialbook.analysis.study_summaries", broken)
    assert exit_code_of_command(["ls"]) == ExitCode.FAILED
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: unexpected ZeroDivisionError: by \\x1b zero\n")
    assert "--debug" in captured.err


def test_storage_is_taken_before_and_after_the_command(tmp_path, capsys):
    for arguments in (
        ["--storage", str(tmp_path / "a.db"), "storage", "init"],
        ["storage", "init", "--storage", str(tmp_path / "b.db")],
        [
            "--storage",
            str(tmp_path / "x.db"),
            "storage",
            "init",
            "--storage",
            str(tmp_path / "c.db"),
        ],
    ):
        assert exit_code_of_command(arguments) == 0
    capsys.readouterr()
    assert sorted(path.name for path in tmp_path.glob("*.db")) == ["a.db", "b.db", "c.db"]


def test_an_interrupt_is_130(monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("trialbook.analysis.study_summaries", interrupted)
    assert exit_code_of_command(["ls"]) == ExitCode.INTERRUPTED
    assert "interrupted" in capsys.readouterr().err


def test_a_closed_pipe_is_quiet(tmp_path):
    code = (
        "import sys, trialbook.cli.main as m\n"
        "from trialbook.cli import output\n"
        "import trialbook.analysis as a\n"
        "a.study_summaries = lambda storage: iter(())\n"
        "output.write_json_rows = None\n"
        "import trialbook.cli.ls as ls\n"
        "ls.write_json_rows = lambda rows: [print('x' * 1000) for _ in range(10000)]\n"
        "sys.argv = ['trialbook', 'ls', '--format', 'json']\n"
        "m.main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.read(10)
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=120) == 1
    assert errors == b""


def test_a_signal_while_a_command_works_is_130(tmp_path):
    code = (
        "import sys, time, trialbook.analysis as a, trialbook.cli.main as m\n"
        "def slow(storage):\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(60)\n"
        "a.study_summaries = slow\n"
        "sys.argv = ['trialbook', 'ls']\n"
        "m.main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in errors


def test_the_version_is_the_installed_one(capsys):
    from importlib.metadata import version

    assert exit_code_of_command(["--version"]) == 0
    assert capsys.readouterr().out == f"trialbook {version('trialbook')}\n"


def test_codes_are_those_of_the_design():
    assert {code.name: code.value for code in failures.ExitCode} == {
        "DONE": 0, "FAILED": 1, "USAGE": 2, "NOT_FOUND": 3, "DIFFERENT": 4, "INCOMPLETE": 5,
        "INTERRUPTED": 130,
    }  # fmt: skip


def test_a_terminal_that_cannot_show_a_name_gets_escapes(tmp_path):
    code = (
        "import trialbook, sys; from trialbook.cli.main import main\n"
        f"trialbook.create_study(study_name='\\u635f\\u5931', storage={str(tmp_path / 'b.db')!r})\n"
        f"sys.argv = ['trialbook', 'ls', '--storage', {str(tmp_path / 'b.db')!r}]\n"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "\\u635f\\u5931" in done.stdout
