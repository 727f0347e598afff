"""A book with every study that reports must stand, made once a session."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from trialbook.book.storage import BookStorage

from . import studies


@dataclass(frozen=True)
class Shelf:
    """A book for reading, and the name of each study in it by the function that made it."""

    storage: str
    names: dict[str, str]


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """A book with all studies of ``studies.ALL``. Tests that change it copy it first."""
    path: Path = tmp_path_factory.mktemp("shelf") / "book.db"
    storage = BookStorage(path)
    names = {fill.__name__: fill(storage) for fill in studies.ALL}
    storage.close()
    return Shelf(str(path), names)
