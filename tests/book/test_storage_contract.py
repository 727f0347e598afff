"""Optuna's own contract of a storage, on a book, for each database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from optuna.testing.pytest_storages import StorageTestCase

from trialbook.book.storage import BookStorage


class TestBookStorage(StorageTestCase):
    @pytest.fixture
    def storage(self, url: str) -> Iterator[BookStorage]:
        storage = BookStorage(url)
        yield storage
        storage.close()
