"""Real searches in projects and processes of their own, recorded to be run again."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import trialbook
from trialbook.book.book import Book
from trialbook.book.reading import Reader
from trialbook.records.study import TrialRecord
from trialbook.records.verdict import RerunReport

from ..interpreter import WarmInterpreter

HEAD = """
import optuna, trialbook
from trialbook import tracked_objective
"""
SEARCH = """
study = trialbook.create_study(study_name="s", storage=BOOK, seed=3, load_if_exists=True)
study.optimize(objective, n_trials=2, catch=(Exception,))
"""


class Project:
    """A directory with code, and a book outside it.

    Args:
        place: Where both are made.
        interpreter: Runs the scripts.
    """

    def __init__(self, place: Path, interpreter: WarmInterpreter) -> None:
        self.root = place / "project"
        self.book = place / "books" / "book.db"
        self._interpreter = interpreter
        self.root.mkdir()

    def write(self, name: str, text: str) -> Path:
        """Write a file of the project; ``BOOK`` in it stands for the book's path."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).replace("BOOK", repr(str(self.book))))
        return path

    def run(
        self,
        *command: str,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
    ) -> str:
        """Run a Python of its own in the project; its standard output."""
        ended = subprocess.run(
            [sys.executable, *options, *command],
            cwd=cwd or self.root,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def script(
        self, text: str, *arguments: str, env: Mapping[str, str] | None = None, code: int = 0
    ) -> None:
        """Write ``train.py`` and run it."""
        self.write("train.py", HEAD + textwrap.dedent(text))
        script = ("train.py", *arguments)
        ended, said = self._interpreter.run(*script, cwd=self.root, environment=env)
        assert ended == code, said

    def trial(self, reference: str) -> TrialRecord:
        """The recorded trial."""
        book = Book.open(self.book, create=False)
        try:
            return Reader(book).trial(reference)
        finally:
            book.close()

    def rerun(self, reference: str = "s/0", **settings: Any) -> RerunReport:
        """Run a trial again from the book alone."""
        report = trialbook.rerun(reference, storage=self.book, **settings)
        assert isinstance(report, RerunReport)
        return report


@pytest.fixture
def project(tmp_path: Path, interpreter: WarmInterpreter) -> Project:
    """An empty project."""
    return Project(tmp_path, interpreter)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, interpreter: WarmInterpreter) -> Project:
    """A search of one param, recorded once for the tests of a file; its reruns need trust.

    Once the file ``more.py`` lies beside the project, the objective executes it after its first
    report.
    """
    place = tmp_path_factory.mktemp("recorded")
    project = Project(place, interpreter)
    project.script(
        f"""
import os, pathlib
MORE = pathlib.Path({str(place / "more.py")!r})

@tracked_objective
def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    trial.report(x, 0)
    trial.should_prune()
    if MORE.exists():
        exec(MORE.read_text())
    trial.report(x, 1)
    print("hello from the objective")
    return x
"""
        + SEARCH.replace("n_trials=2", "n_trials=3")
    )
    return project


@pytest.fixture
def more(recorded: Project) -> Iterator[Path]:
    """Where the code lies that the recorded objective executes besides its own, in reruns alone."""
    path = recorded.root.parent / "more.py"
    yield path
    path.unlink(missing_ok=True)
