"""A project whose scripts record themselves: written, run in a fresh interpreter, looked at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from trialbook.records.code import CodeState, FileEntry
from trialbook.records.coordinates import Snapshot
from trialbook.records.coverage import Coverage

PRELUDE = """
import json, os, sys
from pathlib import Path
from trialbook.capture.code import CodeLimits, CodeProbe
from trialbook.capture.imports import install_import_watch
import msgspec

install_import_watch()
OUT = Path(os.environ["OUT"])
ROOT = Path(os.environ["ROOT"])

def show(probe, name="seen"):
    o = probe.observe()
    (OUT / f"{name}.json").write_bytes(o.snapshot.document)
    for blob in o.blobs:
        (OUT / f"blob-{blob.digest}").write_bytes(blob.content)
    (OUT / f"{name}.launch.json").write_text(
        json.dumps({"bases": probe.bases, "sys_path": probe.sys_path()})
    )
    return o
"""


@dataclass
class Seen:
    """One observation that a script made."""

    out: Path
    name: str

    @property
    def _document(self) -> Snapshot:
        return Snapshot.from_document((self.out / f"{self.name}.json").read_bytes())

    @property
    def state(self) -> CodeState:
        state: CodeState = self._document.state_as(CodeState)
        return state

    @property
    def coverage(self) -> Coverage:
        coverage: Coverage = self._document.coverage
        return coverage

    @property
    def launch(self) -> Any:
        return json.loads((self.out / f"{self.name}.launch.json").read_text())

    def entry(self, path: str, base: str = ".") -> FileEntry:
        (found,) = [e for e in self.state.files if (e.base, e.path) == (base, path)]
        return found

    def content(self, path: str, base: str = ".") -> bytes:
        return (self.out / f"blob-{self.entry(path, base).digest}").read_bytes()

    @property
    def loaded(self) -> set[str]:
        return {e.path if e.base == "." else f"{e.base}:{e.path}" for e in self.state.loaded}


@dataclass
class Project:
    """A directory with code, and a place for what its scripts record."""

    root: Path
    out: Path
    prelude: str = PRELUDE

    def write(self, path: str, text: str | bytes, *, at: Path | None = None) -> Path:
        file = (at or self.root) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        content = textwrap.dedent(text).encode() if isinstance(text, str) else text
        file.write_bytes(content)
        os.utime(file, (10**9, 10**9))  # long before any process here began
        return file

    def run(
        self,
        script: str = "main.py",
        *arguments: str,
        python: tuple[str, ...] = (),
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *python, *([script] if script else []), *arguments]
        done = subprocess.run(
            command,
            cwd=cwd or self.root,
            env=os.environ | {"OUT": str(self.out), "ROOT": str(self.root)} | (env or {}),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done

    def seen(self, name: str = "seen") -> Seen:
        return Seen(self.out, name)

    def observe(self, body: str, **how: Any) -> Seen:
        """Run a main script with this body."""
        self.write("main.py", PRELUDE + textwrap.dedent(body))
        self.run(**how)
        return self.seen()

    def git(self, *arguments: str) -> None:
        """Run git in the root, without settings of this machine's user."""
        environment = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
        subprocess.run(
            ["git", *identity, *arguments],
            cwd=self.root,
            env=environment,
            check=True,
            capture_output=True,
        )


@pytest.fixture
def project(tmp_path: Path) -> Project:
    root, out = tmp_path / "project", tmp_path / "out"
    root.mkdir()
    out.mkdir()
    return Project(root, out)
