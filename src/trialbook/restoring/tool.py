"""Trialbook itself made importable for an interpreter in which it is not installed."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path


def prepared_tool(directory: Path) -> Path:
    """A directory from which nothing but Trialbook can be imported."""
    directory.mkdir(parents=True)
    package = Path(__file__).resolve().parents[1]
    (directory / package.name).symlink_to(package, target_is_directory=True)
    for own in importlib.metadata.distributions(name=package.name):
        metadata = getattr(own, "_path", None)
        if isinstance(metadata, Path):
            # So that a recreated environment, where it is not installed, does not seem to lack it.
            (directory / metadata.name).symlink_to(metadata.resolve(), target_is_directory=True)
            break
    return directory
