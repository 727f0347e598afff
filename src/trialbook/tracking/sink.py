"""Where a tracked trial's observations go: the book's attempt, or a replay's memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from trialbook.records.checkpoints import Resumption, Told
from trialbook.records.study import ArtifactRecord


class Sink(Protocol):
    """What a tracked trial tells about itself while it runs."""

    def log(self, metrics: Mapping[str, float], step: int, seconds: float) -> None:
        """Keep one point of each metric; ``seconds`` is wall time since the epoch."""

    def answered(self, pruned: bool) -> None:
        """Keep one answer of ``should_prune``."""

    def returned(self, value: object) -> None:
        """Keep what the objective returned."""

    def add_artifact(self, name: str, path: Path, media_type: str) -> ArtifactRecord:
        """Keep a file by content; one name holds the last file logged under it."""

    def save_checkpoint(self, path: Path, told: Told) -> bool:
        """Keep a file or directory to go on from; whether anybody can go on from it."""

    def load_checkpoint(self, directory: Callable[[], Path]) -> Resumption:
        """Restore the newest checkpoint of earlier attempts into a directory, which is made."""
