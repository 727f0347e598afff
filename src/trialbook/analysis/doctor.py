"""What ``trialbook doctor`` looks at: this machine, its packages, the storage, and what won.

Each check is a value; nothing is printed, and nothing is changed but for a small object that is
written to the artifact location and removed again.
"""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path

from trialbook.book.artifact_location import artifact_location, try_artifact_location
from trialbook.book.artifact_setting import described
from trialbook.book.book import Book
from trialbook.book.leases import Leases
from trialbook.book.location import (
    STORAGE_VARIABLE,
    book_files,
    book_url,
    file_system,
    redacted_url,
    sqlite_path,
)
from trialbook.book.project import project_storage
from trialbook.errors import BookNotFoundError, TrialbookError

_CORE = ("optuna", "numpy", "scipy", "sqlalchemy", "alembic", "msgspec", "psutil", "threadpoolctl")
_OPTIONAL = ("pandas", "psycopg", "fsspec", "nvidia-ml-py", "scikit-learn")
_OLDEST_PYTHON = (3, 11)
_TIMEOUT_S = 10.0


class Standing(StrEnum):
    """How a check came out."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Args:
        name: What.
        standing: How it came out.
        detail: What was found.
        hint: The next step, ``None`` when there is nothing to do.
    """

    name: str
    standing: Standing
    detail: str
    hint: str | None = None


def checks(storage: str | Path | None = None) -> Iterator[Check]:
    """Every check, in the order in which people read them.

    Args:
        storage: What a flag or an argument says; ``None`` for environment and directory tree.
    """
    yield _python()
    yield from _packages()
    yield sqlite_check(sqlite3.sqlite_version_info)
    yield from _storage(storage)
    yield from _settings()
    yield _program("git", "code is recorded without commit, branch and remote")
    yield _program("uv", "'rerun --env recreate' uses venv and pip, which is slower")
    yield _fork()
    yield _trust()


def _python() -> Check:
    detail = (
        f"{platform.python_implementation()} {platform.python_version()} at {sys.executable}, "
        f"{platform.system()} {platform.machine()}"
    )
    if sys.version_info < _OLDEST_PYTHON:
        return Check("python", Standing.FAILED, detail, "use Python 3.11 or newer")
    return Check("python", Standing.OK, detail)


def _packages() -> Iterator[Check]:
    found, missing = _versions(("trialbook", *_CORE))
    if missing:
        hint = "pip install " + " ".join(missing)
        yield Check("packages", Standing.FAILED, "missing: " + ", ".join(missing), hint)
    yield Check("packages", Standing.OK, ", ".join(found))
    found, missing = _versions(_OPTIONAL)
    detail = ", ".join([*found, *(f"{name} not installed" for name in missing)])
    yield Check("optional", Standing.OK, detail)


def _versions(names: Sequence[str]) -> tuple[list[str], list[str]]:
    found, missing = [], []
    for name in names:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    return found, missing


def has_wal_reset_bug(version: tuple[int, int, int]) -> bool:
    """Whether an SQLite of this version may corrupt a book when its log is reset.

    The bug is in 3.7.0 to 3.51.2 and was fixed in 3.51.3, and for older lines in 3.44.6 and 3.50.7
    (https://sqlite.org/wal.html, "WAL-reset bug").
    """
    if version < (3, 7, 0) or version >= (3, 51, 3):
        return False
    return not ((3, 44, 6) <= version < (3, 45, 0) or (3, 50, 7) <= version < (3, 51, 0))


def sqlite_check(version: tuple[int, int, int]) -> Check:
    """What there is to say about an SQLite of this version."""
    text = f"SQLite {'.'.join(map(str, version))}"
    if has_wal_reset_bug(version):
        return Check(
            "sqlite",
            Standing.WARNING,
            f"{text} has the WAL-reset bug, which can corrupt a database that two processes "
            "write (3.7.0 to 3.51.2; https://sqlite.org/wal.html#walresetbug). "
            "Trialbook takes its own lock around it; other programs that write the book do not",
            "use a Python with SQLite 3.51.3 or newer (also good: 3.50.7, 3.44.6)",
        )
    return Check("sqlite", Standing.OK, text)


def storage_source(storage: str | Path | None) -> str:
    """Where the setting of the storage came from: flag, environment, a directory or the default."""
    if storage is not None:
        return "--storage"
    if os.environ.get(STORAGE_VARIABLE):
        return STORAGE_VARIABLE
    named = project_storage(Path.cwd())
    if named is not None:
        return f"[tool.trialbook] of {named[1]}"
    path = sqlite_path(book_url(None))
    assert path is not None
    if not path.exists():
        return "the default: neither --storage nor TRIALBOOK_STORAGE, and no book above"
    here = path.parent.parent == Path.cwd()
    return "found in this directory" if here else f"found above, in {path.parent.parent}"


def _storage(storage: str | Path | None) -> Iterator[Check]:
    try:
        source = storage_source(storage)
        url = book_url(storage)
    except TrialbookError as error:
        yield Check("storage", Standing.FAILED, error.what, error.hint)
        return
    yield Check("storage", Standing.OK, f"{redacted_url(url)} ({source})")
    try:
        book = Book.open(url, create=False, read_only=True)
    except BookNotFoundError:
        hint = "it is made by the first run, or by 'trialbook storage init'"
        yield Check("book", Standing.NOTE, "not there yet", hint)
        return
    except TrialbookError as error:
        yield Check("book", Standing.FAILED, error.what, error.hint)
        return
    try:
        yield _book(book, url)
        yield _artifacts(book)
        yield from _leases(book)
    finally:
        book.close()


def _book(book: Book, url: str) -> Check:
    path = sqlite_path(url)
    if path is None:
        return Check("book", Standing.OK, f"{book.book_id}, on a server")
    writable = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    system = file_system(path)
    size = sum(_size(file) for file in book_files(url) if file.is_file())
    detail = f"{book.book_id}, {size / 2**20:.1f} MiB" + (f" on {system.kind}" if system else "")
    if writable:
        return Check("book", Standing.OK, detail)
    hint = "make the file and its directory writable to run trials"
    return Check("book", Standing.NOTE, f"{detail}; it can only be read", hint)


def _artifacts(book: Book) -> Check:
    """Where larger contents go, and whether they can be written there."""
    where = described(artifact_location(book))
    try:
        try_artifact_location(book)
    except TrialbookError as error:
        return Check("artifacts", Standing.FAILED, f"{where}; {error.what}", error.hint)
    return Check("artifacts", Standing.OK, f"contents over 64 KiB lie {where}")


def _leases(book: Book) -> Iterator[Check]:
    """Trials of lost workers that nobody has ended; nothing to say when there are none."""
    try:
        expired = Leases(book).expired()
    except TrialbookError as error:
        yield Check("leases", Standing.FAILED, error.what, error.hint)
        return
    if expired:
        trials = "trial is" if len(expired) == 1 else "trials are"
        yield Check(
            "leases",
            Standing.NOTE,
            f"{len(expired)} {trials} held by workers that give no sign of life",
            "run 'trialbook reap' to have them tried again",
        )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _settings() -> Iterator[Check]:
    found = sorted(name for name in os.environ if name.startswith("TRIALBOOK_"))
    if found:
        # Names alone: a value may hold a password.
        yield Check("settings", Standing.OK, "from the environment: " + ", ".join(found))


def _program(name: str, without: str) -> Check:
    path = shutil.which(name)
    if path is None:
        return Check(name, Standing.NOTE, "not found", f"install {name}; without it {without}")
    try:
        done = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Check(name, Standing.WARNING, f"{path} does not answer: {error}", "reinstall it")
    return Check(name, Standing.OK, f"{done.stdout.strip().splitlines()[0]} at {path}")


def _fork() -> Check:
    if not sys.platform.startswith("linux"):
        detail = "trials of 'trialbook run' start in fresh interpreters: fork is safe on Linux only"
        return Check("fork", Standing.NOTE, detail)
    return Check(
        "fork",
        Standing.OK,
        "trials are forked where that is shown safe after the objective was imported; a model "
        "fitted, CUDA initialised or a thread started at import makes them start afresh",
    )


def _trust() -> Check:
    from trialbook.running.trust import key_file

    path = key_file()
    parent = next(p for p in path.parents if p.exists())
    if path.exists() or os.access(parent, os.W_OK):
        return Check("trust", Standing.OK, f"studies made here are marked with {path}")
    return Check(
        "trust",
        Standing.WARNING,
        f"{path} cannot be made, so 'rerun' asks for --trust even for studies made here",
        "set XDG_STATE_HOME to a directory that can be written",
    )
