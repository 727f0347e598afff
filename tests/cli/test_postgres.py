"""The commands on a book in PostgreSQL, as a user calls them one after the other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from trialbook.book.blobs import IN_ROW_BYTES
from trialbook.cli.main import exit_code_of_command

START = [sys.executable, "-c", "from trialbook.cli.main import main; main()"]

SEARCH = f"""
    from trialbook import tracked_objective

    @tracked_objective(seed=3)
    def objective(trial):
        x = trial.suggest_float("x", 0, 1)
        print("trial", trial.number)
        for step in range(3):
            trial.log({{"loss": x + step}}, step=step)
            trial.report(x + step, step)
        (trial.dir / "model.bin").write_bytes(b"m" * {IN_ROW_BYTES + 1})
        trial.log_artifact(trial.dir / "model.bin")
        return x
"""


@pytest.mark.slow
def test_every_command_works_on_a_server(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    (tmp_path / "search.py").write_text(dedent(SEARCH))
    monkeypatch.chdir(tmp_path)
    place = ("--storage", postgres_url)

    def said(*arguments: str, code: int = 0) -> str:
        assert exit_code_of_command([*arguments, *place]) == code
        return str(capsys.readouterr().out)

    run = ("run", "search.py:objective", "--trials", "3", "--workers", "2", "--isolation", "none")
    done = subprocess.run([*START, *run, *place], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "search" in said("ls")
    assert "COMPLETE" in said("show", "search/1")
    assert "search/0" in said("diff", "search/0", "search/1")
    assert "0." in said("best", "search")
    assert "identical" in said("rerun", "search/best", "--trust")
    said("artifacts", "search/1", "--get", "model.bin", "--output", str(tmp_path / "fetched"))
    assert (tmp_path / "fetched").read_bytes() == b"m" * (IN_ROW_BYTES + 1)
    said("verify")
    said("status", "search")
    said("rm", "search/0", "--yes")
    assert "removed" in said("gc", "--yes")
    said("verify")
    said("storage", "upgrade")
    assert [place.name for place in tmp_path.rglob("book.db*")] == []
