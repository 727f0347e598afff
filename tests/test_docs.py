"""The documentation says what is there: every command and option, working code, links that lead on.

Blocks are executed as a reader would copy them: `sh` in a shell, `python` as a file or session.
"""

from __future__ import annotations

import ast
import math
import re
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import optuna
import pytest

import trialbook
from trialbook.cli.main import trialbook as program

from .commands import shell

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "studies/data/README.md"])
CLI_PAGE = ROOT / "docs" / "cli.md"


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of one language, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command with its full name, as in ``storage init``; groups are not commands."""
    context = click.Context(program)

    def below(group: click.Group, prefix: str) -> Iterator[tuple[str, click.Command]]:
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            if isinstance(command, click.Group):
                yield from below(command, f"{prefix}{name} ")
            else:
                yield f"{prefix}{name}", command

    return below(program, "")


COMMANDS = dict(commands())


def options(command: click.Command) -> set[str]:
    """The long options of a command, without ``--help`` and those that users have no use for."""
    shown = [p for p in command.params if not getattr(p, "hidden", False)]
    names = {name for p in shown for name in (*p.opts, *p.secondary_opts)}
    return {name for name in names if name.startswith("--")}


def sections() -> dict[str, str]:
    """The sections of ``docs/cli.md``: heading without ``trialbook`` and back ticks, to text."""
    parts = re.split(r"^## (.+)$", CLI_PAGE.read_text(), flags=re.MULTILINE)
    headings = [heading.replace("`", "").removeprefix("trialbook ") for heading in parts[1::2]]
    return dict(zip(headings, parts[2::2], strict=True))


def mentioned(text: str) -> set[str]:
    """The long options that a text names."""
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_documented(name: str) -> None:
    found = sections()
    assert name in found, f"docs/cli.md has no section '## `trialbook {name}`'"

    shared = mentioned(found["Options of every command"])
    missing = options(COMMANDS[name]) - mentioned(found[name]) - shared

    assert not missing


@pytest.mark.parametrize("name", COMMANDS)
def test_no_option_is_documented_that_is_not_there(name: str) -> None:
    documented = re.findall(r"^\| `(--[a-z-]+)", sections()[name], re.MULTILINE)

    assert set(documented) <= options(COMMANDS[name])


def test_no_command_is_documented_that_is_not_there() -> None:
    headings = re.findall(r"^## `trialbook ([a-z ]+)`$", CLI_PAGE.read_text(), re.MULTILINE)

    assert set(headings) == set(COMMANDS)


def test_command_lines_shown_anywhere_are_valid() -> None:
    wrong = []
    for page in PAGES:
        for line in re.findall(r"^(?:    |\$ )?trialbook (.+)$", page.read_text(), re.MULTILINE):
            for call in re.split(r" {2,}(?:trialbook )?", line.split("  #")[0].strip()):
                problem = problem_of(shlex.split(call.split(" | ")[0], comments=True))
                if problem:
                    wrong.append(f"{page.name}: trialbook {call}: {problem}")

    assert not wrong


def problem_of(words: list[str]) -> str | None:
    """What is wrong with a command line, judged by names alone."""
    while words and words[0].startswith("--"):
        words = words[1:] if words[0] in ("--help", "--version", "--debug") else words[2:]
    if not words:
        return None
    name = " ".join(words[:2]) if " ".join(words[:2]) in COMMANDS else words[0]
    if name not in COMMANDS:
        return f"no command {name!r}"
    unknown = {word.split("=")[0] for word in words if word.startswith("--")}
    unknown -= options(COMMANDS[name]) | {"--help"}
    return f"no option {sorted(unknown)}" if unknown else None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_parse(page: Path) -> None:
    for block in blocks(page, "python"):
        ast.parse(block)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_nothing_is_left_to_fill_in(page: Path) -> None:
    assert "TODO" not in page.read_text()


@pytest.mark.slow
def test_the_quickstart_works_as_it_is_written(tmp_path: Path) -> None:
    page = ROOT / "docs" / "quickstart.md"
    script, session = blocks(page, "python")
    (tmp_path / "tune.py").write_text(script)

    outputs = []
    for block in blocks(page, "sh"):
        done = shell(block, tmp_path)
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        outputs.append(done.stdout + done.stderr)

    assert "identical" in outputs[-1]
    assert "identical" in outputs[-2]
    python = shell(f"{shlex.quote(sys.executable)} -c {shlex.quote(session)}", tmp_path)
    assert len(python.stdout.splitlines()) == 3, python.stderr


EXTREMES = {
    "odd": [math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308],
    "long": [index * 0.1 for index in range(3000)],
}


@pytest.fixture
def book_with_extremes(tmp_path: Path) -> Path:
    """A book with one finished trial whose points are hard to keep."""

    @trialbook.tracked_objective
    def objective(trial: trialbook.TrackedTrial) -> float:
        for name, values in EXTREMES.items():
            for index, value in enumerate(values):
                trial.log({name: value}, step=index * (2**63 // 4000))
        trial.report(1.5, 7)
        return 0.0

    path = tmp_path / "a book.db"
    storage = trialbook.BookStorage(path)
    study = optuna.create_study(storage=storage, study_name="extremes")
    study.optimize(objective, n_trials=1)
    storage.close()
    return path


def test_the_twenty_lines_read_every_point(book_with_extremes: Path, tmp_path: Path) -> None:
    (reader,) = blocks(ROOT / "docs" / "record-format.md", "python")
    code = [line for line in reader.splitlines() if line and not line.startswith(("import", "QU"))]
    assert len(code) <= 25

    # -I -S: nothing that is installed can be imported.
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", reader, str(book_with_extremes), "extremes", "0"],
        capture_output=True,
        text=True,
        check=False,
    )

    read: dict[str, list[tuple[int, str]]] = {}
    for line in done.stdout.splitlines():
        metric, step, value, _ = line.split()
        read.setdefault(metric, []).append((int(step), value))
    assert read == {
        name: [(index * (2**63 // 4000), float.hex(v)) for index, v in enumerate(values)]
        for name, values in EXTREMES.items()
    } | {"objective": [(7, float.hex(1.5))]}, done.stderr


def test_a_snapshot_is_named_by_its_sha256sum(book_with_extremes: Path) -> None:
    rows = sqlite3.connect(book_with_extremes).execute("SELECT digest, document FROM tb_snapshot")
    documents = dict(rows.fetchall())

    assert len(documents) >= 5
    for digest, document in documents.items():
        summed = subprocess.run(
            ["sha256sum"], input=document.encode(), capture_output=True, check=True
        )
        assert summed.stdout.decode().split()[0] == digest
