"""Fixtures that every floor's tests share: a home, a cache and a book of one's own."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest


@pytest.fixture(autouse=True)
def own_surroundings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch):
    """No test sees or touches the user's book, key, cache or settings."""
    home = tmp_path_factory.mktemp("home")
    for variable, folder in (("XDG_STATE_HOME", "state"), ("XDG_CACHE_HOME", "cache")):
        monkeypatch.setenv(variable, str(home / folder))
    monkeypatch.delenv("TRIALBOOK_STORAGE", raising=False)
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Storage URL of a book that does not exist yet."""
    return f"sqlite:///{tmp_path / 'book.db'}"
