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


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "book.db"


@pytest.fixture
def storage(path: Path) -> Iterator[BookStorage]:
    storage = BookStorage(path)
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
