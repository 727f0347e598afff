"""Runs of a study by the command line, with their processes in reach of a test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent

from trialbook.book.book import Book
from trialbook.book.reading import Reader
from trialbook.records.study import TrialRecord

_COMMAND = "from trialbook.cli.main import main; main()"


def wait_until(condition: Callable[[], object], within_s: float = 60.0) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + within_s
    pause_s = 0.02
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(pause_s)
        pause_s = min(0.1, pause_s * 1.2)  # looking costs what others could work in


def children(pid: int) -> list[int]:
    """Process ids of the children of a process."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in text.split()]


def lives(pid: int) -> bool:
    """Whether a process runs or is stopped; one that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@dataclass
class Lab:
    """A directory with an objective, a study's file and a book."""

    place: Path
    url: str
    study: str = "s"
    _started: list[subprocess.Popen[str]] = field(default_factory=list)

    def write(self, objective: str, settings: str, lease_s: float = 1.0) -> None:
        """Write the objective and the study's file; leases are short.

        As short as they are by default, they are for studies of one worker: where every core is
        busy, another one could come to reap before the first one renews.
        """
        (self.place / "train.py").write_text(dedent(objective))
        (self.place / "s.yaml").write_text(
            f"study: {self.study}\nobjective: train.py:objective\n"
            f"lease: {lease_s:g}\n{dedent(settings)}"
        )

    def begin(self, *, before: Sequence[str] = (), **environment: str) -> subprocess.Popen[str]:
        """Start ``trialbook run``, by the command ``before`` it."""
        command = [*before, sys.executable, "-c", _COMMAND, "run", "s.yaml", "--storage", self.url]
        return self.started(command, **environment)

    def started(self, command: Sequence[str | Path], **environment: str) -> subprocess.Popen[str]:
        """Start a program in the directory; ``end`` ends it."""
        process = subprocess.Popen(
            command,
            cwd=self.place,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._started.append(process)
        return process

    def end(self) -> None:
        """Kill what a failed test has left running."""
        for process in self._started:
            pids = [process.pid] if process.poll() is None else []
            for pid in pids:
                pids.extend(children(pid))
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.communicate()

    def run(self, **environment: str) -> tuple[int, str]:
        """Run ``trialbook run`` to its end; its exit status and what it wrote."""
        process = self.begin(**environment)
        try:
            said, _ = process.communicate(timeout=120)
        except BaseException:
            self.end()
            raise
        return process.returncode, said

    def trials(self) -> list[TrialRecord]:
        """The trials of the study."""
        book = Book.open(self.url, create=False, read_only=True)
        try:
            return list(Reader(book).trials(self.study))
        finally:
            book.close()
