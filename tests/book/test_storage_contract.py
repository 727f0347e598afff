"""Optuna's own contract of a storage, on an SQLite book."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from optuna.testing.pytest_storages import StorageTestCase

from trialbook.book.storage import BookStorage


class TestBookStorageOnSqlite(StorageTestCase):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> Iterator[BookStorage]:
        storage = BookStorage(tmp_path / "book.db")
        yield storage
        storage.close()
