"""The skeleton: what a newcomer and CI start from is there and says the same everywhere."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import runpy
import shutil
import stat
import subprocess
import tomllib
from pathlib import Path

import pytest

import trialbook
from trialbook.records.secrets import looks_secret

ROOT = Path(__file__).parents[1]
MAKES_OWN = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def make(directory: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    # Without what a make that runs these tests tells its children.
    outside = {name: text for name, text in os.environ.items() if name not in MAKES_OWN}
    return subprocess.run(
        ["make", *arguments],
        cwd=directory,
        env={**outside, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A directory with this Makefile and an installed program that says how it was called."""
    directory = tmp_path / "a checkout"
    (directory / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", directory)
    (directory / "pyproject.toml").touch()
    program = directory / ".venv" / "bin" / "trialbook"
    program.write_text('#!/bin/sh\necho "$@"\nenv | grep ^TRIALBOOK_ || echo no settings\n')
    program.chmod(0o755)
    for stamp in (".created", ".demo", ".dev"):
        (directory / ".venv" / stamp).touch()
    return directory


def test_demo_runs_the_study_shows_the_best_trial_reruns_it_and_reports(checkout: Path) -> None:
    done = make(checkout, "--silent", "demo")

    called = [line for line in done.stdout.splitlines() if not line.startswith("TRIALBOOK_")]
    assert called == [
        "run studies/digits-mlp.yaml",
        "show digits-mlp/best",
        "rerun digits-mlp/best",
        "report digits-mlp",
    ], done.stderr


def test_the_users_own_settings_do_not_reach_the_demo(checkout: Path) -> None:
    done = make(
        checkout, "demo", TRIALBOOK_STORAGE="sqlite:////elsewhere.db", TRIALBOOK_FORMAT="json"
    )

    settings = {line for line in done.stdout.splitlines() if line.startswith("TRIALBOOK_")}
    assert settings == {f"TRIALBOOK_STORAGE={checkout}/.trialbook/book.db"}, done.stderr


def test_a_missing_python_is_named_with_the_next_step(checkout: Path) -> None:
    shutil.rmtree(checkout / ".venv")

    done = make(checkout, "test", PYTHON="/nowhere/python")

    assert done.returncode != 0
    assert "Python 3.11 or newer with the venv module is needed" in done.stderr
    assert "/nowhere/python" in done.stderr
    assert "try:" in done.stderr


def test_clean_keeps_the_books(checkout: Path) -> None:
    book = checkout / ".trialbook" / "book.db"
    book.parent.mkdir()
    book.touch()

    assert make(checkout, "clean").returncode == 0

    assert book.exists()
    assert not (checkout / ".venv").exists()


def test_every_target_of_the_help_exists() -> None:
    shown = make(ROOT, "--silent", "help").stdout
    targets = re.findall(r"^make (\w+) ", shown, re.MULTILINE)

    assert {"demo", "test", "check", "bench", "clean"} == set(targets)
    for target in targets:
        assert make(ROOT, "--dry-run", target).returncode == 0


def test_ci_is_executable_and_runs_check_and_test() -> None:
    script = ROOT / ".ci" / "run"

    assert script.stat().st_mode & stat.S_IXUSR
    subprocess.run(["bash", "-n", script], check=True)
    text = script.read_text()
    assert text.index("make check") < text.index("make test")


def test_every_package_stands_on_a_floor() -> None:
    contracts = PROJECT["tool"]["importlinter"]["contracts"]
    layers = next(contract for contract in contracts if contract["id"] == "floors")["layers"]
    on_floors = {name.strip() for layer in layers for name in layer.split("|")}
    source = ROOT / "src" / "trialbook"
    packages = {path.parent.name for path in source.glob("*/__init__.py")}
    modules = {path.stem for path in source.glob("*.py")} - {"__init__", "__main__"}

    assert packages - {"testing"} | modules == on_floors


def test_the_version_is_the_same_everywhere() -> None:
    assert PROJECT["project"]["version"] == trialbook.__version__


def test_the_changelog_has_a_place_for_what_comes_next() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert headings[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[[0-9.]+\] - \d{4}-\d\d-\d\d", text) for text in headings[1:])


def test_contributing_names_the_checks() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()

    for check in ("make check", "make test", "ruff", "mypy", "import-linter", "pytest"):
        assert check in text


def test_nothing_in_the_checkout_looks_like_a_credential() -> None:
    """Else the code of the demo's trials would be recorded in part only."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in listed.stdout.split("\0") if name]

    found = {
        str(file.relative_to(ROOT)): reason
        for file in files
        if file.is_file() and (reason := looks_secret(file.read_bytes(), file.name))
    }

    assert not found


def test_the_digits_are_what_their_readme_says() -> None:
    packed = (ROOT / "studies/data/digits.csv.gz").read_bytes()
    readme = (ROOT / "studies/data/README.md").read_text()
    table = gzip.decompress(packed)

    assert hashlib.sha256(packed).hexdigest() in readme
    assert hashlib.sha256(table).hexdigest() in readme
    assert "CC BY 4.0" in readme
    generator = runpy.run_path(str(ROOT / "studies/data/make_digits.py"))
    assert generator["digits_csv"]().encode() == table
