"""Canary values in every place where people leave secrets: none reaches the book or an output."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from trialbook.book.reading import Reader
from trialbook.book.storage import BookStorage
from trialbook.records.coordinates import Kind

CANARIES = {
    "environment": "canary-environment-9f8e7d6c5b",
    "argv": "canary-argv-1a2b3c4d5e6f",
    "remote": "canary-remote-a1b2c3d4e5",
    "config": "canary-config-0f1e2d3c4b",
    "dotenv": "canary-dotenv-5a6b7c8d9e",
    "key file": "canaryKeyFileMIIEvQIBADANBgkqhkiG9w0BAQ",
    "console": "ghp_" + "canaryConsole0123456789abcdefABCDEF12",
}

SCRIPT = """
import argparse, os, sys
import trialbook

@trialbook.tracked_objective(config="conf.yaml")
def objective(trial):
    from dotenv_reader import read_env
    read_env()
    x = trial.suggest_float("x", 0, 1)
    print("pushing with", "{console}")
    print("the service answered for", os.environ["SERVICE_API_KEY"], file=sys.stderr)
    assert trial.config["database"]["password"] == "{config}"
    trial.log({{"loss": x}})
    return x

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--token")
    parser.parse_args()
    study = trialbook.create_study(study_name="s", load_if_exists=True)
    study.optimize(objective, n_trials=1)
"""


# One process for all commands: to start seven takes as long as the rest of a test.
COMMANDS = """
import json, sys
from trialbook.cli.main import exit_code_of_command
for words in json.loads(sys.argv[1]):
    if exit_code_of_command(words) != 0:
        sys.exit(f"{words} failed")
"""


def made(root: Path) -> Path:
    root.mkdir()
    (root / "train.py").write_text(SCRIPT.format(**CANARIES))
    (root / "dotenv_reader.py").write_text(
        "from pathlib import Path\n"
        "def read_env():\n    return Path(__file__).with_name('.env').read_text()\n"
    )
    # The console canary would otherwise be in the code itself, which is the user's own choice.
    source = (root / "train.py").read_text().replace(f'"{CANARIES["console"]}"', "CANARY()")
    parts = CANARIES["console"][:10], CANARIES["console"][10:]
    source = source.replace(f'== "{CANARIES["config"]}"', ".startswith('canary')")
    source = f"def CANARY():\n    return {parts[0]!r} + {parts[1]!r}\n" + source
    (root / "train.py").write_text(source)
    (root / "conf.yaml").write_text(f"database:\n  password: {CANARIES['config']}\nlr: 0.1\n")
    (root / ".env").write_text(f"SECRET={CANARIES['dotenv']}\n")
    (root / "deploy.pem").write_text(
        f"-----BEGIN PRIVATE KEY-----\n{CANARIES['key file']}\n-----END PRIVATE KEY-----\n"
    )
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run([*git, "init", "-q"], cwd=root, check=True)
    subprocess.run([*git, "add", "train.py", "dotenv_reader.py"], cwd=root, check=True)
    subprocess.run([*git, "commit", "-qm", "first"], cwd=root, check=True)
    remote = f"https://user:{CANARIES['remote']}@example.invalid/lab/repo.git"
    subprocess.run([*git, "remote", "add", "origin", remote], cwd=root, check=True)
    return root


def run(arguments: list[str], project: Path) -> str:
    environment = {
        **os.environ,
        "XDG_STATE_HOME": str(project.parent / "state"),
        "XDG_CACHE_HOME": str(project.parent / "cache"),
        "SERVICE_API_KEY": CANARIES["environment"],
    }
    environment.pop("TRIALBOOK_STORAGE", None)
    done = subprocess.run(
        arguments, cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def everything_in(book: Path) -> bytes:
    """Raw files, every cell of every table, and every blob's content."""
    parts = [path.read_bytes() for path in book.rglob("*") if path.is_file()]
    with sqlite3.connect(book / "book.db") as connection:
        names = [
            n for (n,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ]
        for name in names:
            for row in connection.execute(f'SELECT * FROM "{name}"'):
                for cell in row:
                    raw = cell if isinstance(cell, bytes) else str(cell).encode()
                    parts.append(raw)
                    for skip in (0, 16):
                        try:
                            parts.append(zlib.decompress(raw[skip:]))
                        except zlib.error:
                            continue
        digests = [d for (d,) in connection.execute("SELECT digest FROM tb_blob")]
    connection.close()
    storage = BookStorage(f"sqlite:///{book / 'book.db'}")
    reader = Reader(storage.book)
    parts += [reader.blob(digest) for digest in digests]
    storage.close()
    return b"\n".join(parts)


@pytest.fixture(scope="module")
def by_script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose script has searched."""
    project = made(tmp_path_factory.mktemp("script") / "project")
    run([sys.executable, "train.py", "--token", CANARIES["argv"]], project)
    return project


@pytest.fixture(scope="module")
def by_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose objective was searched by ``trialbook run``."""
    project = made(tmp_path_factory.mktemp("run") / "project")
    arguments = ["run", "train.py:objective", "--trials", "1", "--study", "s"]
    run([sys.executable, "-m", "trialbook", *arguments], project)
    return project


@pytest.mark.slow
@pytest.mark.parametrize("how", ["by_script", "by_run"])
def test_no_canary_reaches_the_book_or_an_output(how: str, request: pytest.FixtureRequest):
    project: Path = request.getfixturevalue(how)
    held = everything_in(project / ".trialbook")
    commands = [
        ["ls"],
        ["show", "s"],
        ["show", "s/0"],
        ["show", "s/0", "--format", "json"],
        ["diff", "s/0", "s/0"],
        ["verify"],
        ["doctor"],
    ]
    shown = run([sys.executable, "-c", COMMANDS, json.dumps(commands)], project)
    assert "s/0" in shown
    for place, canary in CANARIES.items():
        assert canary.encode() not in held, place
        assert canary not in shown, place


@pytest.mark.slow
def test_what_was_left_out_is_recorded(by_script: Path):
    storage = BookStorage(f"sqlite:///{by_script / '.trialbook' / 'book.db'}")
    reader = Reader(storage.book)
    attempt = reader.trial("s/0").attempt
    state = {kind: reader.snapshot(attempt.coordinates.of(kind)) for kind in Kind}
    assert any("argv" in place for place in state[Kind.EXECUTION].state["redacted"])
    assert "database.password" in state[Kind.CONFIG].state["redacted"]
    assert any("stdout" in place for place in attempt.outcome.redacted)
    assert any("stderr" in place for place in attempt.outcome.redacted)
    held_back = {
        entry["path"]: entry["reason"]
        for entry in state[Kind.CODE].state["files"]
        if not entry["embedded"]
    }
    assert {".env", "deploy.pem", "conf.yaml"} <= set(held_back)
    assert "example.invalid" in state[Kind.CODE].state["git"]["remote"]
    storage.close()
