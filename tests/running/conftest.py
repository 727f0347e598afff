"""A laboratory: a directory with an objective's file, run by real workers on a real book."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from trialbook.book.book import Book
from trialbook.book.reading import ConsoleText, Reader
from trialbook.records.coordinates import Kind, Snapshot
from trialbook.records.execution import LaunchState
from trialbook.records.study import StudyRecord, TrialRecord
from trialbook.running.messages import Job
from trialbook.running.own_study import own_study
from trialbook.running.progress import RunState, TrialEnd
from trialbook.running.run import RunOptions, RunOutcome, run_study
from trialbook.running.spec import RunSpec, parsed_spec


@dataclass
class Heard:
    """A progress that keeps what it is told."""

    first: RunState | None = None
    last: RunState | None = None
    trials: list[TrialEnd] = field(default_factory=list)
    said_: list[str] = field(default_factory=list)
    on_trial: Callable[[TrialEnd], None] | None = None

    def began(self, state: RunState) -> None:
        self.first = state

    def changed(self, state: RunState) -> None:
        self.last = state

    def trial_ended(self, trial: TrialEnd, state: RunState) -> None:
        self.trials.append(trial)
        if self.on_trial is not None:
            self.on_trial(trial)

    def said(self, text: str) -> None:
        self.said_.append(text)

    def ended(self, state: RunState) -> None:
        self.last = state


class Lab:
    def __init__(self, place: Path) -> None:
        self.place = place
        self.book = place / "book.db"
        self.heard = Heard()

    def write(self, code: str, name: str = "train.py") -> Path:
        file = self.place / name
        file.write_text(dedent(code))
        return file

    def spec(
        self, settings: str, *, objective: str = "train.py:objective", file: str = "s.yaml"
    ) -> RunSpec:
        text = f"study: s\nobjective: {objective}\n{dedent(settings)}"
        return parsed_spec(text, self.place / file)

    def opened(self, settings: str) -> Job:
        """Open the study as a run does, and run nothing; what its workers would be told."""
        with own_study(self.spec(settings), RunOptions(storage=str(self.book))) as own:
            return own.job

    def run(
        self,
        settings: str = "",
        *,
        objective: str = "train.py:objective",
        file: str = "s.yaml",
        **options: Any,
    ) -> RunOutcome:
        spec = self.spec(settings, objective=objective, file=file)
        self.heard = Heard(on_trial=self.heard.on_trial)
        return run_study(spec, RunOptions(storage=str(self.book), **options), self.heard)

    def started(self, *arguments: str, budget: int = 2, **options: Any) -> subprocess.Popen[str]:
        """The command itself, running in a process of its own."""
        (self.place / "s.yaml").write_text(
            f"study: s\nobjective: train.py:objective\nbudget: {{trials: {budget}}}\n"
        )
        code = "from trialbook.cli.main import main; main()"
        return subprocess.Popen(
            [sys.executable, "-c", code, "run", "s.yaml", "--storage", str(self.book), *arguments],
            cwd=self.place,
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            **options,
        )

    @staticmethod
    def wait_until(condition: Callable[[], object], timeout_s: float = 30.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, "it never happened"
            time.sleep(0.02)

    def trials(self, study: str = "s") -> list[TrialRecord]:
        book = Book.open(str(self.book), create=False, read_only=True)
        try:
            return list(Reader(book).trials(study))
        finally:
            book.close()

    def study(self, study: str = "s") -> StudyRecord:
        """The record of the study."""
        book = Book.open(str(self.book), create=False, read_only=True)
        try:
            return Reader(book).study(study)
        finally:
            book.close()

    def studies(self) -> list[str]:
        """Names of the studies that the book holds."""
        book = Book.open(str(self.book), create=False, read_only=True)
        try:
            return [study.name for study in Reader(book).studies()]
        finally:
            book.close()

    def console(self, number: int, study: str = "s") -> ConsoleText:
        book = Book.open(str(self.book), create=False, read_only=True)
        try:
            reader = Reader(book)
            attempt = reader.trial(f"{study}/{number}").attempt
            assert attempt is not None
            return reader.console(attempt)
        finally:
            book.close()

    def snapshot(self, trial: TrialRecord, kind: Kind) -> Snapshot:
        assert trial.attempt is not None
        digest = trial.attempt.coordinates.of(kind)
        assert digest is not None
        book = Book.open(str(self.book), create=False, read_only=True)
        try:
            return Reader(book).snapshot(digest)
        finally:
            book.close()

    def launch(self, trial: TrialRecord) -> tuple[LaunchState, Snapshot]:
        snapshot = self.snapshot(trial, Kind.EXECUTION)
        return snapshot.state_as(LaunchState), snapshot


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    place = tmp_path / "lab"
    place.mkdir()
    return Lab(place)
