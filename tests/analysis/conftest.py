"""An open book for the tests of what is read from it, on each database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from trialbook.book.storage import BookStorage


@pytest.fixture(autouse=True)
def _screened(screened: None) -> None:
    """Some objectives lie in this checkout, all files of which are judged."""


@pytest.fixture(params=["sqlite", "postgresql"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BookStorage]:
    where = (
        tmp_path / "book.db"
        if request.param == "sqlite"
        else request.getfixturevalue("postgres_book_url")
    )
    storage = BookStorage(where)
    yield storage
    storage.close()
