"""Books and tracked attempts for the tests of ``book/``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest

from trialbook.book.attempt import Attempt
from trialbook.book.storage import BookStorage
from trialbook.records.config import ConfigState
from trialbook.records.coordinates import Kind, Snapshot
from trialbook.records.coverage import Coverage
from trialbook.records.execution import Seeds


@pytest.fixture(autouse=True)
def _quiet_optuna() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests of a book run on both databases, those that ask for the file's path on SQLite only."""
    own = any("url" in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize"))
    if "url" in metafunc.fixturenames and not own:
        on_sqlite_only = "path" in metafunc.fixturenames
        databases = ["sqlite"] if on_sqlite_only else ["sqlite", "postgresql"]
        metafunc.parametrize("url", databases, indirect=True)


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Storage URL of a book that does not exist yet, on the database of this test's turn.

    For whoever asks for an open one, it may be there.
    """
    if request.param == "postgresql":
        opened = "storage" in request.fixturenames
        found: str = request.getfixturevalue("postgres_book_url" if opened else "postgres_url")
        return found
    return f"sqlite:///{tmp_path / 'book.db'}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of the book, for a test of what only SQLite has."""
    return tmp_path / "book.db"


@pytest.fixture
def storage(url: str) -> Iterator[BookStorage]:
    storage = BookStorage(url)
    yield storage
    storage.close()


@pytest.fixture
def study_id(storage: BookStorage) -> int:
    return storage.create_new_study([optuna.study.StudyDirection.MINIMIZE], "digits")


def config_snapshot(**resolved: object) -> Snapshot:
    return Snapshot.of(Kind.CONFIG, Coverage.of(()), ConfigState(resolved=resolved))


@pytest.fixture
def begin(storage: BookStorage, study_id: int) -> Callable[..., Attempt]:
    def begun(trial_id: int | None = None) -> Attempt:
        if trial_id is None:
            trial_id = storage.create_new_trial(study_id)
        return storage.begin_attempt(
            trial_id, snapshots=[config_snapshot(layers=2)], blobs=[], seeds=Seeds(trial=1)
        )

    return begun
