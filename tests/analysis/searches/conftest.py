"""A book of studies over all kinds of spaces, made and read once a session."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from trialbook.analysis.searches.search import Search, search
from trialbook.book.storage import BookStorage

from . import spaces


@pytest.fixture(scope="session")
def space_book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A book with all studies of ``spaces.ALL``, only to be read."""
    path = tmp_path_factory.mktemp("spaces") / "book.db"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Choices for a categorical")
        storage = BookStorage(path)
        for fill in spaces.ALL:
            fill(storage)
        storage.close()
    return path


@pytest.fixture(scope="session")
def searched(space_book: Path) -> Callable[[str], Search]:
    """From a study's name to its search, each read once."""

    @cache
    def of(name: str) -> Search:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Choices for a categorical")
            return search(name, storage=space_book)

    return of
